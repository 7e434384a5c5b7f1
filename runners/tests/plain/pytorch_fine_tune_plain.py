"""What a plain PyTorch loop makes of a fine-tuning: nothing of the executor is imported here.

python pytorch_fine_tune_plain.py DIRECTORY < cases.json
"""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import torch
from pytorch_plain import build, table
from sklearn.model_selection import train_test_split
from torch import nn


def rows_of(n, split, seed):
    rows = np.arange(n)
    return train_test_split(rows, test_size=split, random_state=seed) if split else (rows, None)


def sha(tensors):
    joined = b"".join(t.detach().contiguous().numpy().tobytes() for t in tensors)
    return hashlib.sha256(joined).hexdigest()


def run(directory, case):
    torch.set_num_threads(case.get("threads", 1))
    seed, size = case.get("seed", 0), case["batch"]
    X, y = table(directory / case["data"], case)
    if case.get("scaled_as"):
        before, _ = table(directory / case["scaled_as"]["data"], case)
        train, _ = rows_of(len(before), case["scaled_as"].get("split"), 0)
        mean, std = before[train].mean(0), before[train].std(0)
        X = (X - mean) / np.where(std == 0, 1, std)
    train, held = rows_of(len(X), case.get("split"), seed)
    X, y = torch.from_numpy(X.astype(np.float32)), torch.from_numpy(y)

    saved = torch.load(directory / case["weights"], weights_only=True)
    torch.manual_seed(seed)
    model = build(case, **case["facts"])
    fresh = case.get("fresh", [])
    model.load_state_dict({k: v for k, v in saved.items() if k not in fresh}, strict=False)
    if case.get("replace"):
        old = model.get_submodule(case["replace"])
        torch.manual_seed(seed)
        setattr(model, case["replace"], nn.Linear(old.in_features, case["outputs"]))

    frozen = tuple(case.get("frozen", []))
    rates = case.get("rates", {})
    groups = [{"params": []}, *({"params": [], "lr": rate} for rate in rates.values())]
    for name, parameter in model.named_parameters():
        if name.startswith(frozen) and frozen:
            parameter.requires_grad = False
            continue
        place = next((i for i, start in enumerate(rates, 1) if name.startswith(start)), 0)
        groups[place]["params"].append(parameter)
    fixed = [t for name, t in model.state_dict().items() if frozen and name.startswith(frozen)]
    before_training = sha(fixed)

    loss_of = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam([g for g in groups if g["params"]], lr=case["lr"])
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=case["epochs"])
    history = []
    for epoch in range(1, case["epochs"] + 1):
        model.train()
        for name in case.get("still", []):
            model.get_submodule(name).eval()
        order = train[np.random.default_rng([seed, epoch]).permutation(len(train))]
        total, right = 0.0, 0
        for start in range(0, len(order), size):
            rows = torch.from_numpy(order[start : start + size])
            optimizer.zero_grad()
            output = model(X[rows])
            loss = loss_of(output, y[rows])
            loss.backward()
            optimizer.step()
            total += loss.item() * len(rows)
            right += int((output.argmax(1) == y[rows]).sum())
        figures = {"train_loss": total / len(order), "train_accuracy": right / len(order)}
        if held is not None:
            model.eval()
            total, right = 0.0, 0
            with torch.no_grad():
                for start in range(0, len(held), size):
                    rows = torch.from_numpy(held[start : start + size])
                    output = model(X[rows])
                    total += loss_of(output, y[rows]).item() * len(rows)
                    right += int((output.argmax(1) == y[rows]).sum())
            figures |= {"val_loss": total / len(held), "val_accuracy": right / len(held)}
        scheduler.step()
        history.append(figures)
    return {
        "history": history,
        "trainable": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "unchanged": before_training == sha(fixed),
        "weights": {
            name: float(t.double().abs().sum())
            for name, t in model.state_dict().items()
            if t.is_floating_point()
        },
    }


if __name__ == "__main__":
    print(json.dumps([run(Path(sys.argv[1]), case) for case in json.load(sys.stdin)]))
