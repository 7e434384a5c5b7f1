"""Dispatches the runner's command line."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from ml_runner import files


def main(arguments: Sequence[str]) -> int:
    """Runs one command; returns the process's exit code."""
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.command
    return command(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m ml_runner")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, command: Callable[[argparse.Namespace], int], help: str):
        sub = commands.add_parser(name, help=help, description=help)
        sub.set_defaults(command=command)
        return sub

    run = add("run", _run, "run one request, print its report")
    run.add_argument("request", metavar="REQUEST.json", help="a file, or - for standard input")
    environment = add("environment", _environment, "print what this interpreter has")
    environment.set_defaults(command=_environment)
    describe = add("describe", _describe, "print what a path holds")
    describe.add_argument("params", metavar="PARAMS.json", help="{params, baseDir, roots}")
    zygote = add("zygote", _zygote, "import a framework and fork jobs")
    zygote.add_argument("--framework", required=True, metavar="NAME")
    resident = add("resident", _resident, "serve light jobs over a Unix socket")
    resident.add_argument("--socket", required=True, metavar="PATH")
    resident.add_argument("--framework", required=True, metavar="NAME")
    resident.add_argument("--threads", required=True, type=int, metavar="N")
    supervise = add("supervise", _supervise, "become the supervisor of a job")
    supervise.add_argument("directory", metavar="JOBDIR", type=_directory)
    job = add("job", _job, "do a job (started by its supervisor)")
    job.add_argument("directory", metavar="JOBDIR", type=_directory)
    adopt = add("adopt", _adopt, "see to jobs that lost their supervisor")
    adopt.add_argument("directories", metavar="JOBDIR", type=_directory, nargs="+")
    return parser


def _directory(text: str) -> Path:
    return Path(text).absolute()


def _run(options: argparse.Namespace) -> int:
    from ml_runner import run

    return run.main(options.request)


def _environment(_options: argparse.Namespace) -> int:
    from ml_runner import environment

    return environment.main() or 0


def _describe(options: argparse.Namespace) -> int:
    from ml_runner.process import resident

    out = _claim_stdout()
    request = files.read_json(Path(options.params))
    _say(resident.describe(request), out)
    return 0


def _zygote(options: argparse.Namespace) -> int:
    from ml_runner.process import zygote

    return zygote.main(*_claim_streams(), options.framework)


def _resident(options: argparse.Namespace) -> int:
    from ml_runner.process import resident

    reader, writer = _claim_streams()
    os.close(reader)
    os.close(writer)
    return resident.main(options.socket, options.framework, options.threads)


def _supervise(options: argparse.Namespace) -> int:
    from ml_runner.process import launch, supervisor

    os._exit(supervisor.supervise(options.directory, launch.execute))


def _job(options: argparse.Namespace) -> int:
    from ml_runner.process import child, launch

    launch.keep_from_children()
    child.main(options.directory)


def _adopt(options: argparse.Namespace) -> int:
    from ml_runner.process import adopt

    for directory in options.directories:
        outcome = adopt.adopt(directory)
        _say({"jobDir": str(directory), "outcome": outcome}, sys.stdout)
    return 0


def _say(value: object, out: IO[str]) -> None:
    text = json.dumps(value, ensure_ascii=False) + "\n"
    out.write(text.encode("utf-8", "backslashreplace").decode())
    out.flush()


def _claim_streams() -> tuple[int, int]:
    """Keeps fd 0 and 1 for the protocol: whatever else reads or prints meets neither."""
    reader, writer = os.dup(0), os.dup(1)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    os.dup2(2, 1)
    return reader, writer


def _claim_stdout() -> IO[str]:
    sys.stdout.flush()
    _, writer = _claim_streams()
    return os.fdopen(writer, "w", encoding="utf-8")
