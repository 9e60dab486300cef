"""A wire on another kernel: its times are told on the controller's clock."""

import asyncio

import pytest

from cluster.wire.client import Wire
from cluster.wire.frames import read_frame, write_frame

PARK = {
    "hold_id": "h", "rule_id": "r", "replica": "web-0", "connection": 1, "backend_pid": 7,
    "point": "before", "parked_ns": 1_000, "sql": [], "keys": [], "others_in_flight": 0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("shift_ns", "error_ns", "parked_ns", "ended_ns"),
    [(0, 0, 1_000, 2_000), (500, 0, 1_500, 2_500), (-300, 40, 700, 1_660)],
)
async def test_an_end_is_told_as_early_as_it_can_have_been(
    shift_ns: int, error_ns: int, parked_ns: int, ended_ns: int
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_frame(reader)
        write_frame(writer, {"welcome": True})
        write_frame(writer, {"event": "park", "park": PARK})
        end = {"at_ns": 2_000, "state": "T", "wrote": True}
        write_frame(writer, {"event": "end", "replica": "web-0", "connection": 1, "end": end})
        await reader.read()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        wire = await Wire.connect("127.0.0.1", port, "token", shift_ns=shift_ns, error_ns=error_ns)
        park = await wire.next_park("r", timeout_seconds=5)
        end = await wire.wait_end("web-0", 1, timeout_seconds=5)
        assert park is not None
        assert end is not None
        assert (park.parked_ns, end.at_ns) == (parked_ns, ended_ns)
        await wire.close()
