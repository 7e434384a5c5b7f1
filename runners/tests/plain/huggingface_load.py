"""What plain transformers says with a saved model: nothing of the executor is imported here.

python huggingface_load.py DIRECTORY < cases.json
"""

import json
import sys
from pathlib import Path

import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
)


def run(directory, case):
    torch.set_num_threads(1)
    path = directory / case["model"]
    auto = (
        AutoModelForTokenClassification if case.get("words") else AutoModelForSequenceClassification
    )
    if case.get("adapter"):
        from peft import PeftModel

        base = auto.from_pretrained(path, num_labels=case["labels"], local_files_only=True)
        model = PeftModel.from_pretrained(base, directory / case["adapter"]).eval()
    else:
        model = auto.from_pretrained(path, local_files_only=True).eval()
    tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True)
    inputs = tokenizer(
        case["texts"], padding=True, truncation=True, return_tensors="pt",
        is_split_into_words=bool(case.get("words")),
    )  # fmt: skip
    with torch.no_grad():
        logits = model(**inputs).logits
    return {"logits": logits.tolist(), "id2label": model.config.id2label}


directory = Path(sys.argv[1])
print(json.dumps([run(directory, case) for case in json.load(sys.stdin)]))
