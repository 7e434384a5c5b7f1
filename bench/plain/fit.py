"""Trains a small forest as a plain script would; prints the fit's milliseconds: `fit.py TABLE OUT [REPEATS]`."""

import statistics
import sys
import time

import joblib
import pandas as pd
from sklearn.ensemble import RandomForestClassifier

table = pd.read_csv(sys.argv[1])
X, y = table.drop(columns="target"), table["target"]
times = []
for _ in range(int(sys.argv[3]) if len(sys.argv) > 3 else 1):
    model = RandomForestClassifier(n_estimators=50, random_state=0)
    start = time.perf_counter()
    model.fit(X, y)
    times.append((time.perf_counter() - start) * 1000)
model.score(X, y)
joblib.dump(model, sys.argv[2])
print(statistics.median(times[1:] or times))
