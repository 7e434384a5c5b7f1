"""What the forest examples ask for, in plain scikit-learn: `forest.py TRAIN TEST RUN_DIR`.

Prints as JSON what the reports should say, and what the saved files give when plain scikit-learn
loads them.
"""

import json
import sys
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import (
    accuracy_score,
    classification_report,
    confusion_matrix,
    f1_score,
    precision_score,
    recall_score,
)
from sklearn.model_selection import StratifiedKFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

train, test = (pd.read_csv(path) for path in sys.argv[1:3])
run = Path(sys.argv[3])
features = ["feature1", "feature2", "feature3"]
X, y = train[features], train["label"]
positive = sorted(y.unique())[-1]


def f1(model, X, y):
    return f1_score(y, model.predict(X), pos_label=positive)


model = make_pipeline(
    StandardScaler(),
    RandomForestClassifier(n_estimators=100, max_depth=10, min_samples_split=2, random_state=0),
)
folds = cross_validate(
    model, X, y, cv=StratifiedKFold(5), scoring={"accuracy": "accuracy", "f1": f1}
)
model.fit(X, y)
predicted = model.predict(test[features])
probabilities = model.predict_proba(test[features])

saved = joblib.load(run / "model.pkl")
scaler = joblib.load(run / "scaler.pkl")

print(
    json.dumps(
        {
            "crossValidation": {
                "accuracy": folds["test_accuracy"].tolist(),
                "meanAccuracy": folds["test_accuracy"].mean(),
                "stdAccuracy": folds["test_accuracy"].std(),
                "f1Score": folds["test_f1"].tolist(),
                "meanF1": folds["test_f1"].mean(),
                "stdF1": folds["test_f1"].std(),
            },
            "finalModel": {
                "trainAccuracy": accuracy_score(y, model.predict(X)),
                "testAccuracy": accuracy_score(test["label"], predicted),
            },
            "importances": dict(
                zip(features, model[-1].feature_importances_.tolist(), strict=True)
            ),
            "evaluation": {
                "accuracy": accuracy_score(test["label"], predicted),
                "precision": precision_score(test["label"], predicted, pos_label=positive),
                "recall": recall_score(test["label"], predicted, pos_label=positive),
                "f1Score": f1_score(test["label"], predicted, pos_label=positive),
                "confusionMatrix": confusion_matrix(test["label"], predicted).tolist(),
                "classificationReport": classification_report(
                    test["label"], predicted, output_dict=True
                ),
            },
            "classes": model.classes_.tolist(),
            "predicted": predicted.tolist(),
            "probabilities": probabilities.tolist(),
            "savedProbabilities": saved.predict_proba(test[features]).tolist(),
            "savedScalerMean": scaler.mean_.tolist(),
            "scalerMean": np.asarray(X.mean()).tolist(),
        }
    )
)
