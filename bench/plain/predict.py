"""Median milliseconds of `model.predict` on one row, in this process: `predict.py MODEL TABLE TARGET`."""

import statistics
import sys
import time

import joblib
import pandas as pd

model = joblib.load(sys.argv[1])
row = pd.read_csv(sys.argv[2]).drop(columns=sys.argv[3], errors="ignore")
times = []
for _ in range(220):
    start = time.perf_counter()
    model.predict(row)
    times.append((time.perf_counter() - start) * 1000)
print(statistics.median(times[20:]))
