"""Nothing of a value survives in what the wire stores, however it was written."""

import re
import struct
import uuid

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.wire import protocol
from cluster.wire.conversation import Conversation
from cluster.wire.flight import writes
from cluster.wire.redaction import SCAN_MAX_BYTES, redact_sql, redact_value
from cluster.wire.statements import FLIGHT_MAX
from tests.unit.wire.sql_pieces import NUMBER, SECRET, code, comments, joined, literals, nasty

ORDER = "910000000000000042"
WEBHOOK = "6f1c9f0e-3f0a-4a51-9d5c-7f7a3b1c2d3e"
pieces = st.lists(st.one_of(literals, comments, code), max_size=12)


@settings(max_examples=600, deadline=None)
@given(pieces, st.sampled_from([" ", "\n", "\t"]))
def test_no_literal_and_no_comment_survives(written: list, gap: str) -> None:  # type: ignore[type-arg]
    shown, _ = redact_sql(joined(written, gap))
    assert SECRET not in shown
    assert NUMBER not in shown
    words = [piece.sql for piece in written if piece.kind in "wn"]
    assert re.findall(r'SELECT|foo|"it\'s"', shown) == re.findall(
        r'SELECT|foo|"it\'s"', " ".join(words)
    )


@settings(max_examples=300, deadline=None)
@given(pieces, st.integers(0, 400))
def test_nor_does_one_of_a_statement_that_is_cut_or_wrong(written: list, length: int) -> None:  # type: ignore[type-arg]
    shown, _ = redact_sql(joined(written)[:length])
    assert SECRET not in shown


@settings(max_examples=300, deadline=None)
@given(pieces, nasty)
def test_nor_where_a_backslash_may_be_an_escape(written: list, content: str) -> None:  # type: ignore[type-arg]
    strict = "'" + content.replace("'", "''") + "'"
    escaped = "'" + content.replace("\\", "\\\\").replace("'", "\\'") + f"{SECRET}'"
    for literal in (strict, escaped):
        assert SECRET not in redact_sql(f"{literal}, {joined(written)}", loose=True)[0]


@settings(max_examples=300, deadline=None)
@given(st.text())
def test_any_text_can_be_read(text: str) -> None:
    for loose in (False, True):
        shown, _ = redact_sql(text, loose=loose)
        assert len(shown) <= len(text) + 5 * len(text)


@pytest.mark.parametrize(
    ("sql", "shown"),
    [
        ("SELECT $1$a$ hush $a$, x", "SELECT $1‹…›, x"),
        ("SELECT 1$a$ hush $a$, x", "SELECT ‹n›‹…›, x"),
        ("SELECT $€$ hush $€$, x", "SELECT ‹…›, x"),
        ("SELECT /* a /* b */ hush */ x", "SELECT   x"),
        ("SELECT 'a\\', x", "SELECT ‹…›, x"),
        ("SELECT E'a\\' hush', x", "SELECT ‹…›, x"),
        ("SELECT E'a'\n -- it's\n 'b\\' hush', x", "SELECT ‹…›, x"),
        ("SELECT 1E'a\\' hush', x", "SELECT ‹n›‹…›, x"),
        ("SELECT fooE'\\', x, '", "SELECT fooE‹…›, x, ‹…›"),
        ("SELECT a$E'\\', x, '", "SELECT a$E‹…›, x, ‹…›"),
        ("--\r'hush\n', x", " \r‹…›, x"),
        ("SELECT \"open, 'hush'", "SELECT ‹…›"),
        ("SELECT 'hush", "SELECT ‹…›"),
        ("SELECT $t$ hush $T$, 'x", "SELECT ‹…›"),
        ("SELECT /* hush", "SELECT  "),
        ("SELECT x, \ufffd' hush", "SELECT x, ‹…›"),
        ("UPDATE t SET a = 'x' WHERE id = $1", "UPDATE t SET a = ‹…› WHERE id = $1"),
    ],
)
def test_what_is_shown_of_a_statement(sql: str, shown: str) -> None:
    assert redact_sql(sql)[0] == shown


def test_a_backslash_counts_where_the_session_says_so() -> None:
    sql = "SELECT 'it\\' hush', x"
    assert redact_sql(sql)[0] == "SELECT ‹…› hush‹…›"
    assert redact_sql(sql, loose=True)[0] == "SELECT ‹…›"
    conversation = Conversation("web-0", 1, "")
    query = b"Q\0\0\0\0" + sql.encode() + b"\0"
    for value, shown in ((b"on", "SELECT ‹…› hush‹…›"), (b"off", "SELECT ‹…›"), (b"on", None)):
        status = b"standard_conforming_strings\0" + value + b"\0"
        assert conversation.read_answer(ord("S"), status) is False
        flight = conversation.flight()
        conversation.statements.read(flight, [(ord("Q"), query)])
        assert flight.sql[-1] == (shown or "SELECT ‹…›"), "once off, either may be meant"


@pytest.mark.parametrize("id_", [ORDER, WEBHOOK])
def test_ids_of_the_traffic_are_kept_and_named(id_: str) -> None:
    assert redact_sql(f"SELECT '{id_}'") == (f"SELECT '{id_}'", (id_,))
    assert redact_sql(f"SELECT E'hush {id_}', $a${id_}$a$") == ("SELECT ‹…›, ‹…›", (id_, id_))
    assert redact_sql(f"SELECT \ufffd {id_}")[1] == (id_,)
    assert redact_value(0, id_.encode()) == (id_, (id_,))
    assert redact_value(1, f'{{"hush": "{id_}"}}'.encode())[1] == (id_,)


def numeric(*digits: int, weight: int = 4, sign: int = 0) -> bytes:
    """As Postgres sends it: groups of four digits, the first of them 10000**weight."""
    return struct.pack(f"!HhHH{len(digits)}H", len(digits), weight, sign, 0, *digits)


def array(element: int, *values: bytes | None, dimensions: int = 1) -> bytes:
    """As Postgres sends it."""
    content = struct.pack("!iii", dimensions, 0, element)
    content += struct.pack("!ii", len(values), 1) * dimensions
    for value in values:
        content += struct.pack("!i", -1) if value is None else struct.pack("!i", len(value)) + value
    return content


@pytest.mark.parametrize("oid", [1700, 0])
def test_a_binary_numeric_is_an_id_if_it_has_its_digits(oid: int) -> None:
    assert redact_value(1, numeric(91, 0, 0, 0, 42), oid) == (ORDER, (ORDER,))
    whole = ORDER[:2] + "0" * 16
    assert redact_value(1, numeric(91), oid) == (whole, (whole,))  # zeros at the end are not sent
    for other in (
        numeric(91, 0, 0, 0, 42, 1), numeric(91, 0, 0, 0, 42, sign=0x4000),
        numeric(90, 0, 0, 0, 42), numeric(91, 0, 0, 0, 42, weight=3),
        numeric(91, 0, 0, 0, 10_000), numeric(),
        numeric(91, 0, 0, 0, 42)[:-1], numeric(91, 0, 0, 0, 42) + b"x",
    ):  # fmt: skip
        assert redact_value(1, other, oid) == (f"‹{len(other)} bytes›", ())
    assert redact_value(1, numeric(91, 0, 0, 0, 42), 20)[1] == ()


@pytest.mark.parametrize("known", [True, False])
def test_the_ids_in_a_binary_array_are_named(known: bool) -> None:
    order, webhook = struct.pack("!q", int(ORDER)), uuid.UUID(WEBHOOK).bytes
    other = struct.pack("!q", 42)
    for oid, element, values, keys in (
        (1016, 20, (order, other, None, order), (ORDER, ORDER)),
        (1231, 1700, (numeric(91, 0, 0, 0, 42),), (ORDER,)),
        (2951, 2950, (webhook, None), (WEBHOOK,)),
        (1009, 25, (b"hush", WEBHOOK.encode()), (WEBHOOK,)),
        (1016, 20, (), ()),
        (1005, 21, (order,), ()),
    ):
        value = array(element, *values)
        assert redact_value(1, value, oid if known else 0) == (f"‹{len(value)} bytes›", keys)
    square = array(20, order, dimensions=2)
    assert redact_value(1, square, 1016)[1] == (ORDER,)
    assert redact_value(1, array(20, order)[:-1], 1016)[1] == ()
    assert redact_value(0, array(20, order), 1016)[1] == ()


def test_a_long_array_is_read_to_the_limit() -> None:
    order = struct.pack("!q", int(ORDER))
    keys = redact_value(1, array(20, *[order] * SCAN_MAX_BYTES), 1016)[1]
    assert 0 < len(keys) <= SCAN_MAX_BYTES // 12


@settings(deadline=None)
@given(
    st.binary(max_size=40), st.sampled_from([0, 20, 25, 1016, 1700, 2950]), st.sampled_from([0, 1])
)
def test_a_bind_value_is_an_id_or_its_size(value: bytes, oid: int, shape: int) -> None:
    shown, keys = redact_value(shape, value, oid)
    assert shown == f"‹{len(value)} bytes›" or keys == (shown,)
    if keys and oid == 2950 and shape:
        assert uuid.UUID(keys[0]).bytes == value


@pytest.mark.parametrize("value", ["91" + "٣" * 16, f"{ORDER}0", f"x{ORDER}", ORDER[:-1], "hush"])
def test_what_only_resembles_an_id_is_no_id(value: str) -> None:
    assert redact_value(0, value.encode())[0] == f"‹{len(value.encode())} bytes›"


def test_what_lies_beyond_the_limit_is_not_stored() -> None:
    shown, keys = redact_sql(f"SELECT {'x,' * SCAN_MAX_BYTES}'hush {ORDER}'")
    assert len(shown) <= 4_000
    assert keys == ()
    assert writes(redact_sql("INSERT INTO t VALUES ('" + "x" * SCAN_MAX_BYTES + "')")[0])


def test_a_flight_of_very_many_statements_is_told_in_part() -> None:
    conversation = Conversation("web-0", 1, "")
    flight = conversation.flight()
    insert = b"Q\0\0\0\0INSERT INTO t VALUES (" + ORDER.encode() + b")\0"
    for _ in range(3 * FLIGHT_MAX):
        conversation.statements.read(flight, [(ord("Q"), insert)])
    conversation.statements.read(flight, [(ord("Q"), b"Q\0\0\0\0COMMIT\0")])
    trace = conversation.statement_trace(flight)
    assert len(trace.sql) == len(trace.parameters) == FLIGHT_MAX + 1
    assert trace.sql[-1] == "COMMIT"
    assert trace.keys == (ORDER,)


def test_a_scanner_reads_what_the_server_says_of_its_session() -> None:
    status = b"S\0\0\0\x24standard_conforming_strings\0off\0Z\0\0\0\x05I"
    found = protocol.Scanner().feed(status)
    assert [chr(kind) for kind, _, _ in found] == ["S", "Z"]
