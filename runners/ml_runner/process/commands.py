"""Dispatches the runner's command line."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from ml_runner import activation, files


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
    run.add_argument(
        "--memory-limit",
        metavar="SIZE",
        type=_memory_limit,
        help="bytes (4GB, 512MB) or a share of what is left (80%%) that the job may take in all",
    )
    environment = add("environment", _environment, "print what this interpreter has")
    environment.set_defaults(command=_environment)
    describe = add("describe", _describe, "print what a path holds")
    describe.add_argument("params", metavar="PARAMS.json", help="{params, baseDir, roots}")
    add("vocabulary", _vocabulary, "print the algorithms and metrics that there are")
    zygote = add("zygote", _zygote, "import a framework and fork jobs")
    zygote.add_argument("--framework", required=True, metavar="NAME")
    resident = add("resident", _resident, "serve light jobs over a Unix socket")
    resident.add_argument("--socket", required=True, metavar="PATH")
    resident.add_argument("--framework", required=True, metavar="NAME")
    resident.add_argument("--threads", required=True, type=int, metavar="N")
    supervise = add("supervise", _supervise, "become the supervisor of a job")
    supervise.add_argument("directory", metavar="JOBDIR", type=_directory)
    supervise.add_argument(
        "--ticket",
        metavar=("NUMBER", "FD"),
        type=int,
        nargs=2,
        help="its place in the queue, and the descriptor that holds it",
    )
    job = add("job", _job, "do a job (started by its supervisor)")
    job.add_argument("directory", metavar="JOBDIR", type=_directory)
    rank = add("rank", _rank, "be one of the processes of a job (started by the job)")
    for name in ("rank", "count", "writer"):
        rank.add_argument(name, metavar=name.upper(), type=int)
    adopt = add("adopt", _adopt, "see to jobs that lost their supervisor")
    adopt.add_argument("directories", metavar="JOBDIR", type=_directory, nargs="+")
    return parser


def _directory(text: str) -> Path:
    return Path(text).absolute()


def _memory_limit(text: str) -> dict[str, float]:
    from ml_runner.process import memory_limit

    try:
        return memory_limit.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _run(options: argparse.Namespace) -> int:
    from ml_runner import run

    activation.activate()
    return run.main(options.request, options.memory_limit)


def _environment(_options: argparse.Namespace) -> int:
    from ml_runner import environment

    return environment.main() or 0


def _describe(options: argparse.Namespace) -> int:
    from ml_runner.process import resident

    activation.activate()
    out = _claim_stdout()
    request = files.read_json(Path(options.params))
    _say(resident.describe(request), out)
    return 0


def _vocabulary(_options: argparse.Namespace) -> int:
    from ml_runner.training import vocabulary

    out = _claim_stdout()
    _say(vocabulary.report(), out)
    return 0


def _zygote(options: argparse.Namespace) -> int:
    from ml_runner.process import zygote

    activation.activate()
    return zygote.main(*_claim_streams(), options.framework)


def _resident(options: argparse.Namespace) -> int:
    from ml_runner.process import resident

    activation.activate()
    reader, writer = _claim_streams()
    os.close(reader)
    os.close(writer)
    return resident.main(options.socket, options.framework, options.threads)


def _supervise(options: argparse.Namespace) -> int:
    from ml_runner.process import launch, supervisor, tickets

    # Whoever started us may wait for the end of our stdout, which `supervise` points elsewhere: it
    # has to come after this.
    if options.ticket is None:
        ticket = tickets.draw_for(options.directory)
    else:
        ticket = tickets.inherited(options.directory, *options.ticket)
    os._exit(supervisor.supervise(options.directory, launch.execute, ticket=ticket))


def _job(options: argparse.Namespace) -> int:
    from ml_runner.process import child, launch

    activation.activate()
    launch.keep_from_children()
    child.main(options.directory)


def _rank(options: argparse.Namespace) -> int:
    from ml_runner.process import rank

    activation.activate()
    rank.main(options.rank, options.count, options.writer)


def _adopt(options: argparse.Namespace) -> int:
    from ml_runner.process import adopt

    code = 0
    for directory in options.directories:
        try:
            outcome = adopt.adopt(directory)
        except Exception as error:
            # A damaged job must not keep the others from being seen to.
            sys.stderr.write(f"{directory}: {type(error).__name__}: {error}\n")
            code = 1
            continue
        _say({"jobDir": str(directory), "outcome": outcome}, sys.stdout)
    return code


def _say(value: object, out: IO[str]) -> None:
    out.write(files.to_json(value).decode() + "\n")
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
