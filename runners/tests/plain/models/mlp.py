"""A small network for tables, as a user writes it."""

from torch import nn


class MLP(nn.Module):
    def __init__(self, in_features, num_classes=1, hidden=32, dropout=0.0):
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(in_features, hidden),
            nn.BatchNorm1d(hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
        )
        self.head = nn.Linear(hidden, num_classes)

    def forward(self, x):
        return self.head(self.body(x))
