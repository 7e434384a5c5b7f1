"""What plain PyTorch makes of a table, in one process and in several with its own
DistributedDataParallel: nothing of the executor is imported here.

python distributed_plain.py TRAIN.csv TEST.csv SCRIPT.py CASE.json
"""

import contextlib
import importlib.util
import json
import os
import sys
import tempfile

import numpy as np
import pandas as pd
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn
from torch.nn.parallel import DistributedDataParallel


def table(path, target):
    frame = pd.read_csv(path)
    X = frame.drop(columns=target).to_numpy(np.float32)
    return torch.from_numpy(X.copy()), torch.from_numpy(frame[target].to_numpy(np.int64).copy())


def model_of(script, features, classes, seed):
    spec = importlib.util.spec_from_file_location("plain_model", script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    torch.manual_seed(seed)
    return module.Net(features, classes)


def train(rank, size, train_file, test_file, script, case):
    """Histories and, of the last weights, the sum of their absolute values."""
    torch.set_num_threads(1)
    (X, y), (held, truth) = table(train_file, case["target"]), table(test_file, case["target"])
    seed, batch = case.get("seed", 0), case["batch"]
    model = model_of(script, X.shape[1], int(y.max()) + 1, seed)
    called = model
    if size > 1:
        called = DistributedDataParallel(model, find_unused_parameters=True)
    optimizer = getattr(torch.optim, case["optimizer"])(model.parameters(), **case["args"])
    loss_of, every = nn.CrossEntropyLoss(), case.get("accumulate", 1)
    history = []
    for epoch in range(1, case["epochs"] + 1):
        order = np.random.default_rng([seed, epoch]).permutation(len(X))
        batches = [order[at : at + batch] for at in range(0, len(X), batch)]
        total = 0.0
        for number, rows in enumerate(batches):
            mine = np.array_split(rows, size)[rank]
            last = (number + 1) % every == 0 or number + 1 == len(batches)
            group = min(every, len(batches) - number // every * every)
            with contextlib.nullcontext() if last or size == 1 else called.no_sync():
                loss = loss_of(called(X[mine]), y[mine])
                # DistributedDataParallel takes the mean over processes; ours is over rows.
                (loss * (size * len(mine) / len(rows)) / group).backward()
            total += loss.item() * len(mine)
            if last:
                if case.get("clip"):
                    nn.utils.clip_grad_norm_(model.parameters(), case["clip"])
                optimizer.step()
                optimizer.zero_grad()
        if size > 1:
            held_total = torch.tensor([total])
            dist.all_reduce(held_total)
            total = held_total.item()
        with torch.no_grad():
            output = model(held)
            history.append(
                {
                    "train_loss": total / len(X),
                    "val_loss": loss_of(output, truth).item(),
                    "val_accuracy": (output.argmax(1) == truth).float().mean().item(),
                }
            )
    weights = float(sum(one.detach().double().abs().sum() for one in model.parameters()))
    return {"history": history, "weights": weights}


def one_of(rank, size, folder, *arguments):
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    store = dist.FileStore(f"{folder}/store", size)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=size)
    found = train(rank, size, *arguments)
    if rank == 0:
        with open(f"{folder}/found.json", "w") as file:
            json.dump(found, file)
    dist.destroy_process_group()


if __name__ == "__main__":
    *files, text = sys.argv[1:]
    case = json.loads(text)
    found = {"one": train(0, 1, *files, case)}
    if case["processes"] > 1:
        with tempfile.TemporaryDirectory() as folder:
            mp.spawn(one_of, (case["processes"], folder, *files, case), case["processes"])
            with open(f"{folder}/found.json") as file:
                found["ddp"] = json.load(file)
    print(json.dumps(found))
