"""A table's network with its data sets, as a user writes it: the call names no target column."""

import pandas as pd
import torch
from torch import nn
from torch.utils.data import TensorDataset

FEATURES = ["alcohol", "malic_acid", "ash", "flavanoids", "proline"]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.BatchNorm1d(len(FEATURES)),
            nn.Linear(len(FEATURES), 16),
            nn.ReLU(),
            nn.Linear(16, 3),
        )

    def forward(self, x):
        return self.layers(x)


def build_datasets(config):
    frame = pd.read_csv(config["dataPath"])
    X = torch.tensor(frame[FEATURES].to_numpy("float32"))
    return TensorDataset(X, torch.tensor(frame["target"].to_numpy("int64")))


if __name__ == "__main__":
    raise SystemExit("trained by the executor")
