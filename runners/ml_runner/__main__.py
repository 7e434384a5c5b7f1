"""The commands of the runner: ``python -m ml_runner COMMAND …``; see ``docs/protocol.md``."""

from __future__ import annotations

import os
import sys

_HERE = os.path.dirname(os.path.abspath(__file__))
if not __package__:
    # Run by its path: Python put this folder on the path where its parent belongs.
    sys.path[0] = os.path.dirname(_HERE)
elif sys.path and sys.path[0] in ("", os.getcwd()) and sys.path[0] != os.path.dirname(_HERE):
    # Run with -m: the user's working directory must not hide modules of the standard library.
    del sys.path[0]

from ml_runner.process import commands  # noqa: E402

if __name__ == "__main__":
    sys.exit(commands.main(sys.argv[1:]))
