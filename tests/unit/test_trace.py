"""The wire's file: its limit, a disk that refuses, and the mark that tells of both."""

import errno
import os
from pathlib import Path

import pytest

from cluster.wire.trace import Trace
from results.bundle import Note
from results.records import ConnectionTrace
from results.run_folder import WIRE, read_records

OPENED = ConnectionTrace(replica="web-0", connection=1, backend_pid=2, event="open", at_ns=3,
                         state="I", in_flight=False)  # fmt: skip


def events(file: Path) -> tuple[list[str], list[Note]]:
    notes: list[Note] = []
    records = read_records(file, WIRE, notes)
    return [one.event for one in records if isinstance(one, ConnectionTrace)], notes


def test_a_file_at_its_limit_says_so_once(tmp_path: Path) -> None:
    trace = Trace(tmp_path / "wire.jsonl", max_bytes=1_000)
    for _ in range(50):
        trace.add(OPENED)
    trace.close()
    found, notes = events(tmp_path / "wire.jsonl")
    assert (found, notes) == (["open"] * (len(found) - 1) + ["trace-full"], [])
    assert 5 < len(found) < 12
    assert (tmp_path / "wire.jsonl").stat().st_size < 1_200


def test_a_disk_that_refuses_is_told_when_there_is_room_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "wire.jsonl"
    trace = Trace(file)
    trace.add(OPENED)
    trace.flush()
    trace.add(OPENED)
    write, room = os.write, [40]

    def filling(descriptor: int, content: memoryview) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = write(descriptor, content[: room[0]])
        room[0] = 0
        return written

    with monkeypatch.context() as full:
        full.setattr(os, "write", filling)
        for _ in range(3):
            trace.flush()
            trace.add(OPENED)
    trace.close()
    found, (note,) = events(file)
    assert found == ["open", "trace-full"]
    assert (note.line, note.torn) == (2, False)  # what the disk took of the second
    assert caplog.text.count("tracing stopped") == 1
