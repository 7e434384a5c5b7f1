"""The data sets of the equality tests, as files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from sklearn import datasets


def write_all(directory: Path) -> None:
    """Writes scikit-learn's own data sets and a large generated one."""
    for name in ("breast_cancer", "wine", "diabetes", "digits"):
        frame = getattr(datasets, f"load_{name}")(as_frame=True).frame
        frame.to_csv(directory / f"{name}.csv", index=False)
    iris = datasets.load_iris(as_frame=True)
    frame = iris.frame.copy()
    frame["target"] = [str(iris.target_names[label]) for label in frame["target"]]
    frame.to_csv(directory / "iris.csv", index=False)
    large().to_csv(directory / "large.csv", index=False)


def large(rows: int = 20_000, seed: int = 7) -> pd.DataFrame:
    """Numbers with gaps, two columns of categories, weights, groups, labels and an amount."""
    random = np.random.RandomState(seed)
    frame = pd.DataFrame({f"x{i}": random.normal(size=rows) for i in range(6)})
    frame["city"] = random.choice(["Bern", "Oslo", "Rome", "Lima"], rows)
    frame["size"] = random.choice(["S", "M", "L"], rows)
    signal = (
        frame["x0"]
        + frame["x1"] * frame["x2"]
        + (frame["city"] == "Oslo") * 1.5
        - (frame["size"] == "L")
    )
    frame["label"] = np.where(signal + random.normal(size=rows) > 0, "yes", "no")
    frame["amount"] = signal * 10 + random.normal(size=rows)
    frame["weight"] = random.uniform(0.5, 2, rows).round(3)
    frame["customer"] = random.randint(0, 400, rows)
    for column in ("x1", "x3"):
        frame.loc[random.uniform(size=rows) < 0.1, column] = np.nan
    frame.loc[random.uniform(size=rows) < 0.05, "city"] = np.nan
    return frame
