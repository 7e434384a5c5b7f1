"""Many processes that queue for slots, some of which are killed or leave the queue.

``queue_driver.py LOG COUNT SLOTS SEED BUSY``: each process tells in LOG, a JSON object a line, what
it gets and gives back; ``place`` is the order in which their tickets were drawn here. ``BUSY``
processes compute meanwhile.
"""

import json
import os
import random
import select
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from ml_runner.process import tickets
from ml_runner.process.slots import SlotQueue

KINDS = ["stays", "stays", "stays", "leaves", "killed", "killed", "exclusive"]


def main(log_path: str, count: int, slots: int, seed: int, busy: int) -> None:
    log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    generator = random.Random(seed)
    computing = [fork(compute) for _ in range(busy)]
    waiting: dict[int, float] = {}
    pids: set[int] = set()
    for place, kind in enumerate(kinds(seed, count)):
        ticket = tickets.draw("cpu")
        after = generator.uniform(0, 0.5)
        line = {"driver": seed, "place": place, "kind": kind}
        pid = fork(partial(queue, log, slots, ticket, line, after))
        pids.add(pid)
        if kind == "killed":
            waiting[pid] = time.monotonic() + after
        ticket.close()
        time.sleep(generator.choice([0, 0, 0.01]))
        kill_due(waiting, time.monotonic())
    while waiting:
        time.sleep(0.005)
        kill_due(waiting, time.monotonic())
    statuses = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    assert set(statuses) <= {0, -signal.SIGKILL}, statuses
    for pid in computing:
        os.kill(pid, signal.SIGKILL)


def kinds(seed: int, count: int) -> list[str]:
    """What each of them does."""
    generator = random.Random(seed)
    return [generator.choice(KINDS) for _ in range(count)]


def kill_due(waiting: dict[int, float], now: float) -> None:
    for pid in [pid for pid, due in waiting.items() if due <= now]:
        os.kill(pid, signal.SIGKILL)
        del waiting[pid]


def queue(log: int, slots: int, ticket: tickets.Ticket, line: dict[str, Any], after: float) -> None:
    """What one of them does, the way a supervisor does it."""
    names = [f"cpu-{number}" for number in range(slots)]
    queue = SlotQueue("cpu", names, exclusive=line["kind"] == "exclusive", ticket=ticket)
    reader, writer = os.pipe()
    has = queue.try_now()

    def tell(what: str) -> None:
        said = {**line, "what": what, "names": queue.names_held}
        os.write(log, json.dumps(said).encode() + b"\n")

    if not has:
        queue.wait_in_thread(writer)
        patience = after if line["kind"] == "leaves" else None
        if not select.select([reader], [], [], patience)[0]:
            tell("left")
            queue.leave()
            # What it may have had, and its place, have to be gone before its process is.
            time.sleep(0.3)
            return
        queue.join()
    tell("got")
    time.sleep(0.01)
    tell("gave")
    queue.release()


def compute() -> None:
    while True:
        pass


def fork(act: Callable[[], object]) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        act()
        os._exit(0)
    finally:
        os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
