"""TensorBoard's own reader reads what is written for it; nothing else is imported to write it."""

from __future__ import annotations

import subprocess
import sys
import types
from pathlib import Path

import pytest

from ml_runner.training.epochs.tensorboard import EventFile

pytest.importorskip("tensorboard", reason="needs TensorBoard")


def test_tensorboard_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # By which TensorBoard reads files itself, and not through TensorFlow.
    notf = types.ModuleType("tensorboard.compat.notf")
    monkeypatch.setitem(sys.modules, "tensorboard.compat.notf", notf)
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    file = EventFile(tmp_path / "tensorboard")
    file.add(1, {"train_loss": 0.5, "val_loss": float("nan")})
    file.add(2, {"train_loss": 0.25})
    # Before it is closed: a training is looked at while it runs.
    found = EventAccumulator(str(file.directory)).Reload()
    assert [(e.step, e.value) for e in found.Scalars("train_loss")] == [(1, 0.5), (2, 0.25)]
    assert [e.step for e in found.Scalars("val_loss")] == [1]
    assert found.file_version == 2
    file.close()


def test_neither_tensorflow_nor_a_thread(tmp_path: Path) -> None:
    code = (
        "import sys, threading; from pathlib import Path;"
        "from ml_runner.training.epochs.tensorboard import EventFile;"
        f"EventFile(Path({str(tmp_path)!r})).add(1, {{'loss': 1.0}});"
        "print('tensorflow' in sys.modules, threading.active_count())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "1"]
