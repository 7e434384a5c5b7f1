"""The data of the seed's PyTorch requests, and what plain PyTorch and scikit-learn say of the runs.

pytorch_seed.py images FOLDER FIRST COUNT   writes digits as FOLDER/<class>/<number>.png
pytorch_seed.py check < runs.json           prints a JSON object for each run
"""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn import datasets, metrics
from sklearn.model_selection import train_test_split


def write(folder: Path, first: int, count: int) -> None:
    digits = datasets.load_digits()
    for number in range(first, first + count):
        target = folder / f"digit_{digits.target[number]}"
        target.mkdir(parents=True, exist_ok=True)
        pixels = np.round(digits.images[number] * 255 / 16).astype(np.uint8)
        Image.fromarray(pixels).save(target / f"{number:04d}.png")


def images(folder: Path):
    labels = sorted(entry.name for entry in folder.iterdir() if entry.is_dir())
    X, y = [], []
    for position, label in enumerate(labels):
        for file in sorted((folder / label).iterdir()):
            pixels = np.asarray(Image.open(file).convert("RGB"), np.float32) / 255
            X.append(pixels.transpose(2, 0, 1))
            y.append(position)
    return torch.from_numpy(np.stack(X)), torch.tensor(y), labels


def load(path: str, name: str):
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module, getattr(module, name)


def said(model, weights: str, X):
    model.load_state_dict(torch.load(weights, weights_only=True))
    model.eval()
    with torch.no_grad():
        return model(X)


def held_out(run: dict) -> dict:
    """Loss and accuracy of the saved models on the rows that the run held out, and sizes."""
    module, maker = load(run["script"], run["class"])
    if "images" in run:
        X, y, labels = images(Path(run["images"]))
        model = maker(num_classes=len(labels), input_shape=tuple(X.shape[1:]))
    else:
        data = module.build_datasets({"dataPath": run["table"]})
        X, y = data.tensors
        model = maker()
    train, held = train_test_split(np.arange(len(X)), test_size=run["split"], random_state=0)
    answer = {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "rows": len(train),
        "held": len(held),
    }
    for name in ("best", "last"):
        scores = said(model, f"{run['directory']}/{name}_model.pt", X[held])
        answer[name] = {
            "loss": torch.nn.functional.cross_entropy(scores, y[held]).item(),
            "accuracy": (scores.argmax(1) == y[held]).float().mean().item(),
        }
    state = torch.load(f"{run['directory']}/optimizer.pt", weights_only=True)
    answer["optimizer"] = {
        key: value
        for key, value in state["param_groups"][0].items()
        if key in ("lr", "initial_lr", "momentum", "weight_decay")
    }
    if "test" in run:
        answer["test"] = tested(run, model)
    return answer


def tested(run: dict, model) -> dict:
    X, y, labels = images(Path(run["test"]))
    scores = said(model, f"{run['directory']}/best_model.pt", X).softmax(1).numpy()
    true, found = y.numpy(), scores.argmax(1)
    report = metrics.classification_report(
        true, found, target_names=labels, output_dict=True, zero_division=0
    )
    averaged = {"average": "macro", "zero_division": 0}
    return {
        "rows": len(true),
        "accuracy": metrics.accuracy_score(true, found),
        "precision": metrics.precision_score(true, found, **averaged),
        "recall": metrics.recall_score(true, found, **averaged),
        "f1Score": metrics.f1_score(true, found, **averaged),
        "rocAuc": metrics.roc_auc_score(true, scores, multi_class="ovr"),
        "confusionMatrix": metrics.confusion_matrix(true, found).tolist(),
        "classificationReport": {
            f"class_{label}": {
                "precision": report[label]["precision"],
                "recall": report[label]["recall"],
                "f1": report[label]["f1-score"],
            }
            for label in labels
        },
        "predicted": [labels[position] for position in found],
    }


if __name__ == "__main__":
    if sys.argv[1] == "images":
        write(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
    else:
        print(json.dumps({name: held_out(run) for name, run in json.load(sys.stdin).items()}))
