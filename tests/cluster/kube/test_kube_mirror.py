"""Copies of files that grow in pods: whole, in order, once, on our clock."""

import asyncio
import errno
import json
import os
import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, cast

import aiohttp
import msgspec
import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.kube import mirror as mirror_module
from cluster.kube.channels import Executed
from cluster.kube.gateway import Gateway
from cluster.kube.mirror import Mirror, shifted
from results.errors import ClusterError
from tests.cluster.kube.fake_api import FakeApi, status_message

LINES = [json.dumps({"n": number, "at_ns": 10 + number}).encode() + b"\n" for number in range(30)]


class Pod:
    """A file in a pod that is told in pieces, by connections that break."""

    def __init__(self, content: bytes, pieces: Sequence[int], breaks: Sequence[int]) -> None:
        self.content = content
        self.pieces = pieces or [1 << 16]
        self.breaks = list(breaks)  # how many pieces each connection lasts
        self.offsets: list[int] = []

    async def follow(self, *parts: Any) -> AsyncIterator[bytes]:
        offset = int(parts[3][-1])
        self.offsets.append(offset)
        lasts = self.breaks.pop(0) if self.breaks else 1 << 30
        number = 0
        while offset < len(self.content):
            if number == lasts:
                raise aiohttp.ClientConnectionError("cut")
            size = self.pieces[number % len(self.pieces)]
            yield self.content[offset : offset + size]
            offset, number = offset + size, number + 1
        await asyncio.Event().wait()  # nothing more comes, and the connection stays

    async def execute(self, *_: Any, **__: Any) -> Executed:
        return Executed(str(len(self.content)).encode(), b"", 0)


def copied(
    monkeypatch: pytest.MonkeyPatch, pod: Pod, local: Path, shift_ns: int = 0, seconds: float = 10.0
) -> Mirror:
    monkeypatch.setattr(mirror_module, "follow", pod.follow)
    monkeypatch.setattr(mirror_module, "execute", pod.execute)
    monkeypatch.setattr(mirror_module, "AGAIN_SECONDS", 0.0)

    async def copy() -> Mirror:
        one = Mirror(cast(Gateway, None), "a", "wire", "/records/x.jsonl", local, shift_ns)
        async with one:
            await one.drained(timeout_seconds=seconds)
        return one

    return asyncio.run(copy())


@settings(max_examples=60, deadline=None)
@given(
    lines=st.lists(st.integers(0, 10**12), max_size=25),
    pieces=st.lists(st.integers(1, 40), max_size=6),
    breaks=st.lists(st.integers(0, 5), max_size=8),
)
def test_no_line_is_lost_doubled_or_torn(
    lines: list[int], pieces: list[int], breaks: list[int]
) -> None:
    content = b"".join(json.dumps({"n": number}).encode() + b"\n" for number in lines)
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        local = Path(folder) / "x.jsonl"
        pod = Pod(content, pieces, breaks)
        one = copied(patch, pod, local)
        assert (local.read_bytes() if local.exists() else b"") == content
        assert one.copied_bytes == len(content)
        starts = {0} | {at + 1 for at, byte in enumerate(content) if byte == ord("\n")}
        assert set(pod.offsets) <= starts  # always from the end of a whole line


def test_a_line_that_is_not_whole_yet_is_not_copied(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    local = tmp_path / "x.jsonl"
    pod = Pod(LINES[0] + LINES[1][:-1], [7], [])
    with pytest.raises(ClusterError, match=f"{len(LINES[1]) - 1} bytes were not copied within 0 s"):
        copied(monkeypatch, pod, local, seconds=0.3)
    assert local.read_bytes() == LINES[0]


def test_every_time_is_on_our_clock_and_the_offset_on_theirs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    local = tmp_path / "x.jsonl"
    one = copied(monkeypatch, Pod(b"".join(LINES), [11], [3, 2]), local, shift_ns=1_000_000)
    got = [msgspec.json.decode(line) for line in local.read_bytes().splitlines()]
    assert got == [{"n": number, "at_ns": 1_000_010 + number} for number in range(30)]
    assert one.copied_bytes == len(b"".join(LINES)) < local.stat().st_size


def test_what_is_shifted() -> None:
    record = {
        "at_ns": 1, "sent_ns": None, "waited_ns": 5, "n": 2, "name": "x_ns",
        "flights": [{"received_ns": 3, "bytes": 4}],
    }  # fmt: skip
    assert shifted(record, 100) == {
        "at_ns": 101, "sent_ns": None, "waited_ns": 5, "n": 2, "name": "x_ns",
        "flights": [{"received_ns": 103, "bytes": 4}],
    }  # fmt: skip


def test_what_cannot_be_read_as_a_record_is_said_at_the_deadline(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pod = Pod(LINES[0] + b"no record\n" + LINES[1], [1 << 16], [])
    with pytest.raises(ClusterError, match=r"The last that was heard of it: .*JSON"):
        copied(monkeypatch, pod, tmp_path / "x.jsonl", shift_ns=1, seconds=0.3)


def test_a_full_disk_leaves_no_torn_line_and_no_double(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    local, write, full = tmp_path / "x.jsonl", os.write, [True]

    def sometimes(descriptor: int, data: bytes) -> int:
        if not full or len(data) <= 20:
            return write(descriptor, data)
        if full.pop() is True:
            full.append(False)
            return write(descriptor, data[:20])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(mirror_module.os, "write", sometimes)
    copied(monkeypatch, Pod(b"".join(LINES), [], []), local)
    assert local.read_bytes() == b"".join(LINES)


async def test_a_mirror_over_connections_that_are_cut(
    api: FakeApi, gateway: Gateway, tmp_path: Path
) -> None:
    content = b"".join(LINES)
    offsets: list[int] = []

    async def container(socket: web.WebSocketResponse, pod: str, command: list[str]) -> None:
        if command[1] == "-c":
            await socket.send_bytes(b"\1" + str(len(content)).encode())
            await socket.send_bytes(status_message(0))
            return
        assert command[:4] == ["python", "-m", "cluster.kube.follow", "/records/wire.jsonl"]
        offset = int(command[4])
        offsets.append(offset)
        for at in range(offset, min(len(content), offset + 300), 50):
            await socket.send_bytes(b"\1" + content[at : min(at + 50, offset + 300)])
        assert socket._req is not None
        assert socket._req.transport is not None
        socket._req.transport.close()

    api.containers = container
    local = tmp_path / "wire.jsonl"
    async with Mirror(gateway, "a", "wire", "/records/wire.jsonl", local) as one:
        await one.drained(timeout_seconds=20)
    assert local.read_bytes() == content
    assert len(offsets) > 2


async def test_a_container_that_is_not_there_is_said_and_not_waited_for_ever(
    api: FakeApi, gateway: Gateway, tmp_path: Path
) -> None:
    api.moody("GET", "/pods/a/exec", *[404] * 1_000)
    async with Mirror(gateway, "a", "wire", "/records/wire.jsonl", tmp_path / "x") as one:
        with pytest.raises(ClusterError, match=r"refused .*exec: 404"):
            await one.drained(timeout_seconds=0.3)
