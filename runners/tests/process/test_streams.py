"""What a job prints is kept within bounds, and never holds anything up."""

from __future__ import annotations

import os
import time
from pathlib import Path

from ml_runner.process.streams import HALF_BYTES, BoundedLog, Stream
from tests.process.lab import Lab, has_event, until

MIB = 1024 * 1024


def test_a_short_log_is_kept_whole(tmp_path: Path) -> None:
    log = BoundedLog(tmp_path / "log", half=1000)
    for number in range(20):
        log.write(b"line %d\n" % number)
    log.close()
    assert (tmp_path / "log").read_bytes() == b"".join(b"line %d\n" % n for n in range(20))


def test_a_long_log_keeps_its_first_and_its_last_half(tmp_path: Path) -> None:
    log = BoundedLog(tmp_path / "log", half=1000)
    written = b"".join(b"%06d\n" % n for n in range(3000))
    for start in range(0, len(written), 77):
        log.write(written[start : start + 77])
        assert (tmp_path / "log").stat().st_size <= 3100
    log.close()
    kept = (tmp_path / "log").read_bytes()
    assert len(kept) <= 2000
    head, _, rest = kept.partition(b"\n[\xe2\x80\xa6 ")
    dropped, _, tail = rest.partition(b" bytes left out \xe2\x80\xa6]\n")
    assert written.startswith(head)
    assert len(head) == 1000
    assert written.endswith(tail)
    assert len(tail) > 900
    assert len(head) + int(dropped) + len(tail) == len(written)


def test_last_lines(tmp_path: Path) -> None:
    log = BoundedLog(tmp_path / "log")
    log.write(b"a\n" * 5000)
    log.write("Fehler: käputt\n".encode())
    log.write(b"\xff\n")
    assert log.last_lines(3).splitlines() == ["a", "Fehler: käputt", "\ufffd"]
    log.close()


def test_what_is_left_in_a_pipe_is_taken_without_waiting_for_its_writers(tmp_path: Path) -> None:
    stream = Stream(tmp_path / "log")
    os.write(stream.writer, b"last words\n")
    stream.drain()
    stream.close()
    os.close(stream.writer)
    assert (tmp_path / "log").read_bytes() == b"last words\n"


def test_a_flood_neither_grows_memory_nor_files(lab: Lab) -> None:
    job = lab.job()
    supervisor = lab.supervise(job, "flood")
    until(lambda: has_event(job, "started"))
    peak, largest = 0, 0
    while not (job / "report.json").exists():
        peak = max(peak, _resident_bytes(supervisor.pid))
        largest = max(
            largest, *((job / f"{name}.log").stat().st_size for name in ("stdout", "stderr"))
        )
        time.sleep(0.05)
    assert "executionReport" in lab.answer(job)
    assert peak < 64 * MIB
    assert largest <= 3 * HALF_BYTES + MIB
    stdout = (job / "stdout.log").read_bytes()
    assert len(stdout) <= 2 * HALF_BYTES
    assert stdout.startswith(b"first of stdout\n")
    assert stdout.endswith(b"last of stdout\n")
    assert (job / "stderr.log").stat().st_size <= 2 * HALF_BYTES


def _resident_bytes(pid: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    except (FileNotFoundError, ProcessLookupError):
        pass
    return 0
