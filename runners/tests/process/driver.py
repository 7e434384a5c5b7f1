"""Supervises one job, whose process does what is named: ``driver.py JOBDIR ENTRY``."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import entries

from ml_runner.process import supervisor

if __name__ == "__main__":
    os._exit(supervisor.supervise(Path(sys.argv[1]), getattr(entries, sys.argv[2])))
