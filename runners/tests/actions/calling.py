"""Calls of actions in this process, each a job of its own."""

from __future__ import annotations

import json
import secrets
import sys
from pathlib import Path
from typing import Any

from ml_runner import errors, manifest, report
from ml_runner.job import Job
from ml_runner.process import child


class Caller:
    """Makes jobs below a directory and runs their actions.

    Args:
        base: what relative paths are taken from.
        home: the state directory.
    """

    def __init__(self, base: Path, home: Path) -> None:
        self.base = base
        self.home = home

    def job(self, action: str, framework: str, config: dict[str, Any], **request: Any) -> Job:
        """A job that has not run."""
        threads = request.pop("threads", 1)
        light = request.pop("light", False)
        identifier = secrets.token_hex(8)
        directory = self.home / "jobs" / identifier
        directory.mkdir(parents=True)
        record = {
            "protocol": manifest.load()["protocol"],
            "id": identifier,
            "createdAt": "2026-11-24T08:00:00.000Z",
            "request": {"action": action, "framework": framework, "config": config, **request},
            "baseDir": str(self.base),
            "roots": None,
            "python": {"executable": sys.executable, "kind": "venv", "why": "test", "warnings": []},
            "lane": "cpu",
            "exclusive": False,
            "slots": 1,
            "threads": threads,
            "principal": None,
            "requestId": None,
        }
        (directory / "request.json").write_text(json.dumps(record))
        return Job(directory, light=light)

    def answer(self, action: str, framework: str, config: dict[str, Any], **request: Any) -> Any:
        """The whole answer, report or error."""
        job = self.job(action, framework, config, **request)
        try:
            body = child.load_action(action).run(job)
            answer = report.finish(job, body)
        except errors.ExecutorError as error:
            answer = error.to_answer()
        finally:
            job.release()
        # As its supervisor would: the job has ended.
        (job.directory / "report.json").write_text(json.dumps(answer))
        return answer

    def report(self, action: str, framework: str, config: dict[str, Any], **request: Any) -> Any:
        """The report of a call that succeeds."""
        answer = self.answer(action, framework, config, **request)
        assert "executionReport" in answer, answer
        assert len(json.dumps(answer, ensure_ascii=False).encode()) <= 9000
        for path in answer["executionReport"].get("artifacts", {}).values():
            assert (self.base / path).exists(), path
        return answer["executionReport"]

    def error(self, action: str, framework: str, config: dict[str, Any], **request: Any) -> Any:
        """The error of a call that is refused or fails."""
        answer = self.answer(action, framework, config, **request)
        assert "error" in answer, answer
        error = answer["error"]
        assert error["message"]
        assert error["solution"]
        return error

    def events(self, job: Job) -> list[dict[str, Any]]:
        """What a job has said."""
        lines = (job.directory / "events.ndjson").read_text().splitlines()
        return [json.loads(line) for line in lines]
