"""The order of the queue: kept whatever the load, whoever dies in it or leaves it."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from ml_runner.process import tickets
from ml_runner.process.slots import SlotQueue
from tests.process.lab import Lab, until
from tests.process.queue_driver import kinds

DRIVER = Path(__file__).with_name("queue_driver.py")


@pytest.mark.parametrize(
    ("count", "busy"),
    [(60, 0), pytest.param(400, 3, marks=pytest.mark.soak)],
)
@pytest.mark.parametrize("slots", [1, 3])
def test_many_processes_some_of_which_are_killed_or_leave(
    lab: Lab, slots: int, count: int, busy: int
) -> None:
    # Each as a server with its zygote.
    seeds = [random.randrange(10**9) for _ in range(2)]
    said = f"seeds {seeds}"
    log = lab.home / "log"
    log.touch()
    drivers = [
        lab.start([sys.executable, str(DRIVER), str(log), *map(str, (count, slots, seed, busy))])
        for seed in seeds
    ]
    assert [driver.wait(240) for driver in drivers] == [0, 0], said
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    _expect_no_slot_over_used(lines, said)
    for seed in seeds:
        own = [line for line in lines if line["driver"] == seed]
        got, gave, left = (_places(own, what) for what in ("got", "gave", "left"))
        alive = {place for place, kind in enumerate(kinds(seed, count)) if kind != "killed"}
        assert alive <= {*gave, *left}, f"lost: {alive - {*gave, *left}}, {said}"
        if slots == 1:
            assert got == sorted(got), said
        for place in got:
            if kinds(seed, count)[place] == "exclusive":
                _expect_alone(own, place, slots, said)
    # Nobody is left who holds anything, and whoever comes next tidies up.
    last = SlotQueue("cpu", ["cpu-0"], exclusive=True)
    assert last.try_now(), said
    assert len(last.names_held) == slots, said
    last.release()
    names = os.listdir(lab.home / "slots" / "queue-cpu.d")
    assert [name for name in names if name.isdecimal()] == [], said


def _places(lines: list[dict[str, Any]], what: str) -> list[int]:
    return [line["place"] for line in lines if line["what"] == what]


def _expect_no_slot_over_used(lines: list[dict[str, Any]], said: str) -> None:
    holder: dict[str, dict[str, Any]] = {}
    for line in lines:
        if line["what"] == "gave":
            for name in line["names"]:
                holder.pop(name)
        if line["what"] == "got":
            assert line["names"], said
            for name in line["names"]:
                # One that was killed could not tell that it gave it back.
                assert name not in holder or holder[name]["kind"] == "killed", said
                holder[name] = line


def _expect_alone(own: list[dict[str, Any]], place: int, slots: int, said: str) -> None:
    """An exclusive one has all, after everybody before it and before everybody behind it."""
    got = next(i for i, one in enumerate(own) if (one["what"], one["place"]) == ("got", place))
    assert len(own[got]["names"]) == slots, said
    assert all(earlier < place for earlier in _places(own[:got], "got")), said
    assert all(later > place for later in _places(own[got + 1 :], "got")), said


def test_a_ticket_is_behind_those_that_were_drawn_before(lab: Lab) -> None:
    first, second, third = (tickets.draw("cpu") for _ in range(3))
    other = tickets.draw("gpu")
    assert [one.is_first() for one in (first, second, third, other)] == [True, False, False, True]
    second.drop()
    assert not third.is_first()
    first.drop()
    assert third.is_first()
    assert tickets.draw("cpu").number > third.number


def test_a_free_slot_is_not_taken_by_whoever_is_not_first(lab: Lab) -> None:
    before = tickets.draw("cpu")
    mine = SlotQueue("cpu", ["cpu-0"])
    assert not mine.try_now()
    before.drop()
    assert mine.try_now()
    # It has its slot, so nobody waits for it.
    assert not SlotQueue("cpu", ["cpu-0"]).try_now()
    assert SlotQueue("cpu", ["cpu-1"])._ticket is None


def test_who_leaves_takes_nothing_any_more_and_gives_back_what_it_had(lab: Lab) -> None:
    running = SlotQueue("cpu", ["cpu-0"])
    assert running.try_now()
    exclusive = SlotQueue("cpu", ["cpu-0", "cpu-1", "cpu-2"], exclusive=True)
    reader, writer = os.pipe()
    assert not exclusive.try_now()
    exclusive.wait_in_thread(writer)
    behind = SlotQueue("cpu", ["cpu-1"])
    assert not behind.try_now()
    exclusive.leave()
    assert exclusive.held == []
    assert behind.try_now()
    running.release()
    assert os.read(reader, 1)
    exclusive.join()
    assert exclusive.held == []
    os.close(reader)
    os.close(writer)


def test_a_ticket_lives_as_long_as_a_process_that_has_it(lab: Lab) -> None:
    ticket, mine = tickets.draw("cpu"), tickets.draw("cpu")
    pid = os.fork()
    if pid == 0:
        signal.pause()
    ticket.close()
    assert not mine.is_first()
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert mine.is_first()


def test_whoever_died_while_drawing_is_in_nobodys_way(lab: Lab) -> None:
    tickets.draw("cpu").drop()
    (lab.home / "slots" / "queue-cpu.d" / "unnamed").write_text("")
    assert tickets.draw("cpu").is_first()


def test_a_stopped_supervisor_keeps_its_place(lab: Lab) -> None:
    """However long the kernel lets a process wait that has been started."""
    first, second = lab.job(slots=1), lab.job(slots=1)
    ticket = tickets.draw_for(first)
    assert ticket is not None
    os.set_inheritable(ticket.descriptor, True)
    place = ["--ticket", str(ticket.number), str(ticket.descriptor)]
    stopped = lab.runner("supervise", str(first), *place, pass_fds=[ticket.descriptor])
    os.kill(stopped.pid, signal.SIGSTOP)
    ticket.close()
    lab.supervise(second, "succeed")
    until(lambda: len(os.listdir(lab.home / "slots" / "queue-cpu.d")) == 3)
    assert not (second / "report.json").exists()
    os.kill(stopped.pid, signal.SIGCONT)
    lab.answer(first)
    lab.answer(second)
