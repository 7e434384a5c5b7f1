"""What job processes do in these tests: ways to end, and ways not to."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from ml_runner import errors, files
from ml_runner.job import Job

SLEEP = "import time; time.sleep(600)"


def succeed(directory: Path) -> None:
    answer(directory, {"executionReport": {"exitCode": 0, "status": "success"}})


def exit_3(directory: Path) -> None:
    print("leaving", file=sys.stderr, flush=True)
    os._exit(3)


def exit_0_silently(directory: Path) -> None:
    os._exit(0)


def segfault(directory: Path) -> None:
    ctypes.string_at(0)


def kill_itself(directory: Path) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def kill_its_group(directory: Path) -> None:
    os.killpg(0, signal.SIGKILL)


def leave_sessions(directory: Path) -> None:
    """Leaves children in sessions of their own, without environment, and then succeeds."""
    for _ in range(2):
        child = subprocess.Popen(
            [sys.executable, "-c", SLEEP],
            start_new_session=True,
            env={},
            stdin=subprocess.DEVNULL,
        )
        note(directory, child.pid)
    succeed(directory)


def leave_double_forks(directory: Path) -> None:
    """Leaves daemons that ignore SIGTERM and hold the job's pipes open, and then succeeds."""
    for _ in range(2):
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                note(directory, os.getpid())
                time.sleep(600)
            os._exit(0)
        os.wait()
    (directory / "pids").touch()
    while len((directory / "pids").read_text().split()) < 2:
        time.sleep(0.01)
    succeed(directory)


def fork_on_and_on(directory: Path) -> None:
    """Leaves a process that replaces itself faster than it can be found, and then succeeds."""
    if os.fork() == 0:
        os.setsid()
        while True:
            if os.fork():
                os._exit(0)
    time.sleep(0.05)
    succeed(directory)


def loop(directory: Path) -> None:
    note(directory, os.getpid())
    while True:
        pass


def loop_deaf(directory: Path) -> None:
    """Ignores every signal that can be ignored, and has a child that does too."""
    for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.fork()
    note(directory, os.getpid())
    while True:
        time.sleep(1)


def stop_itself(directory: Path) -> None:
    os.kill(os.getpid(), signal.SIGSTOP)
    time.sleep(600)


def checkpoint_when_cancelled(directory: Path) -> None:
    """Trains in a loop that writes a last checkpoint when it is asked to stop."""
    job = Job(directory)
    job.listen_for_cancel()
    try:
        with job.stopping_at_checks():
            note(directory, os.getpid())
            epoch = 0
            while not job.cancel_requested:
                epoch += 1
                time.sleep(0.01)
            job.checkpoint_saved(directory / "artifacts" / "last.ckpt", "epoch", epoch)
    except errors.Cancelled as error:
        answer(directory, error.to_answer())


def succeed_when_cancelled(directory: Path) -> None:
    """Was done anyway when the request to stop came."""
    asked = []
    signal.signal(signal.SIGUSR1, lambda *_: asked.append(1))
    note(directory, os.getpid())
    while not asked:
        time.sleep(0.01)
    succeed(directory)


def checkpoint_and_loop(directory: Path) -> None:
    job = Job(directory)
    job.checkpoint_saved(directory / "artifacts" / "last.ckpt", "round", 40)
    loop(directory)


def checkpoint_and_die(directory: Path) -> None:
    job = Job(directory)
    job.checkpoint_saved(directory / "artifacts" / "last.ckpt", "round", 40)
    kill_itself(directory)


def short(directory: Path) -> None:
    time.sleep(0.15)
    succeed(directory)


def flood(directory: Path) -> None:
    """Prints 512 MiB to each stream."""
    block = b"x" * 1023 + b"\n"
    os.write(1, b"first of stdout\n")
    for _ in range(512):
        os.write(1, block * 512)
        os.write(2, block * 512)
        os.write(1, block * 512)
        os.write(2, block * 512)
    os.write(1, b"last of stdout\n")
    succeed(directory)


def daemon_floods(directory: Path) -> None:
    """Leaves a process behind that prints without end, and then succeeds."""
    if os.fork() == 0:
        os.setsid()
        while True:
            os.write(1, b"y" * 65536)
    time.sleep(0.1)
    succeed(directory)


def describe_itself(directory: Path) -> None:
    """Says what a job process finds itself to be."""
    descriptors = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            descriptors[name] = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:
            continue
    answer(
        directory,
        {
            "executionReport": {
                "exitCode": 0,
                "descriptors": descriptors,
                "cwd": os.getcwd(),
                "session": os.getsid(0) == os.getpid(),
                "oom": Path("/proc/self/oom_score_adj").read_text().strip(),
                "job": os.environ["ML_EXECUTOR_JOB"],
                "signals": {
                    name: str(signal.getsignal(getattr(signal, name)))
                    for name in ("SIGTERM", "SIGCHLD", "SIGUSR1", "SIGHUP")
                },
            }
        },
    )


def survive_supervisor(directory: Path) -> None:
    """Has descendants of every kind, and then waits for its supervisor to be killed."""
    spawned = subprocess.Popen([sys.executable, "-c", SLEEP], start_new_session=True)
    note(directory, spawned.pid)
    job = Job(directory)
    job.phase("training")
    if os.fork() == 0:
        os.setsid()
        note(directory, os.getpid())
        time.sleep(600)
    note(directory, os.getpid())
    time.sleep(600)


def answer_and_wait(directory: Path) -> None:
    """Has written its answer, and lives on."""
    succeed(directory)
    note(directory, os.getpid())
    time.sleep(600)


def answer(directory: Path, value: dict) -> None:
    files.write_json(directory / "result.json", value)


def note(directory: Path, pid: int) -> None:
    with open(directory / "pids", "a") as file:
        file.write(f"{pid}\n")


def draw(directory: Path) -> None:
    """Draws from the global generators, as a job that was made fresh does."""
    import random

    import numpy

    from ml_runner.process import child

    child.make_fresh(1)
    drawn = [random.random(), float(numpy.random.random())]
    answer(directory, {"executionReport": {"exitCode": 0, "drawn": drawn}})


def work_and_answer(directory: Path) -> None:
    """Has descendants of every kind and events, and then succeeds."""
    job = Job(directory)
    subprocess.Popen(["sleep", "600"], start_new_session=True)
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(600)
        os._exit(0)
    for done in range(5):
        job.progress("round", done + 1, 5)
        time.sleep(0.01)
    succeed(directory)


def say_gpu_and_loop(directory: Path) -> None:
    """Says which GPUs it sees."""
    (directory / "gpu").write_text(os.environ.get("CUDA_VISIBLE_DEVICES", "none set"))
    note(directory, os.getpid())
    while True:
        time.sleep(1)


def use_gpu(directory: Path) -> None:
    """Computes on GPU 0, with a child, beside a stranger, until it has been sampled."""
    child = subprocess.Popen([sys.executable, "-c", SLEEP])
    state = Path(os.environ["FAKE_NVML_STATE"])
    time.sleep(0.5)
    state.write_text(f"0 {os.getpid()} {2 << 30}\n0 {child.pid} {3 << 30}\n0 1 {1 << 30}\n")
    time.sleep(2.5)
    child.kill()
    child.wait()
    report = {"exitCode": 0, "gpuUsed": True, "metadata": {}}
    answer(directory, {"executionReport": report})


def fill_memory(directory: Path) -> None:
    """Fills 16 MiB after 16 MiB of memory; not for ever, should nobody end it."""
    note(directory, os.getpid())
    held = []
    while len(held) < 128:
        held.append(b"x" * (16 << 20))
    succeed(directory)


def fill_memory_in_children(directory: Path) -> None:
    """Has three children that each fill 60 MiB, one of them in a session of its own."""
    job = Job(directory)
    job.checkpoint_saved(directory / "artifacts" / "last.ckpt", "round", 40)
    code = "held = b'x' * (60 << 20); import time; time.sleep(600)"
    for own in (True, False, False):
        note(directory, subprocess.Popen([sys.executable, "-c", code], start_new_session=own).pid)
    time.sleep(600)


def share_memory(directory: Path) -> None:
    """Fills 80 MiB and has four children that share it with their parent."""
    held = b"x" * (80 << 20)
    for _ in range(4):
        if os.fork() == 0:
            time.sleep(600)
    time.sleep(2.5)
    answer(directory, {"executionReport": {"exitCode": 0, "held": len(held)}})


def map_a_file(directory: Path) -> None:
    """Reads 300 MiB through a memory map: the kernel can let that go."""
    import mmap

    path = directory / "large"
    with open(path, "wb") as file:
        for _ in range(300):
            file.write(b"x" * (1 << 20))
    with open(path, "rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        read = sum(mapped[place] for place in range(0, len(mapped), 4096))
        time.sleep(1.5)
    answer(directory, {"executionReport": {"exitCode": 0, "read": read}})


def save_slowly(directory: Path) -> None:
    """Takes 4.5 s to write a checkpoint when it is asked to stop."""
    job = Job(directory)
    job.listen_for_cancel()
    try:
        with job.stopping_at_checks():
            note(directory, os.getpid())
            while not job.cancel_requested:
                time.sleep(0.01)
            time.sleep(4.5)
            job.checkpoint_saved(directory / "artifacts" / "last.ckpt", "epoch", 7)
    except errors.Cancelled as error:
        answer(directory, error.to_answer())
