"""Nothing that the wire and its controller keep for each other grows without end."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import uvloop

from cluster.wire import client, server
from cluster.wire.client import Wire
from cluster.wire.frames import read_frame, write_frame
from cluster.wire.server import WireServer
from cluster.wire.trace import Trace
from cluster.wire.upstream import Upstream
from results.errors import HarnessError
from results.records import ConnectionTrace


@pytest.fixture
async def control(tmp_path: Path) -> AsyncIterator[WireServer]:
    control = WireServer(
        Upstream("127.0.0.1:1"), Trace(tmp_path / "wire.jsonl"), "token", host="127.0.0.1"
    )
    yield control
    control.close()


@pytest.fixture
async def wire(control: WireServer) -> AsyncIterator[Wire]:
    wire = await Wire.connect("127.0.0.1", await control.listen(0), "token")
    yield wire
    await wire.close()


def parked(number: int, rule_id: str = "r") -> dict[str, object]:
    park = {
        "hold_id": f"hold-{number}", "rule_id": rule_id, "replica": "web-0", "connection": 1,
        "backend_pid": 1, "point": "before", "parked_ns": 1, "sql": [], "keys": [],
        "others_in_flight": 0,
    }  # fmt: skip
    return {"event": "park", "park": park}


def ended(number: int) -> dict[str, object]:
    end = {"at_ns": number, "state": "I", "wrote": False}
    return {"event": "end", "replica": "web-0", "connection": number, "end": end}


async def test_parks_come_in_order_to_those_who_ask_for_their_rule(wire: Wire) -> None:
    asked = asyncio.create_task(wire.next_park("b", timeout_seconds=5))
    for number, rule_id in enumerate("aab"):
        await wire._sort(parked(number, rule_id))
    found = [await asked, *[await wire.next_park("a", timeout_seconds=5) for _ in range(2)]]
    assert [park and park.hold_id for park in found] == ["hold-2", "hold-0", "hold-1"]
    assert await wire.next_park("a", timeout_seconds=0.01) is None


async def test_what_nobody_asks_for_is_forgotten_the_oldest_first(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "ENDS_MAX", 5)
    for number in range(client.PARKS_MAX + 3):
        await wire._sort(parked(number))
    for number in range(8):
        await wire._sort(ended(number))
    first = await wire.next_park("r", timeout_seconds=1)
    assert first is not None
    assert first.hold_id == "hold-3"
    end = await wire.wait_end("web-0", 7, timeout_seconds=1)
    assert end is not None
    assert end.at_ns == 7
    assert await wire.wait_end("web-0", 2, timeout_seconds=0.01) is None


async def test_a_controller_that_does_not_read_is_given_up(
    control: WireServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "UNREAD_MAX_BYTES", 1 << 20)
    port = await control.listen(0)
    _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 10)
    write_frame(writer, {"token": "token"})
    async with asyncio.timeout(20):
        while control._controller is None:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        sent = 0
        while control._controller is not None:
            control._send({"event": "x" * (1 << 16)})
            sent += 1 << 16
            await asyncio.sleep(0)
    assert sent < 64 << 20
    writer.close()
    again = await Wire.connect("127.0.0.1", port, "token")
    await again.close()


def test_what_is_told_to_a_controller_that_has_just_gone_is_told_to_nobody(tmp_path: Path) -> None:
    async def told() -> None:  # on the wire's own loop, which takes a closed stream for an error
        trace = Trace(tmp_path / "wire.jsonl")
        server = WireServer(Upstream("127.0.0.1:1"), trace, "token", host="127.0.0.1")
        wire = await Wire.connect("127.0.0.1", await server.listen(0), "token")
        assert server._controller is not None
        server._controller.transport.abort()
        await asyncio.sleep(0)  # it is closed now, and its reader has not been told
        assert server._controller is not None
        end = ConnectionTrace(replica="web-0", connection=1, backend_pid=1, event="client-eof",
                              at_ns=1, state="I", in_flight=False)  # fmt: skip
        trace.add(end)
        await wire.close()
        server.close()
        trace.close()

    uvloop.run(told())
    assert b"client-eof" in (tmp_path / "wire.jsonl").read_bytes()


async def test_a_wire_that_does_not_answer_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "CALL_SECONDS", 0.1)

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_frame(reader)
        write_frame(writer, {"welcome": True})
        await reader.read()  # hears what is asked, until the end
        writer.close()

    server = await asyncio.start_server(mute, "127.0.0.1", 0)
    async with server:
        wire = await Wire.connect("127.0.0.1", server.sockets[0].getsockname()[1], "token")
        with pytest.raises(HarnessError, match="did not answer 'state' in time"):
            await wire.state()
        assert wire.lost.is_set()
        await wire.close()
