"""What a plain PyTorch loop makes of the data sets: nothing of the executor is imported here.

python pytorch_plain.py DIRECTORY < cases.json
"""

import importlib.util
import json
import random
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from sklearn.model_selection import train_test_split
from torch import nn

MODELS = Path(__file__).resolve().parent / "models"


def build(case, **facts):
    spec = importlib.util.spec_from_file_location(case["script"], MODELS / f"{case['script']}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, case["class"])(**facts, **case.get("args", {}))


def table(path, case):
    frame = pd.read_csv(path)
    X = frame.drop(columns=case["target"]).to_numpy(np.float64)
    target = frame[case["target"]].to_numpy()
    if case.get("regression"):
        return X, target.astype(np.float32)
    return X, np.unique(
        target.astype(str) if target.dtype == object else target, return_inverse=True
    )[1].astype(np.int64)


def images(path, case):
    folders = sorted(entry for entry in path.iterdir() if entry.is_dir())
    X, y = [], []
    for label, folder in enumerate(folders):
        for file in sorted(folder.iterdir()):
            picture = Image.open(file).convert("L" if case.get("grey") else "RGB")
            if case.get("size"):
                picture = picture.resize((case["size"], case["size"]), Image.Resampling.BILINEAR)
            pixels = np.asarray(picture, np.float32) / 255
            X.append(pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1))
            y.append(label)
    return np.stack(X).astype(np.float32), np.array(y, np.int64)


def run(directory, case):
    torch.set_num_threads(case.get("threads", 1))
    path = directory / case["data"]
    X, y = images(path, case) if path.is_dir() else table(path, case)
    seed = case.get("seed", 0)
    train, held = np.arange(len(X)), None
    if case.get("split"):
        train, held = train_test_split(train, test_size=case["split"], random_state=seed)
    if case.get("scale"):
        mean, std = X[train].mean(0), X[train].std(0)
        X = (X - mean) / np.where(std == 0, 1, std)
    X = X.astype(np.float32)
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    facts = {}
    if not case.get("regression"):
        facts["num_classes"] = int(y.max()) + 1
    facts |= {"input_shape": X.shape[1:]} if path.is_dir() else {"in_features": X.shape[1]}
    model = build(case, **facts).to("cuda" if case.get("fp16") else "cpu")
    loss_of = (
        nn.MSELoss() if case.get("regression") else nn.CrossEntropyLoss(**case.get("loss", {}))
    )
    kind = getattr(torch.optim, case.get("optimizer", "Adam"))
    optimizer = kind(model.parameters(), **case.get("optimizer_args", {}))
    scheduler = None
    if case.get("scheduler"):
        scheduler = getattr(torch.optim.lr_scheduler, case["scheduler"])(
            optimizer, **case.get("scheduler_args", {})
        )
    X, y = torch.from_numpy(X), torch.from_numpy(y)
    size = case["batch"]
    history = []

    # In fp16 on a GPU, else on the CPU.
    fp16 = bool(case.get("fp16"))
    place, dtype = ("cuda", torch.float16) if fp16 else ("cpu", torch.bfloat16)
    mixed = fp16 or bool(case.get("bf16"))
    scaler = torch.amp.GradScaler(place, enabled=fp16)
    X, y = X.to(place), y.to(place)

    def losses(rows):
        with torch.autocast(place, dtype=dtype, enabled=mixed):
            output = model(X[rows])
            if case.get("regression"):
                output = output.squeeze(1)
            return loss_of(output, y[rows]), output

    for epoch in range(1, case["epochs"] + 1):
        model.train()
        order = train[np.random.default_rng([seed, epoch]).permutation(len(train))]
        total, right = 0.0, 0
        for start in range(0, len(order), size):
            rows = torch.from_numpy(order[start : start + size])
            optimizer.zero_grad()
            loss, output = losses(rows)
            scaler.scale(loss).backward()
            if case.get("clip"):
                scaler.unscale_(optimizer)
                nn.utils.clip_grad_norm_(model.parameters(), case["clip"])
            scaler.step(optimizer)
            scaler.update()
            total += loss.item() * len(rows)
            if not case.get("regression"):
                right += int((output.argmax(1) == y[rows]).sum())
        figures = {"train_loss": total / len(order)}
        if not case.get("regression"):
            figures["train_accuracy"] = right / len(order)
        if held is not None:
            model.eval()
            total, right = 0.0, 0
            with torch.no_grad():
                for start in range(0, len(held), size):
                    rows = torch.from_numpy(held[start : start + size])
                    loss, output = losses(rows)
                    total += loss.item() * len(rows)
                    if not case.get("regression"):
                        right += int((output.argmax(1) == y[rows]).sum())
            figures["val_loss"] = total / len(held)
            if not case.get("regression"):
                figures["val_accuracy"] = right / len(held)
        if scheduler is not None:
            scheduler.step()
        history.append(figures)
    return {
        "history": history,
        "parameters": sum(p.numel() for p in model.parameters()),
        "weights": float(sum(p.double().abs().sum() for p in model.parameters())),
    }


if __name__ == "__main__":
    print(json.dumps([run(Path(sys.argv[1]), case) for case in json.load(sys.stdin)]))
