"""Networks of the PyTorch cases and bare loops that train them: nothing of the executor is imported.

``torch_train.py MODEL DATA EPOCHS THREADS [WORKERS]`` prints as JSON what ``steps.json`` holds. DATA is
an NPZ with ``X`` and ``y``, or a folder of images with a folder for each class.

The loop is what a user writes: rows by the epoch's permutation (images through a ``DataLoader``),
zero_grad, forward, loss, backward, step, ``loss.item()``. Beyond the epoch's mean loss it measures
nothing, writes no checkpoint and no log.

As ``modelScript`` of the executor the same file notes the same: when the first step was made, and
process CPU time and wall time per step, in microseconds, over ``STEPS`` of the model's class.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.utils.data import DataLoader, Dataset

BATCH, RATE, SEED = 32, 0.001, 0


def note(steps):
    """Writes ``steps.json``: after the first step, and at the end of those that are measured."""
    before, measured = steps
    seen = {"count": 0}

    def after_step(*_):
        seen["count"] += 1
        if seen["count"] == before:
            seen["begun"] = time.process_time(), time.perf_counter()
        if seen["count"] == 1:
            seen["figures"] = {"first": time.time() * 1000}
        elif seen["count"] == before + measured:
            cpu, wall = time.process_time(), time.perf_counter()
            seen["figures"]["cpu"] = (cpu - seen["begun"][0]) / measured * 1e6
            seen["figures"]["wall"] = (wall - seen["begun"][1]) / measured * 1e6
        else:
            return
        Path("steps.json").write_text(json.dumps(seen["figures"]))

    register_optimizer_step_post_hook(after_step)


class MLP(nn.Sequential):
    STEPS = 200, 1000

    def __init__(self):
        note(self.STEPS)
        super().__init__(
            nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)
        )


class CNN(nn.Sequential):
    STEPS = 50, 250

    def __init__(self):
        note(self.STEPS)
        super().__init__(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(32 * 7 * 7, 10),
        )


class Colours(nn.Sequential):
    """Costs nothing beside the decoding of its images."""

    STEPS = 20, 160

    def __init__(self):
        note(self.STEPS)
        super().__init__(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))


class Images(Dataset):
    def __init__(self, folder):
        classes = sorted(entry for entry in folder.iterdir() if entry.is_dir())
        self.files = [(file, n) for n, one in enumerate(classes) for file in sorted(one.iterdir())]

    def __len__(self):
        return len(self.files)

    def __getitem__(self, position):
        file, label = self.files[position]
        with Image.open(file) as image:
            image = image.convert("RGB").resize((128, 128), Image.Resampling.BILINEAR)
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)
        return pixels.to(torch.float32).div(255), label


def batches_of_arrays(X, y, epoch):
    order = np.random.default_rng([SEED, epoch]).permutation(len(X))
    for start in range(0, len(X), BATCH):
        rows = torch.from_numpy(order[start : start + BATCH])
        yield X[rows], y[rows]


def train(model, batches, epochs):
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    loss_of = nn.CrossEntropyLoss()
    model.train()
    for epoch in range(1, epochs + 1):
        total = count = 0
        for inputs, targets in batches(epoch):
            optimizer.zero_grad()
            loss = loss_of(model(inputs), targets)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(inputs)
            count += len(inputs)
        print(f"epoch {epoch}: loss {total / count:.9f}", file=sys.stderr)
    return total / count


if __name__ == "__main__":
    name, data, epochs, threads = sys.argv[1], Path(sys.argv[2]), *map(int, sys.argv[3:5])
    torch.set_num_threads(threads)
    if data.is_dir():
        loader = DataLoader(Images(data), BATCH, shuffle=True, num_workers=int(sys.argv[5]))
        batches = lambda _epoch: loader  # noqa: E731
    else:
        with np.load(data) as arrays:
            X, y = torch.from_numpy(arrays["X"]), torch.from_numpy(arrays["y"])
        batches = lambda epoch: batches_of_arrays(X, y, epoch)  # noqa: E731
    torch.manual_seed(SEED)
    loss = train({"MLP": MLP, "CNN": CNN, "Colours": Colours}[name](), batches, epochs)
    print(json.dumps({**json.loads(Path("steps.json").read_text()), "loss": loss}))
