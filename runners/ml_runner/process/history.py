"""What the events of a job say, read by those who did not write them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast


@dataclass
class History:
    """The events that matter for ending a job.

    Attributes:
        started: the ``started`` event, if the job ever ran.
        ended: the ``ended`` event, if there is one.
        checkpoint: the last ``checkpoint`` as ``{"path", "unit", "done"}``.
        progress: the last ``progress`` as ``{"unit", "done", "total", "metrics"}``.
        eta: seconds that the work would still have taken then, as far as was known.
        last: the last event of any kind.
    """

    started: dict[str, Any] | None = None
    ended: dict[str, Any] | None = None
    checkpoint: dict[str, Any] | None = None
    progress: dict[str, Any] | None = None
    eta: float | None = None
    last: dict[str, Any] | None = None

    @classmethod
    def read(cls, directory: Path) -> History:
        """Reads ``events.ndjson`` of a job's directory; torn lines are passed over."""
        history = cls()
        try:
            file = open(directory / "events.ndjson", "rb")
        except OSError:
            # None yet, or what lies there is no file: a damaged job's.
            return history
        with file:
            for line in file:
                try:
                    event = json.loads(line)
                except ValueError:
                    continue
                if isinstance(event, dict):
                    history._take(cast("dict[str, Any]", event))
        return history

    def _take(self, event: dict[str, Any]) -> None:
        self.last = event
        kind = event.get("type")
        if kind == "started":
            self.started = event
        elif kind == "declined":
            # The resident process would not have it: it is queued again.
            self.started = None
        elif kind == "ended":
            self.ended = event
        elif kind == "progress":
            self.progress = {key: event.get(key) for key in ("unit", "done", "total", "metrics")}
            self.eta = event.get("etaSeconds")
        elif kind == "checkpoint":
            self.checkpoint = {key: event.get(key) for key in ("path", "unit", "done")}
