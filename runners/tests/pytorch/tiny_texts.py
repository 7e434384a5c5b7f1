"""A BERT of two small layers with random weights, and texts for it, made here."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path
from typing import Any

GOOD = ["good", "great", "lovely", "fine", "brilliant", "charming"]
BAD = ["bad", "awful", "dull", "poor", "boring", "terrible"]
OTHER = [
    "the",
    "a",
    "film",
    "plot",
    "story",
    "actor",
    "scene",
    "music",
    "camera",
    "was",
    "is",
    "and",
    "with",
    "of",
    "very",
    "it",
]
NAMES = ["Anna", "Boris", "Clara", "David", "Emma"]
PLACES = ["Rome", "Paris", "Oslo", "Cairo", "Lima"]


def write_model(directory: Path, *, layers: int = 2, kind: str = "bert", **config: Any) -> Path:
    """A pretrained model in Hugging Face form, as the library saves it."""
    import torch
    import transformers
    from tokenizers import BertWordPieceTokenizer

    words = [*GOOD, *BAD, *OTHER, *NAMES, *PLACES]
    maker = BertWordPieceTokenizer(lowercase=True)
    # Half of the words stay whole; the others are spelled from pieces.
    maker.train_from_iterator([" ".join(words[::2])] * 5, vocab_size=160, min_frequency=1)
    directory.mkdir(parents=True, exist_ok=True)
    maker.save(str(directory / "whole.json"))
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(directory / "whole.json"),
        unk_token="[UNK]", sep_token="[SEP]", pad_token="[PAD]", cls_token="[CLS]",
        mask_token="[MASK]", model_max_length=64,
    )  # fmt: skip
    (directory / "whole.json").unlink()
    torch.manual_seed(7)
    settings = {"hidden_size": 32, "num_hidden_layers": layers, "num_attention_heads": 2,
                "intermediate_size": 64, "max_position_embeddings": 64,
                "vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}  # fmt: skip
    made = transformers.AutoConfig.for_model(kind, **{**settings, **config})
    transformers.AutoModel.from_config(made).save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


def reviews(count: int, seed: int = 0) -> list[dict[str, str]]:
    """Texts of 3 to 20 words whose label hangs on one of them."""
    source = random.Random(seed)
    rows = []
    for _ in range(count):
        label = source.choice(("pos", "neg"))
        text = source.choices(OTHER, k=source.randint(2, 19))
        text.insert(source.randint(0, len(text)), source.choice(GOOD if label == "pos" else BAD))
        rows.append({"text": " ".join(text), "label": label})
    return rows


def write_table(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Rows as CSV."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_folder(root: Path, rows: list[dict[str, str]]) -> Path:
    """Rows as a folder of text files for each label."""
    for number, row in enumerate(rows):
        folder = root / row["label"]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:04}.txt").write_text(row["text"])
    return root


def write_words(path: Path, count: int, seed: int = 0) -> Path:
    """Lists of words with a tag each, as JSON Lines."""
    source = random.Random(seed)
    lines = []
    for _ in range(count):
        words = [source.choice([*OTHER, *NAMES, *PLACES]) for _ in range(source.randint(3, 12))]
        tags = ["PER" if w in NAMES else "LOC" if w in PLACES else "O" for w in words]
        lines.append(json.dumps({"tokens": words, "tags": tags}))
    path.write_text("\n".join(lines) + "\n")
    return path
