"""What a plain loop over transformers makes of texts: nothing of the executor is imported here.

python huggingface_plain.py DIRECTORY < cases.json
"""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.model_selection import train_test_split
from transformers import (
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
)


def labelled(path, case):
    """Texts (or lists of words) and their labels."""
    if (path / "train").is_dir():
        parts = [labelled(path / part, case) for part in ("train", "test")]
        return parts[0][0] + parts[1][0], parts[0][1] + parts[1][1]
    if path.is_dir():
        files = [(file, folder.name) for folder in sorted(path.iterdir())
                 for file in sorted(folder.iterdir())]  # fmt: skip
        return [file.read_text() for file, _ in files], [label for _, label in files]
    if path.suffix == ".jsonl":
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        return [row["tokens"] for row in rows], [row["tags"] for row in rows]
    frame = pd.read_csv(path)
    return frame["text"].tolist(), frame[case["target"]].tolist()


class Data:
    """Tokenised once, padded by batches."""

    def __init__(self, case, tokenizer, path):
        self.tokenizer = tokenizer
        self.of_words = path.suffix == ".jsonl"
        texts, labels = labelled(path, case)
        self.pieces = tokenizer(
            texts, truncation=True, max_length=case.get("max_length"),
            is_split_into_words=self.of_words,
        )  # fmt: skip
        flat = [one for row in labels for one in row] if self.of_words else labels
        self.classes = None if case.get("regression") else sorted(set(flat))
        if self.of_words:
            self.labels = [self.aligned(row, labels[row]) for row in range(len(labels))]
        elif self.classes is None:
            self.labels = [float(label) for label in labels]
        else:
            self.labels = [self.classes.index(label) for label in labels]

    def aligned(self, row, labels):
        """The label at each word's first piece, -100 elsewhere."""
        result, before = [], None
        for word in self.pieces.word_ids(row):
            begins = word is not None and word != before
            result.append(self.classes.index(labels[word]) if begins else -100)
            before = word
        return result

    def batch(self, rows):
        rows = [int(row) for row in rows]
        padded = self.tokenizer.pad(
            {name: [self.pieces[name][row] for row in rows] for name in self.pieces},
            return_tensors="pt",
        )
        labels = [self.labels[row] for row in rows]
        if self.of_words:
            width = padded["input_ids"].shape[1]
            labels = [row + [-100] * (width - len(row)) for row in labels]
        return dict(padded), torch.tensor(labels)


def run(directory, case):
    torch.set_num_threads(case.get("threads", 1))
    seed, path = case.get("seed", 0), directory / case["data"]
    tokenizer = AutoTokenizer.from_pretrained(directory / case["model"], local_files_only=True)
    data = Data(case, tokenizer, path)
    rows = np.arange(len(data.labels))
    if (path / "train").is_dir():
        first = len(labelled(path / "train", case)[0])
        train, held = rows[:first], rows[first:]
    else:
        train, held = train_test_split(rows, test_size=case["split"], random_state=seed)
    torch.manual_seed(seed)
    auto = AutoModelForTokenClassification if data.of_words else AutoModelForSequenceClassification
    model = auto.from_pretrained(
        directory / case["model"],
        num_labels=1 if data.classes is None else len(data.classes),
        dtype=torch.float32,
        local_files_only=True,
    )
    if case.get("lora"):
        from peft import LoraConfig, get_peft_model

        kind = "TOKEN_CLS" if data.of_words else "SEQ_CLS"
        model = get_peft_model(model, LoraConfig(task_type=kind, **case["lora"]))
    for name, parameter in model.named_parameters():
        if any(f"{part}." in name for part in case.get("freeze", [])):
            parameter.requires_grad = False
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = getattr(torch.optim, case.get("optimizer", "AdamW"))(learning, lr=case["lr"])
    mixed = torch.autocast("cpu", dtype=torch.bfloat16, enabled=case.get("bf16", False))
    epochs, size = case["epochs"], case["batch"]
    result = {"train_loss": [], "val_loss": [], "val_accuracy": []}
    for epoch in range(1, epochs + 1):
        model.train()
        generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, epoch])))
        order, total = train[generator.permutation(len(train))], 0.0
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            inputs, labels = data.batch(rows)
            with mixed:
                loss = model(**inputs, labels=labels).loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(rows)
        result["train_loss"].append(total / len(order))
        loss, right, count, logits = measured(model, data, held, size, mixed)
        result["val_loss"].append(loss)
        result["val_accuracy"].append(right / count)
    result["logits"] = logits
    result["majority"] = max(
        pd.Series([data.labels[row] for row in held]).value_counts(normalize=True)
    ) if not data.of_words else None  # fmt: skip
    return result


def measured(model, data, held, size, mixed):
    model.eval()
    total, right, count, logits = 0.0, 0, 0, []
    with torch.no_grad():
        for start in range(0, len(held), size):
            rows = held[start : start + size]
            inputs, labels = data.batch(rows)
            with mixed:
                found = model(**inputs, labels=labels)
            total += found.loss.item() * len(rows)
            counted = labels != -100
            right += int((found.logits.argmax(-1) == labels)[counted].sum())
            count += int(counted.sum())
            logits += found.logits.tolist()
    return total / len(held), right, count, logits


directory = Path(sys.argv[1])
print(json.dumps([run(directory, case) for case in json.load(sys.stdin)]))
