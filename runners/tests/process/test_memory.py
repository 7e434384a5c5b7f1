"""Memory limits: what counts, who is ended, and what is told of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml_runner.process import memory, memory_limit
from tests.process.lab import Lab, alive, event, pids, until

MIB = 1 << 20
LIMIT = {"memoryLimit": {"bytes": 150 * MIB}}


def test_a_job_that_fills_memory_is_ended_before_it_has_much_more_than_its_limit(lab: Lab) -> None:
    job = lab.job(**LIMIT)
    lab.supervise(job, "fill_memory")
    error = lab.error(job)
    assert (error["type"], error["exitCode"]) == ("out-of-memory", 137)
    metadata = error["metadata"]
    assert metadata["limitBytes"] == 150 * MIB
    assert metadata["memoryLimit"] == "150.0MB"
    assert metadata["limitedBy"] == "set by --memory-limit"
    assert 150 * MIB < metadata["peakBytes"] < 1024 * MIB
    assert metadata["largestProcess"]["pid"] == pids(job)[0]
    assert "150.0MB" in error["message"]
    assert not alive(pids(job)[0])
    assert event(job, "ended")["exitCode"] == 137


def test_children_count_and_go_with_it(lab: Lab) -> None:
    job = lab.job(**LIMIT)
    lab.supervise(job, "fill_memory_in_children")
    error = lab.error(job)
    assert error["type"] == "out-of-memory"
    assert error["metadata"]["processes"] == 4
    assert error["metadata"]["lastCheckpoint"]["done"] == 40
    assert not any(map(alive, pids(job)))


@pytest.mark.parametrize("entry", ["share_memory", "map_a_file"])
def test_what_is_shared_counts_once_and_what_the_kernel_can_let_go_not_at_all(
    lab: Lab, entry: str
) -> None:
    report = lab.run(lab.job(**LIMIT), entry)["executionReport"]
    assert report["metadata"]["peakMemoryBytes"] > 70 * MIB


def test_by_default_it_is_a_share_of_what_is_left() -> None:
    left = memory.left()
    assert left is not None
    limit = memory_limit.Limit.of({})
    assert limit.bytes == pytest.approx(0.9 * left, rel=0.2)
    assert (limit.why, limit.chosen) == ("90% of what was left when it started", False)
    half = memory_limit.Limit.of({"memoryLimit": {"share": 0.5}})
    assert half.bytes == pytest.approx(0.5 * left, rel=0.2)
    assert half.chosen


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("4GB", {"bytes": 4 << 30}),
        ("512 MiB", {"bytes": 512 * MIB}),
        ("1.5g", {"bytes": 3 << 29}),
        ("104857600", {"bytes": 100 * MIB}),
        ("80%", {"share": 0.8}),
    ],
)
def test_limits_as_they_are_typed(text: str, limit: dict[str, float]) -> None:
    assert memory_limit.parse(text) == limit


@pytest.mark.parametrize("text", ["", "much", "-1GB", "1MB", "0%", "101%", "4GBs", "1e9"])
def test_limits_that_mean_nothing(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        memory_limit.parse(text)


def test_the_tightest_cgroup_on_the_way_up_counts(tmp_path: Path) -> None:
    membership = tmp_path / "cgroup"
    membership.write_text("0::/outer/inner\n")

    def group(name: str, most: str, used: int, cached: int) -> None:
        folder = tmp_path / "fs" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "memory.max").write_text(f"{most}\n")
        (folder / "memory.current").write_text(f"{used}\n")
        (folder / "memory.stat").write_text(f"anon 5\ninactive_file {cached}\n")

    group("outer/inner", "max", 100, 0)
    group("outer", "1000", 700, 50)
    assert memory.cgroup_amounts(str(membership), str(tmp_path / "fs")) == [350]
    group("outer/inner", "400", 100, 20)
    assert memory.cgroup_amounts(str(membership), str(tmp_path / "fs")) == [320, 350]


def test_cgroups_of_the_first_version(tmp_path: Path) -> None:
    membership = tmp_path / "cgroup"
    # In a container the path is that outside, of which only the mount's root is to be seen.
    membership.write_text("5:cpu:/x\n4:memory:/docker/abc\n0::/\n")
    folder = tmp_path / "fs" / "memory"
    folder.mkdir(parents=True)
    (folder / "memory.limit_in_bytes").write_text("1000\n")
    (folder / "memory.usage_in_bytes").write_text("400\n")
    (folder / "memory.stat").write_text("inactive_file 1\ntotal_inactive_file 100\n")
    assert memory.cgroup_amounts(str(membership), str(tmp_path / "fs")) == [700]
    (folder / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    assert memory.cgroup_amounts(str(membership), str(tmp_path / "fs")) == []


def test_the_watch_looks_often_only_where_the_limit_is_near() -> None:
    far = memory_limit.MemoryWatch(memory_limit.Limit(1 << 50, "a test"))
    first = far.look()
    assert far.due == first
    assert far._pause(10.0, 0, 0.0) == memory_limit.LONGEST_PAUSE
    near = memory_limit.MemoryWatch(memory_limit.Limit(1000 * MIB, "a test"))
    assert near._pause(10.0, 999 * MIB, 0.0) == memory_limit.SHORTEST_PAUSE
    assert near._pause(11.0, 999 * MIB, 0.005) == pytest.approx(0.05)
    # One that grows faster than any was thought to.
    fast = memory_limit.MemoryWatch(memory_limit.Limit(100 << 30, "a test"))
    fast._pause(10.0, 0, 0.0)
    assert fast._pause(11.0, 20 << 30, 0.0) == memory_limit.LONGEST_PAUSE
    assert fast._pause(12.0, 90 << 30, 0.0) == pytest.approx(10 / 70 / 2)


def test_a_checkpoint_may_take_its_time_where_the_job_has_taken_note(lab: Lab) -> None:
    from tests.process.lab import cancel

    job = lab.job()
    lab.supervise(job, "save_slowly")
    until(lambda: pids(job))
    cancel(job)
    error = lab.error(job)
    assert error["type"] == "cancelled"
    assert error["metadata"]["lastCheckpoint"]["done"] == 7
