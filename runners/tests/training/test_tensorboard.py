"""TensorBoard's event files, in a process of their own: what they import is part of their cost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_CODE = """
import sys
from pathlib import Path
from ml_runner.training.epochs.tensorboard import EventFile
file = EventFile(Path(sys.argv[1]))
file.add(1, {"val_loss": 0.5})
file.close()
print([name for name in ("tensorflow", "torch", "keras") if name in sys.modules])
"""


def test_no_framework_is_imported_and_the_file_is_read_by_tensorboard(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _CODE, str(tmp_path / "events")]
    runners = Path(__file__).resolve().parents[2]
    done = subprocess.run(command, cwd=runners, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "events")).Reload()
    assert [(one.step, one.value) for one in events.Scalars("val_loss")] == [(1, 0.5)]
