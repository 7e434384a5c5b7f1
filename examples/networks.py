"""Networks for the PyTorch examples. ``in_features`` and the like are filled in from the data."""

from torch import nn


class TableNet(nn.Module):
    """Two hidden layers for the rows of a table."""

    def __init__(self, in_features, num_classes, hidden=32, dropout=0.1):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(in_features, hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, num_classes),
        )

    def forward(self, rows):
        """(n, in_features) → (n, num_classes) scores."""
        return self.layers(rows)


class DigitNet(nn.Module):
    """Two convolutions for small grey images."""

    def __init__(self, num_classes, input_shape):
        super().__init__()
        channels, height, width = input_shape
        self.layers = nn.Sequential(
            nn.Conv2d(channels, 16, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(32 * (height // 2) * (width // 2), num_classes),
        )

    def forward(self, images):
        """(n, channels, height, width) → (n, num_classes) scores."""
        return self.layers(images)
