"""How a client ends: a half-closed one still listens, a dead one leaves nothing open."""

import asyncio
import socket
import struct
from urllib.parse import urlsplit

from results.records import StatementTrace
from tests.cluster.wire.conftest import Bench, eventually

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def logged_in(dsn: str) -> Streams:
    where = urlsplit(dsn)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    parameters = f"user\0{where.username}\0database\0{where.path.strip('/')}\0\0".encode()
    writer.write(struct.pack("!II", len(parameters) + 8, 196608) + parameters)
    await asyncio.wait_for(reader.readuntil(b"Z\0\0\0\x05I"), 5)
    return reader, writer


def query(sql: str) -> bytes:
    return b"Q" + struct.pack("!I", len(sql) + 5) + sql.encode() + b"\0"


async def half_close(dsn: str) -> bytes:
    """What a client still gets that ends its side right after its query."""
    reader, writer = await logged_in(dsn)
    writer.write(query("INSERT INTO wired SELECT 1 FROM pg_sleep(0.3) RETURNING 'HELLO'"))
    writer.write_eof()
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    return answer


async def test_a_client_that_only_ends_its_own_side_gets_its_answer(bench: Bench) -> None:
    direct = await half_close(bench.dsn())
    assert b"HELLO" in direct

    assert await half_close(bench.dsn("web-0")) == direct

    assert await bench.count() == 2

    async def gone() -> bool:
        return not (await bench.wire.state()).connections

    await eventually(gone)


async def test_a_client_that_dies_takes_its_open_transaction_with_it(bench: Bench) -> None:
    async with bench.client() as client:
        await client.execute("BEGIN; INSERT INTO wired (id) VALUES (1)")
        pid = client.get_server_pid()
        client._transport.abort()  # without the goodbye of terminate()

    async def gone() -> bool:
        async with bench.client(None) as direct:
            left = await direct.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE pid = $1", pid
            )
        return not left and not (await bench.wire.state()).connections

    await eventually(gone)
    assert await bench.count() == 0


async def test_what_a_dead_client_had_sent_is_all_carried_out(bench: Bench) -> None:
    """The first answer that nobody hears must not end the connection for those behind it."""
    _, writer = await logged_in(bench.dsn("web-0"))
    for number in range(3):
        writer.write(query(f"INSERT INTO wired SELECT {number} FROM pg_sleep(0.2)"))

    async def under_way() -> bool:
        return any(one.in_flight for one in (await bench.wire.state()).connections)

    await eventually(under_way)
    at_once = struct.pack("ii", 1, 0)  # a reset, as from a machine that knows of no connection
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
    writer.transport.abort()

    async def all_there() -> bool:
        return await bench.count() == 3

    await eventually(all_there)

    def traced() -> list[StatementTrace]:
        found = [one for one in bench.traces() if isinstance(one, StatementTrace)]
        return found if len(found) == 3 else []

    for one in await eventually(traced):
        assert one.replied_ns is not None
        assert one.returned_ns is None


async def test_a_client_that_says_goodbye_and_waits_has_ended_all_the_same(bench: Bench) -> None:
    async with bench.client() as client:
        pid = client.get_server_pid()
        (open_one,) = (await bench.wire.state()).connections
        assert open_one.backend_pid == pid
        await client.close()  # Terminate, then it waits for the server to close

    end = await bench.wire.wait_end("web-0", open_one.connection, timeout_seconds=5)

    assert end is not None
    assert not end.in_written_transaction
