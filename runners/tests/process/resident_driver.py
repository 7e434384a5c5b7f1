"""A resident process that declines every job: ``resident_driver.py SOCKET``."""

import sys
from typing import Any

from ml_runner.job import Job
from ml_runner.process import resident


def decline(job: Job) -> dict[str, Any]:
    job.phase("loading")
    raise resident.Decline("the model brings a script")


if __name__ == "__main__":
    sys.exit(resident.serve(sys.argv[1], 1, decline))
