"""However a stream comes in pieces, the same messages are found in it, and read the same."""

import random
import struct

import pytest

from cluster.wire import protocol
from cluster.wire.conversation import Conversation
from tests.cluster.wire.conftest import ORDER, WEBHOOK

KINDS = b"DDDDDDTCZ12nstEIGSN"


def message(kind: bytes, payload: bytes = b"") -> bytes:
    return kind + struct.pack("!I", len(payload) + 4) + payload


def pieces(draw: random.Random, stream: bytes) -> list[bytes]:
    at, found = 0, []
    while at < len(stream):
        size = draw.choice([1, 2, 3, 5, 6, 30, 500, 5_000])
        found.append(stream[at : at + size])
        at += size
    return found


@pytest.mark.parametrize("seed", range(30))
def test_what_matters_is_found_in_any_pieces_of_a_servers_stream(seed: int) -> None:
    draw = random.Random(seed)
    sent = [
        (bytes([draw.choice(KINDS)]), draw.randbytes(draw.choice([0, 1, 4, 30, 2_000])))
        for _ in range(200)
    ]
    expected, ends, at, rows = [], [], 0, 0
    for kind, payload in sent:
        at += 5 + len(payload)
        rows += kind == b"D"
        if kind[0] not in protocol.SCANNED:
            continue
        read = payload if kind[0] in protocol.READ_TYPES else b""
        expected.append((kind[0], b"SELECT %d\0" % rows if kind == b"s" else read))
        ends.append(at)
        rows = 0
    scanner, found, found_ends, begun = protocol.Scanner(), [], [], 0
    for piece in pieces(draw, b"".join(message(*one) for one in sent)):
        for kind_, payload, end in scanner.feed(piece):
            found.append((kind_, payload))
            found_ends.append(begun + end)
        begun += len(piece)
    assert found == expected
    assert found_ends == ends


@pytest.mark.parametrize("seed", range(30))
def test_a_clients_messages_are_whole_in_any_pieces(seed: int) -> None:
    draw = random.Random(seed)
    sent = [message(b"Q", draw.randbytes(draw.choice([0, 1, 9, 2_000]))) for _ in range(100)]
    splitter, found = protocol.Splitter(), []
    for piece in pieces(draw, b"".join(sent)):
        found += splitter.feed(piece)
    assert found == [(ord("Q"), one) for one in sent]
    assert splitter.empty


@pytest.mark.parametrize("length", [0, 3, (1 << 30) + 1])
def test_a_message_beyond_all_limits_is_refused(length: int) -> None:
    wrong = b"Q" + struct.pack("!I", length)
    for cut in range(len(wrong)):
        for reads in (protocol.Splitter().feed, protocol.Scanner().feed):
            with pytest.raises(protocol.ProtocolError):
                for part in (wrong[:cut], wrong[cut:]):
                    reads(part)


def bind(*values: bytes | None, name: bytes = b"s", portal: bytes = b"", shape: int = 0) -> bytes:
    parts = [portal + b"\0" + name + b"\0" + struct.pack("!HHH", 1, shape, len(values))]
    for value in values:
        parts.append(struct.pack("!i", -1 if value is None else len(value)) + (value or b""))
    return message(b"B", b"".join(parts) + struct.pack("!H", 0))


EXECUTE, SYNC = message(b"E", b"\0" + bytes(4)), message(b"S")
SHAPES = [
    bind(str(ORDER).encode(), WEBHOOK.encode(), None, b"secret"),
    bind(struct.pack("!q", ORDER), b"a name of somebody", shape=1),
    bind(b"x" * 10_000, f'{{"id": {ORDER}}}'.encode()),
    bind(b"1", name=b"nobody's"),
    bind(),
]


@pytest.mark.parametrize("bound", SHAPES)
@pytest.mark.parametrize("between", [b"", message(b"D", b"P\0")])
@pytest.mark.parametrize("rows", [0, 1])
def test_a_bind_alone_is_read_as_it_is_among_others(
    bound: bytes, between: bytes, rows: int
) -> None:
    tail = between + message(b"E", b"\0" + struct.pack("!I", rows)) + SYNC
    traces = []
    for alone in (True, False):
        talk = Conversation("web-0", 1, "")
        parse = message(b"P", f"s\0SELECT '{ORDER}', 1, $1\0".encode() + struct.pack("!H", 0))
        talk.statements.read(talk.flight(), [(ord("P"), parse)])
        flight = talk.flight()
        flight.received_ns = 1
        messages = protocol.Splitter().feed(bound + tail)
        index = protocol.bound_alone(bound + tail)
        assert messages[index][0] == ord("E")
        if alone:
            talk.statements.bound(flight, bound + tail)
        else:
            ((at, _),) = talk.statements.read(flight, messages)
            assert at == index
        talk.current = None
        again = talk.flight()  # the portal can be executed once more
        again.received_ns = 1
        talk.statements.read(again, [(ord("E"), EXECUTE)])
        traces.append((talk.statement_trace(flight), talk.statement_trace(again)))
    assert traces[0] == traces[1]
    assert "secret" not in str(traces)


@pytest.mark.parametrize(
    "data",
    [
        b"B",
        b"B\0\0\0",
        bind(b"1"),
        bind(b"1") + EXECUTE,
        bind(b"1") + EXECUTE + SYNC + b"X",
        bind(b"1") + EXECUTE + SYNC + bind(b"1") + EXECUTE + SYNC,
        bind(b"1", portal=b"p") + EXECUTE + SYNC,
        bind(b"1") + message(b"E", b"p\0" + bytes(4)) + SYNC,
        bind(b"x" * protocol.ALONE_MAX_BYTES) + EXECUTE + SYNC,
        message(b"Q", b"SELECT 1\0"),
    ],
)
def test_anything_else_is_no_bind_alone(data: bytes) -> None:
    assert protocol.bound_alone(data) == 0
