"""A small transformer over rows of 8 tokens of 8 numbers, as a user writes it."""

from torch import nn


class Transformer(nn.Module):
    def __init__(self, in_features, num_classes, width=32, dropout=0.1):
        super().__init__()
        self.tokens = 8
        self.embed = nn.Linear(in_features // self.tokens, width)
        layer = nn.TransformerEncoderLayer(
            width, 4, 2 * width, dropout, batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(width, num_classes)

    def forward(self, x):
        x = self.embed(x.reshape(len(x), self.tokens, -1))
        return self.head(self.encoder(x).mean(1))
