"""Texts as samples: from folders and tables, tokenised once, padded by batches."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ml_runner import errors
from ml_runner.data.samples import Tokens, encode, truth


class ByLength:
    """A tokenizer: of each word its length, between 101 and 102; longer words than 4 have two."""

    def __init__(self, max_length: int = 8, *, left: bool = False) -> None:
        self.max_length = max_length
        self.left = left
        self.calls = 0

    def __call__(self, texts: Sequence[str]) -> Tokens:
        return self._tokens([text.split() for text in texts], words=False)

    def of_words(self, texts: Sequence[Sequence[str]]) -> Tokens:
        return self._tokens(texts, words=True)

    def _tokens(self, texts: Sequence[Sequence[str]], *, words: bool) -> Tokens:
        self.calls += 1
        ids, begins, cut = [], [], 0
        for text in texts:
            pieces, places = [], []
            for place, word in enumerate(text):
                pieces += [len(word)] if len(word) <= 4 else [4, len(word) - 4]
                places += [place] if len(word) <= 4 else [place, -1]
            cut += len(pieces) > self.max_length - 2
            room = slice(self.max_length - 2)
            ids.append([101, *pieces[room], 102])
            begins.append([-1, *places[room], -1])
        return Tokens.of_lists(
            {"input_ids": ids, "token_type_ids": [[0] * len(one) for one in ids]},
            words=begins if words else None,
            padding={"input_ids": 9},
            pads_left=self.left,
            cut=cut,
        )


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    root = tmp_path / "reviews"
    texts = {
        "good/b.txt": "we like it",
        "good/a.txt": "fine",
        "bad/c.txt": "no no no no",
        "bad/d.TXT": "awful",
    }
    for name, text in texts.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def table(tmp_path: Path, name: str = "reviews.csv") -> Path:
    path = tmp_path / name
    path.write_text('id,review,stars,label\n1,"we like it, much",5,pos\n2,no,1,neg\n3,007,2,neg\n')
    return path


def test_folders_are_classes_and_batches_are_padded(reviews: Path, reading: Any) -> None:
    tokenizer = ByLength()
    found = reading.train(reviews, tokenizer=tokenizer)
    assert found.names == ["bad/c.txt", "bad/d.TXT", "good/a.txt", "good/b.txt"]
    assert found.targets.tolist() == ["bad", "bad", "good", "good"]
    batch = found.batch([3, 2])
    assert batch["input_ids"].tolist() == [[101, 2, 4, 2, 102], [101, 4, 102, 9, 9]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]
    assert batch["token_type_ids"].tolist() == [[0] * 5] * 2
    assert {values.dtype for values in batch.values()} == {np.dtype(np.int64)}
    # Padded as far as a batch needs, and no further.
    assert found.take([2, 0]).batch([0])["input_ids"].tolist() == [[101, 4, 102]]
    assert tokenizer.calls == 1
    assert found.facts() == {"maxLength": 8, "longestText": 6}


def test_padding_on_the_left(reviews: Path, reading: Any) -> None:
    found = reading.train(reviews, tokenizer=ByLength(left=True))
    batch = found.batch([2, 3])
    assert batch["input_ids"].tolist() == [[9, 9, 101, 4, 102], [101, 2, 4, 2, 102]]
    assert batch["attention_mask"].tolist() == [[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]]


def test_parts_of_a_folder(reviews: Path, reading: Any) -> None:
    root = reviews.parent / "parts"
    root.mkdir()
    os.rename(reviews, root / "train")
    (root / "test" / "bad").mkdir(parents=True)
    (root / "test" / "bad" / "e.txt").write_text("worse")
    parts = reading.parts(root, tokenizer=ByLength())
    assert (len(parts.train), parts.validation, len(parts.test)) == (4, None, 1)
    (root / "test" / "ugly").mkdir()
    (root / "test" / "ugly" / "f.txt").write_text("ugh")
    assert reading.refused(root, tokenizer=ByLength()).metadata["unknown"] == ["ugly"]


def test_texts_that_are_cut_are_counted(reviews: Path, reading: Any) -> None:
    found = reading.train(reviews, tokenizer=ByLength(5))
    assert found.batch([0])["input_ids"].tolist() == [[101, 2, 2, 2, 102]]
    assert [text for text in reading.warned if "1 of 4 texts are longer than maxLength 5" in text]


@pytest.mark.parametrize(
    ("content", "said", "metadata"),
    [
        (b"caf\xe9 noir", "is not UTF-8: byte 3 is 0xe9", {"byte": 3, "encoding": "UTF-8"}),
        (b"", "holds no text", {}),
        (b" \n\t", "holds no text", {}),
    ],
)
def test_a_file_that_is_no_text_is_named(
    reviews: Path, reading: Any, content: bytes, said: str, metadata: dict[str, Any]
) -> None:
    path = reviews / "good" / "x.txt"
    path.write_bytes(content)
    error = reading.refused(reviews, tokenizer=ByLength())
    assert isinstance(error, errors.DataLoadingError)
    assert said in error.message
    assert str(path) in error.message
    assert error.metadata == {"file": str(path), **metadata}


def test_another_encoding_and_a_mark(reviews: Path, reading: Any) -> None:
    (reviews / "good" / "b.txt").write_bytes("\ufeffwe like it".encode())
    assert reading.train(reviews, tokenizer=ByLength()).batch([3])["input_ids"].shape == (1, 5)
    (reviews / "good" / "b.txt").write_bytes("été là".encode("cp1252"))
    found = reading.train(reviews, tokenizer=ByLength(), encoding="cp1252")
    assert found.batch([3])["input_ids"].tolist() == [[101, 3, 2, 102]]


def test_files_of_another_kind_are_left_out_and_told(reviews: Path, reading: Any) -> None:
    (reviews / "good" / "a.json").write_text("{}")
    (reviews / "stray.txt").write_text("alone")
    assert len(reading.train(reviews, tokenizer=ByLength())) == 4
    said = "\n".join(reading.warned)
    assert "1 file that is no text file left out ('good/a.json')" in said
    assert "1 text file beside the class folders left out ('stray.txt')" in said


def test_folders_without_texts(tmp_path: Path, reading: Any) -> None:
    root = tmp_path / "empty"
    root.mkdir()
    (root / "train.csv").write_text("text,label\na,b\n")
    error = reading.refused(root, tokenizer=ByLength())
    assert "is a directory without text files (.txt): it holds 'train.csv'" in error.message
    (root / "a.txt").write_text("x")
    assert "nothing says their classes" in reading.refused(root, tokenizer=ByLength()).message


def test_a_table_with_one_column_of_text(tmp_path: Path, reading: Any) -> None:
    found = reading.train(table(tmp_path), tokenizer=ByLength(), targetColumn="label")
    assert found.batch([0])["input_ids"].tolist() == [[101, 2, 4, 3, 4, 102]]
    # As written: not the number 7.
    assert found.batch([2])["input_ids"].tolist() == [[101, 3, 102]]
    assert found.targets.tolist() == ["pos", "neg", "neg"]
    assert found.spec["textColumn"] == "review"
    assert found.names[0] == "we like it, much"


@pytest.mark.parametrize(
    ("config", "key", "said"),
    [
        ({}, "config.targetColumn", "one of: 'id', 'review', 'stars', 'label'"),
        ({"targetColumn": "lable"}, "targetColumn", "'label'"),
        ({"targetColumn": "stars"}, "config.textColumn", "one of: 'review', 'label'"),
        ({"targetColumn": "label", "textColumn": "reviews"}, "textColumn", "'review'"),
        ({"targetColumn": "label", "textColumn": "label"}, "config.textColumn", "two columns"),
        ({"targetColumn": "label", "featureColumns": ["id"]}, "config.featureColumns", "out"),
        ({"targetColumn": "label", "pathColumn": "review"}, "config.pathColumn", "out"),
    ],
)
def test_what_is_not_said_is_not_guessed(
    tmp_path: Path, reading: Any, config: dict[str, Any], key: str, said: str
) -> None:
    error = reading.refused(table(tmp_path), tokenizer=ByLength(), **config)
    assert isinstance(error, errors.InvalidConfiguration)
    assert error.metadata["key"] == key
    assert said in error.solution


def test_columns_are_none_of_a_folder(reviews: Path, reading: Any) -> None:
    error = reading.refused(reviews, tokenizer=ByLength(), targetColumn="label")
    assert error.metadata["key"] == "config.targetColumn"
    assert "whose folders are the classes" in error.message


def test_keys_of_texts_are_for_texts(tmp_path: Path, reading: Any) -> None:
    path = tmp_path / "numbers.csv"
    path.write_text("a,b\n1,2\n")
    error = reading.refused(path, targetColumn="b", textColumn="a")
    assert "config.textColumn is for texts" in error.message


@pytest.mark.parametrize("empty", ["", '"  "'])
def test_an_empty_text_is_named(tmp_path: Path, reading: Any, empty: str) -> None:
    path = tmp_path / "reviews.csv"
    path.write_text(f"review,label\nfine,pos\n{empty},neg\nno,neg\n")
    error = reading.refused(path, tokenizer=ByLength(), targetColumn="label")
    assert "text 'review'" in error.message
    assert error.metadata["line"] == 3
    assert error.metadata["count"] == 1


def test_further_texts(tmp_path: Path, reviews: Path, reading: Any) -> None:
    spec = reading.train(table(tmp_path), tokenizer=ByLength(), targetColumn="label").spec
    other = tmp_path / "other.csv"
    other.write_text("note,review,label\nx,fine,pos\n")
    assert reading.like(other, spec, tokenizer=ByLength()).targets.tolist() == ["pos"]
    # Labels that are there are not read where none are needed; nor is another column of text.
    found = reading.like(other, spec, targets=False, tokenizer=ByLength())
    assert found.targets is None
    assert found.names == ["fine"]
    renamed = tmp_path / "renamed.csv"
    renamed.write_text("words\nfine\n")
    assert reading.like(renamed, spec, targets=False, tokenizer=ByLength()).names == ["fine"]
    # A model of texts reads texts, wherever they lie.
    found = reading.like(reviews, spec, targets=False, tokenizer=ByLength())
    assert found.names == ["bad/c.txt", "bad/d.TXT", "good/a.txt", "good/b.txt"]
    one = reading.like(reviews / "good" / "a.txt", spec, targets=False, tokenizer=ByLength())
    assert one.names == ["a.txt"]
    assert reading.like(reviews, spec, tokenizer=ByLength()).targets.tolist()[0] == "bad"


def words(tmp_path: Path, rows: list[dict[str, Any]], name: str = "tags.jsonl") -> Path:
    path = tmp_path / name
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


ROWS: list[dict[str, Any]] = [
    {"tokens": ["Anna", "visits", "Rome"], "tags": ["PER", "O", "LOC"]},
    {"tokens": ["She", "is", "at", "home", "in", "Rome"], "tags": ["O", "O", "O", "O", "O", "LOC"]},
]


def test_words_with_labels(tmp_path: Path, reading: Any) -> None:
    path = words(tmp_path, ROWS)
    found = reading.train(path, tokenizer=ByLength(), targetColumn="tags")
    assert found.of_words
    # "visits" is of two pieces, of which the first one counts.
    assert found.words_of([0, 1]).tolist() == [
        [-1, 0, 1, -1, 2, -1, -1, -1], [-1, 0, 1, 2, 3, 4, 5, -1],
    ]  # fmt: skip
    encoded = encode(found.targets, task=None, where="x", warn=reading.warned.append)
    assert encoded.classes == ["LOC", "O", "PER"]
    assert [part.tolist() for part in encoded.values] == [[2, 1, 0], [1, 1, 1, 1, 1, 0]]
    assert truth(found, encoded).tolist() == ["PER", "O", "LOC", "O", "O", "O", "O", "O", "LOC"]


def test_words_that_are_cut_off_count_for_nothing(tmp_path: Path, reading: Any) -> None:
    found = reading.train(words(tmp_path, ROWS), tokenizer=ByLength(6), targetColumn="tags")
    encoded = encode(found.targets, task=None, where="x", warn=reading.warned.append)
    later = found.take([1, 0])
    flipped = encode(
        later.targets, task=None, where="x", warn=reading.warned.append, classes=encoded.classes
    )
    assert truth(later, flipped).tolist() == ["O", "O", "O", "O", "PER", "O", "LOC"]
    assert later.named_words() == {
        "text": [0, 0, 0, 0, 1, 1, 1],
        "word": ["She", "is", "at", "home", "Anna", "visits", "Rome"],
    }
    assert [text for text in reading.warned if "1 of 2 texts are longer" in text]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"tokens": ["a", "b"], "tags": ["O"]}, "holds 1 labels for 2 words in line 3"),
        ({"tokens": ["a", "b"], "tags": "O"}, "holds no list for 2 words in line 3"),
        ({"tokens": [], "tags": []}, "an empty list, or an empty word in line 3"),
        ({"tokens": "a b", "tags": ["O"]}, "no list of words in line 3"),
        ({"tokens": ["a"], "tags": None}, "is missing in 1 of 3 rows, first in line 3"),
    ],
)
def test_words_and_labels_that_do_not_fit(
    tmp_path: Path, reading: Any, row: dict[str, Any], said: str
) -> None:
    path = words(tmp_path, [*ROWS, row])
    error = reading.refused(path, tokenizer=ByLength(), targetColumn="tags")
    assert said in error.message
    assert error.metadata["line"] == 3


def test_texts_are_no_words(tmp_path: Path, reading: Any) -> None:
    spec = reading.train(words(tmp_path, ROWS), tokenizer=ByLength(), targetColumn="tags").spec
    with pytest.raises(errors.DataLoadingError, match="trained on lists of words"):
        reading.like(
            table(tmp_path), spec, targets=False, tokenizer=ByLength(), textColumn="review"
        )


def test_a_change_changes_the_fingerprint(reviews: Path, reading: Any) -> None:
    before = reading.train(reviews, tokenizer=ByLength()).fingerprint()
    assert reading.train(reviews, tokenizer=ByLength()).fingerprint() == before
    assert reading.train(reviews, tokenizer=ByLength(7)).fingerprint() != before
    (reviews / "good" / "a.txt").write_text("fin")
    assert reading.train(reviews, tokenizer=ByLength()).fingerprint() != before
