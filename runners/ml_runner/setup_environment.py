"""Makes or extends the managed environment: a venv with pinned versions, in layers.

``python -m ml_runner.setup_environment --locks DIR --environments DIR --layers a,b`` with a base
Python. It says what it does as JSON objects, one a line, on stdout (``src/runners/managed.ts``
reads them), and ends with ``done`` or ``error``.

All of it happens under an flock on the environment's lock file, which pip inherits: whatever is
killed, the next setup waits until nothing writes any more. A layer has a marker that is written
when it is complete. One that was being installed when its setup died is looked over file by file,
and what is not whole is taken out before pip runs again: pip takes a distribution for installed as
soon as its metadata is there.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
import venv
from pathlib import Path
from typing import Any

from ml_runner import distributions, files, gpus

MARKERS = "ml-executor"
MEGABYTE = 1024 * 1024
# Space beyond the layer's own that must be free: pip keeps downloads and unpacks beside them.
SPARE_MEGABYTES = 300


class SetupError(Exception):
    """The environment cannot be made; has a ``solution``."""

    def __init__(self, message: str, solution: str) -> None:
        super().__init__(message)
        self.solution = solution


def say(type: str, **fields: Any) -> None:
    """Writes one message for whoever started this."""
    sys.stdout.write(json.dumps({"type": type, **fields}) + "\n")
    sys.stdout.flush()


def lock_key(locks: Path) -> str:
    """Digest of every lock file; environments of different locks never mix.

    ``lockKey`` in ``src/runners/managed.ts`` computes the same.
    """
    digest = hashlib.sha256()
    for path in sorted(locks.iterdir(), key=lambda path: path.name):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


class Environment:
    """One managed environment on disk.

    Args:
        directory: the venv itself.
        locks: the directory with ``layers.json`` and the lock files.
    """

    def __init__(self, directory: Path, locks: Path) -> None:
        self.directory = directory
        self.locks = locks
        self.python = directory / "bin" / "python"
        self.markers = directory / MARKERS
        self.log = self.markers / "setup.log"
        self.layers: dict[str, dict[str, Any]] = json.loads((locks / "layers.json").read_bytes())[
            "layers"
        ]

    @property
    def site_packages(self) -> Path:
        """Where pip installs."""
        variables = {"base": str(self.directory), "platbase": str(self.directory)}
        return Path(sysconfig.get_path("purelib", "venv", variables))

    def lock_file(self, layer: str) -> Path:
        """The lock of a layer on this machine."""
        row = self.layers[layer]
        return self.locks / (row.get("lockWithNvidiaGpu", row["lock"]) if NVIDIA else row["lock"])

    def needed_megabytes(self, layer: str) -> int:
        """Roughly what a layer takes on disk on this machine."""
        row = self.layers[layer]
        return row.get("megabytesWithNvidiaGpu", row["megabytes"]) if NVIDIA else row["megabytes"]

    def in_order(self, asked: list[str]) -> list[str]:
        """The layers asked for and those that they need, lowest first."""
        order: list[str] = []

        def add(layer: str) -> None:
            if layer not in self.layers:
                names = ", ".join(self.layers)
                raise SetupError(f"there is no layer '{layer}'", f"Name one or more of: {names}.")
            for below in self.layers[layer]["needs"]:
                add(below)
            if layer not in order:
                order.append(layer)

        for layer in asked:
            add(layer)
        return order

    def complete(self, layer: str) -> bool:
        """Whether a layer is there, with the lock that this machine needs."""
        try:
            marker = json.loads((self.markers / f"{layer}.json").read_bytes())
        except (OSError, ValueError):
            return False
        return marker["lock"] == self.lock_file(layer).name

    def whole(self) -> bool:
        """Whether the venv was made to its end and its interpreter still runs."""
        if not (self.markers / "venv.json").exists():
            return False
        try:
            done = subprocess.run(
                [self.python, "-I", "-c", "import sys; print(sys.version_info[:2])"],
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
        except (OSError, subprocess.SubprocessError):
            return False
        return done.stdout.strip() == str(sys.version_info[:2])


NVIDIA = bool(gpus.nvidia())


def make_venv(environment: Environment) -> None:
    """Makes the venv anew, in place of whatever a cut-off setup left there.

    Raises:
        SetupError: this Python has neither ensurepip nor pip.
    """
    say("venv", path=str(environment.directory), python=sys.version.split()[0])
    if environment.directory.exists():
        shutil.rmtree(environment.directory)
    with_pip = distributions.importable("ensurepip")
    if not with_pip and not distributions.importable("pip"):
        raise SetupError(
            f"{sys.executable} has neither ensurepip nor pip",
            "Install them (on Debian and Ubuntu: apt install python3-venv), or name another "
            "Python: ml-executor setup --python PATH.",
        )
    venv.create(environment.directory, symlinks=True, with_pip=with_pip)
    environment.markers.mkdir()
    files.write_json(environment.markers / "venv.json", {"python": sys.version.split()[0]})


def install(environment: Environment, layer: str, lock_descriptor: int) -> None:
    """Installs one layer and marks it complete.

    Raises:
        SetupError: too little disk space, or pip failed.
    """
    lock = environment.lock_file(layer)
    requirements = [
        line for line in lock.read_text().splitlines() if line and not line.startswith("#")
    ]
    check_space(environment, layer)
    say(
        "layer",
        layer=layer,
        state="installing",
        title=environment.layers[layer]["title"],
        packages=len(requirements),
        megabytes=environment.needed_megabytes(layer),
    )
    started, before = time.monotonic(), distributions.size_bytes(environment.site_packages)
    (environment.markers / f"{layer}.installing").touch()
    remove_variant(environment, layer, lock_descriptor)
    with tempfile.NamedTemporaryFile("w", suffix=".txt", dir=environment.markers) as constraints:
        # Whatever is installed now fits what any other layer will bring.
        for path in sorted(environment.locks.glob("*.txt")):
            constraints.write(path.read_text() + "\n")
        constraints.flush()
        arguments = ["install", "-r", str(lock), "-c", constraints.name]
        run_pip(environment, layer, arguments, lock_descriptor)
    seconds = round(time.monotonic() - started, 1)
    megabytes = round((distributions.size_bytes(environment.site_packages) - before) / MEGABYTE, 1)
    done = {"lock": lock.name, "seconds": seconds, "megabytes": megabytes}
    files.write_json(environment.markers / f"{layer}.json", done)
    (environment.markers / f"{layer}.installing").unlink()
    say("layer", layer=layer, state="done", seconds=seconds, megabytes=megabytes)


def remove_variant(environment: Environment, layer: str, lock_descriptor: int) -> None:
    """Takes out the same library's other build, whose files would mix with this one's."""
    row, lock = environment.layers[layer], environment.lock_file(layer)
    others = {row["lock"], row.get("lockWithNvidiaGpu", row["lock"])} - {lock.name}
    wanted = set(pinned(lock))
    for other in others:
        names = [name for name in pinned(environment.locks / other) if name not in wanted]
        found = [name for name in names if distributions.find(environment.site_packages, name)]
        if found:
            run_pip(environment, layer, ["uninstall", "--yes", *found], lock_descriptor)


def pinned(lock: Path) -> list[str]:
    """The names of the distributions that a lock file pins."""
    return re.findall(r"^([A-Za-z0-9._-]+)==", lock.read_text(), re.MULTILINE)


def check_space(environment: Environment, layer: str) -> None:
    """Raises ``SetupError`` where the disk cannot hold the layer."""
    free = shutil.disk_usage(environment.directory).free // MEGABYTE
    needed = environment.needed_megabytes(layer) + SPARE_MEGABYTES
    if free < needed:
        raise SetupError(
            f"{environment.directory} has {free} MB of free space; the layer '{layer}' needs "
            f"about {needed} MB",
            "Free some space, or set ML_EXECUTOR_CACHE to a directory on a larger disk.",
        )


def repair(environment: Environment) -> None:
    """After a setup that was cut off: takes out what it left half installed."""
    if not list(environment.markers.glob("*.installing")):
        return
    removed = distributions.remove_broken(environment.site_packages)
    say("repaired", removed=removed)


def run_pip(
    environment: Environment, layer: str, arguments: list[str], lock_descriptor: int
) -> None:
    """Runs pip of the environment (or this Python's, aimed at it) and tells what it does."""
    command = [str(environment.python), "-I", "-m", "pip"]
    if not distributions.find(environment.site_packages, "pip"):
        command = [sys.executable, "-I", "-m", "pip", "--python", str(environment.python)]
    verb, *rest = arguments
    command += [verb, "--no-input", "--disable-pip-version-check"]
    command += ["--progress-bar", "off"] if verb == "install" else []
    variables = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    # `user = true` in pip's configuration cannot hold inside a venv.
    variables["PIP_USER"] = "0"
    process = subprocess.Popen(
        command + rest,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=variables,
        pass_fds=(lock_descriptor,),
        preexec_fn=_die_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509
    )
    finished = threading.Event()
    threading.Thread(target=_tell_size, args=(environment, layer, finished), daemon=True).start()
    tail: list[str] = []
    try:
        assert process.stdout is not None
        with environment.log.open("a") as log:
            for line in process.stdout:
                log.write(line)
                tail = [*tail[-14:], line.rstrip()]
                step = _step(line)
                if step:
                    say("step", layer=layer, **step)
        code = process.wait()
    except BaseException:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
        process.kill()
        raise
    finally:
        finished.set()
    if code != 0:
        said = "\n".join(line for line in tail if line.strip())
        raise SetupError(
            f"pip could not install the layer '{layer}' (exit code {code}):\n{said}",
            f"See {environment.log}. pip uses this machine's own configuration: check that its "
            "index can be reached (pip config list), then run the setup again; it goes on where "
            "it stopped.",
        )


def _die_with_parent() -> None:
    import ctypes

    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def _tell_size(environment: Environment, layer: str, finished: threading.Event) -> None:
    while not finished.wait(2):
        megabytes = round(distributions.size_bytes(environment.site_packages) / MEGABYTE)
        with contextlib.suppress(OSError, ValueError):
            say("size", layer=layer, megabytes=megabytes)


def _step(line: str) -> dict[str, str] | None:
    """What a line that pip prints means, or ``None``."""
    text = line.strip()
    patterns = {
        "collecting": r"Collecting (\S+)",
        "downloading": r"Downloading (?:\S*/)?(\S+?)(?:\.metadata)? \((.+)\)$",
        "cached": r"Using cached (?:\S*/)?(\S+?)(?:\.metadata)? \((.+)\)$",
        "processing": r"Processing (?:\S*/)?(\S+)",
        "installing": r"Installing collected packages: (.+)$",
    }
    for what, pattern in patterns.items():
        found = re.match(pattern, text)
        if found and ".metadata" not in text:
            size = found.group(2) if found.re.groups > 1 else ""
            return {"what": what, "name": found.group(1), "size": size}
    return None


def take_lock(path: Path) -> int:
    """Waits for the environment's lock, saying so, and returns its descriptor."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = files.try_lock(path)
    if descriptor is not None:
        return descriptor
    say("waiting", path=str(path))
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


def set_up(locks: Path, environments: Path, asked: list[str]) -> None:
    """Brings the environment of this Python and these locks up to the layers asked for."""
    started = time.monotonic()
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    directory = environments / f"py{version}-{lock_key(locks)}"
    environment = Environment(directory, locks)
    order = environment.in_order(asked)
    lock_descriptor = take_lock(environments / f"{directory.name}.lock")
    if not environment.whole():
        make_venv(environment)
    repair(environment)
    missing = [layer for layer in order if not environment.complete(layer)]
    say(
        "plan", path=str(directory), present=[x for x in order if x not in missing], missing=missing
    )
    for layer in missing:
        install(environment, layer, lock_descriptor)
    size = distributions.size_bytes(directory)
    say(
        "done",
        executable=str(environment.python),
        path=str(directory),
        layers=order,
        installed=missing,
        megabytes=round(size / MEGABYTE),
        seconds=round(time.monotonic() - started, 1),
    )


def _end_with_stdin() -> None:
    # The pipe from whoever started this: its end means that nobody is there any more.
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _interrupt(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt


def main() -> int:
    """Returns the exit code: 0, 1 (told why), 2 (wrong arguments) or 130 (interrupted)."""
    parser = argparse.ArgumentParser(prog="ml_runner.setup_environment")
    parser.add_argument("--locks", type=Path, required=True)
    parser.add_argument("--environments", type=Path, required=True)
    parser.add_argument("--layers", required=True)
    parser.add_argument("--end-with-stdin", action="store_true")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGHUP, _interrupt)
    try:
        if options.end_with_stdin:
            threading.Thread(target=_end_with_stdin, daemon=True).start()
        set_up(options.locks, options.environments, options.layers.split(","))
    except SetupError as error:
        say("error", message=str(error), solution=error.solution)
        return 1
    except OSError as error:
        say(
            "error",
            message=f"the environment cannot be made: {error}",
            solution="Check the directory's permissions and space, or set ML_EXECUTOR_CACHE to "
            "another directory.",
        )
        return 1
    except KeyboardInterrupt:
        with contextlib.suppress(OSError):
            say("interrupted")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
