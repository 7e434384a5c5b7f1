"""Writes the real data sets of the tests as CSV: `datasets.py DIRECTORY`.

Those that ship with scikit-learn, split 75 : 25 into <name>.train.csv and <name>.test.csv after a
seeded shuffle, and one table of 24,000 rows with missing values and string columns.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn import datasets

out = Path(sys.argv[1])
out.mkdir(parents=True, exist_ok=True)


def write(name: str, frame: pd.DataFrame) -> None:
    order = np.random.default_rng(0).permutation(len(frame))
    cut = len(frame) * 3 // 4
    frame.iloc[order].to_csv(out / f"{name}.csv", index=False)
    frame.iloc[order[:cut]].to_csv(out / f"{name}.train.csv", index=False)
    frame.iloc[order[cut:]].to_csv(out / f"{name}.test.csv", index=False)


for name, load in {
    "breast_cancer": datasets.load_breast_cancer,
    "wine": datasets.load_wine,
    "diabetes": datasets.load_diabetes,
    "digits": datasets.load_digits,
}.items():
    write(name, load(as_frame=True).frame)

iris = datasets.load_iris(as_frame=True)
frame = iris.frame.rename(columns=lambda column: column.removesuffix(" (cm)").replace(" ", "_"))
frame["species"] = iris.target_names[iris.target]
write("iris", frame.drop(columns="target"))

# Like a customer table: numbers with gaps, strings with gaps, labels that are words.
random = np.random.default_rng(7)
rows = 24_000
age = random.integers(18, 90, rows).astype(float)
income = random.lognormal(10, 0.6, rows).round(2)
region = random.choice(["north", "south", "east", "west"], rows, p=[0.4, 0.3, 0.2, 0.1])
plan = random.choice(["basic", "plus", "premium"], rows)
visits = random.poisson(4, rows)
signal = (
    0.03 * (age - 50)
    - 0.5 * (np.log(income) - 10)
    + np.select([plan == "basic", plan == "plus"], [0.8, 0.1], -0.6)
    + 0.4 * (region == "north")
    - 0.15 * visits
)
table = pd.DataFrame(
    {
        "age": age,
        "income": income,
        "region": region,
        "plan": plan,
        "visits": visits,
        "spend": (np.exp(signal / 2) * 100 + random.normal(0, 10, rows)).round(3),
        "churn": np.where(random.random(rows) < 1 / (1 + np.exp(-signal)), "yes", "no"),
    }
)
for column, share in {"age": 0.05, "income": 0.1, "region": 0.03}.items():
    table.loc[random.random(rows) < share, column] = np.nan
write("customers", table)
