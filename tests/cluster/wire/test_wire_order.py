"""Whatever waits and whatever does not: nothing is lost, doubled or reordered, nor in the trace.

A server of the test's own answers each flight with what it was asked. A client sends flights of
all kinds in pieces of any size, and reads when it likes, while rules come, hold some and go.
"""

import asyncio
import contextlib
import itertools
import random
import re
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cluster.wire.rules import Park, Rule
from cluster.wire.server import WireServer
from cluster.wire.trace import Trace
from cluster.wire.upstream import Upstream
from results.records import ConnectionTrace, HoldTrace, StatementTrace
from tests.cluster.wire.conftest import eventually
from tests.unit.wire.test_cutting import EXECUTE, SYNC, bind, message, pieces

FLIGHTS = 400
OK = message(b"R", struct.pack("!I", 0)) + message(b"K", struct.pack("!II", 7, 8))
STARTUP = struct.pack("!II", 17, 196608) + b"user\0me\0\0"


@contextlib.asynccontextmanager
async def echo() -> AsyncIterator[int]:
    """Answers each Execute or Query with a row that names it, each Sync with ReadyForQuery."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        length = struct.unpack("!I", await reader.readexactly(4))[0]
        await reader.readexactly(length - 4)
        writer.write(OK + message(b"Z", b"I"))
        given = b""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                kind, length = struct.unpack("!cI", await reader.readexactly(5))
                content = await reader.readexactly(length - 4)
                if kind == b"B":
                    given = re.findall(rb"n\d+", content)[0]
                elif kind in (b"E", b"Q"):
                    if kind == b"Q":
                        given = re.findall(rb"n\d+", content)[0]
                    padding = b"." * (int(given[1:]) % 7 == 0 and 100_000)
                    writer.write(message(b"D", given + padding) + message(b"C", b"INSERT 0 1\0"))
                if kind in (b"S", b"Q"):
                    writer.write(message(b"Z", b"I"))
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield int(server.sockets[0].getsockname()[1])


def flight(draw: random.Random, number: int) -> bytes:
    named = b"n%d" % number
    query = message(b"Q", b"INSERT INTO t VALUES (1) /* %s */\0" % named)
    more = bind(named) + message(b"D", b"P\0") + EXECUTE
    return draw.choice([query, bind(named) + EXECUTE + SYNC, more + SYNC, more + EXECUTE + SYNC])


async def rules(draw: random.Random, server: WireServer, parks: "asyncio.Queue[Park]") -> None:
    """Rules that come and go, and whose holds pass."""
    points: list[Any] = ["before", "before-commit", "reply"]
    for number in itertools.count():
        await asyncio.sleep(draw.choice([0, 0, 0.001]))
        point = draw.choice(points)
        server.gates.arm(Rule(rule_id=point, point=point, occurrence=draw.choice([1, 5, 10**6])))
        if number % 3 == 0:
            server.gates.disarm(draw.choice(points))
        while not parks.empty():
            server.gates.decide(parks.get_nowait().hold_id, "pass")


@pytest.mark.parametrize("armed", [False, True], ids=["pass", "armed"])
@pytest.mark.parametrize("seed", range(10))
async def test_nothing_is_lost_doubled_or_reordered(tmp_path: Path, seed: int, armed: bool) -> None:
    draw = random.Random(seed)
    sent = [flight(draw, number) for number in range(FLIGHTS)]
    trace = Trace(tmp_path / "wire.jsonl")
    parks: asyncio.Queue[Park] = asyncio.Queue()
    async with asyncio.timeout(60), echo() as upstream:
        server = WireServer(
            Upstream(f"127.0.0.1:{upstream}"), trace, "", host="127.0.0.1", on_park=parks.put_nowait
        )
        port = await server.open("web-0")
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 16)
        writer.write(STARTUP)
        await reader.readuntil(message(b"Z", b"I"))
        if armed:  # one that surely holds something; the others are a matter of luck
            server.gates.arm(Rule(rule_id="first", point="before", occurrence=20))
        deciding = asyncio.create_task(rules(draw, server, parks)) if armed else None

        async def send() -> None:
            for piece in pieces(draw, parse() + b"".join(sent)):
                writer.write(piece)
                if draw.random() < 0.2:
                    await writer.drain()
                    await asyncio.sleep(0)

        sending = asyncio.create_task(send())
        heard: list[bytes] = []
        ready = 0
        while ready < FLIGHTS + 1:  # the first is that of the Parse
            kind, length = struct.unpack("!cI", await reader.readexactly(5))
            content = await reader.readexactly(length - 4)
            ready += kind == b"Z"
            if kind == b"D":
                heard.append(content.rstrip(b"."))
        await sending
        if deciding is not None:
            deciding.cancel()
        server.gates.controller_lost()
        writer.close()
        await eventually(lambda: not server.port("web-0").connections)
        server.close()
        trace.close()

    assert heard == [
        b"n%d" % number for number, one in enumerate(sent) for _ in range(one.count(EXECUTE) or 1)
    ]
    lines = (tmp_path / "wire.jsonl").read_bytes().splitlines()
    reads = msgspec.json.Decoder(StatementTrace | ConnectionTrace | HoldTrace)
    records = [reads.decode(line) for line in lines]
    flights = [one for one in records if isinstance(one, StatementTrace)]
    assert [one.flight for one in flights] == list(range(2, FLIGHTS + 2))
    assert [len(one.sql) for one in flights] == [one.count(EXECUTE) or 1 for one in sent]
    assert [len(one.tags) for one in flights] == [len(one.sql) for one in flights]
    for one in flights:
        assert one.forwarded_ns is not None
        assert one.replied_ns is not None
        assert one.returned_ns is not None
        assert one.received_ns <= one.forwarded_ns <= one.replied_ns <= one.returned_ns
    holds = [one for one in records if isinstance(one, HoldTrace)]
    assert bool(holds) is armed


def parse() -> bytes:
    return message(b"P", b"s\0INSERT INTO t VALUES ($1)\0" + struct.pack("!H", 0)) + SYNC
