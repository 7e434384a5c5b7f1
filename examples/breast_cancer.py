"""Writes the breast-cancer data that ships with scikit-learn as two CSV files.

usage: python breast_cancer.py DIRECTORY

``train.csv`` has four fifths of the 569 rows, ``test.csv`` the rest, both with as many of each
diagnosis. Columns: 30 measurements of cell nuclei, and ``diagnosis`` (``benign`` or ``malignant``).
"""

from __future__ import annotations

import sys
from pathlib import Path

from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split


def main(directory: Path) -> None:
    """Writes both files into ``directory``, which is made where it is missing."""
    bunch = load_breast_cancer(as_frame=True)
    table = bunch.data.assign(diagnosis=[bunch.target_names[code] for code in bunch.target])
    train, test = train_test_split(
        table, test_size=0.2, stratify=table["diagnosis"], random_state=0
    )
    directory.mkdir(parents=True, exist_ok=True)
    train.to_csv(directory / "train.csv", index=False)
    test.to_csv(directory / "test.csv", index=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
