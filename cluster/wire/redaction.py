"""What may be stored of a statement: the ids of the traffic, and nothing else of a customer's.

Values are redacted before they reach memory that is written: a bind value or literal is kept only
if it is an order id of the traffic (18 digits that begin with 91) or a UUID (webhook and event
ids). Everything else becomes its size. Ids inside a longer text (JSON, a composed key) are named
beside it, and the text itself is not kept. Comments are dropped, names are kept.

A literal that is cut off one character early shows all that comes after it, so a statement is read
token by token, by the rules of Postgres' own scanner. Where a server may read it in two ways (a
backslash before a quote, once a session had `standard_conforming_strings` off), or where the text
is not UTF-8, what follows is taken for a literal.

Limits: ids are looked for in the first `SCAN_MAX_BYTES` of a value or statement; what lies beyond
is never stored. A UUID that is a secret cannot be told from one of the traffic.
"""

import re
import struct
import uuid
from collections.abc import Iterator
from functools import lru_cache

ORDER_ID = r"91[0-9]{16}"
UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
KEY = re.compile(rf"(?<![0-9a-f])(?:{ORDER_ID}|{UUID})(?![0-9a-f])")
WHOLE_KEY = re.compile(rf"(?:{ORDER_ID}|{UUID})\Z")

# Postgres' scan.l: every byte from 128 up is a letter, and a word may have $ within.
# Sets are possessive, groups are not: those of Python 3.11.0 to 3.11.3 match wrongly.
_WORD = r"[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_$\x80-\U0010ffff]*+"
_TAG = r"[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_\x80-\U0010ffff]*+"
_NUMBER = r"(?:0[xX][0-9A-Fa-f_]++|\.?[0-9][0-9_.]*+(?:[Ee][+-]?[0-9][0-9_]*+)?)"
_COMMENT = r"--[^\n\r]*+"
_ESCAPED = r"(?:[^'\\]|''|\\.|\\\Z)*"
# Two literals with a new line between them are one: the second is read as the first began.
_CONTINUED = rf"'(?:[ \t\f\v]|{_COMMENT})*[\n\r](?:[ \t\f\v\n\r]|{_COMMENT}[\n\r])*'"
# Whatever is not closed (a statement cut at SCAN_MAX_BYTES, or a wrong one) reaches to the end.
_TOKEN = (
    # All that neither is a literal nor may begin one, in one piece.
    rf"(?P<plain>(?:(?![Ee]'){_WORD}|\$[0-9]++|[^'\"$./0-9A-Za-z_\x80-\U0010ffff-]++|-(?!-)"
    rf"|/(?!\*)|\.(?![0-9])|\$(?!(?:{_TAG})?\$|[0-9]))+)"
    rf"|(?P<comment>{_COMMENT})"
    r"|(?P<block>/\*)"
    r'|(?P<name>"(?:[^"]|"")*")'
    r'|(?P<unclosed>".*\Z)'
    rf"|(?P<dollar>\$(?P<tag>(?:{_TAG})?)\$)"
    rf"|(?P<escape>[Ee]'{_ESCAPED}(?:{_CONTINUED}{_ESCAPED})*(?:'|\Z))"
    rf"|(?P<number>{_NUMBER}(?:(?![Ee]'){_WORD})?)"
)
_STRICT = re.compile(rf"{_TOKEN}|(?P<text>'(?:[^']|'')*(?:'|\Z))", re.DOTALL)
_LOOSE = re.compile(rf"{_TOKEN}|(?P<text>'(?:[^'\\]|''|\\[^']|\\\Z)*(?:'|\\'.*\Z|\Z))", re.DOTALL)
_NESTED = re.compile(r"/\*|\*/")
_HIDDEN, _HIDDEN_NUMBER, _BROKEN = "‹…›", "‹n›", "\ufffd"
SCAN_MAX_BYTES = 1 << 16
SQL_MAX_CHARACTERS = 4_000
CACHED_MAX_CHARACTERS = 4_000
INT8, NUMERIC, UUID_TYPE, UNKNOWN = 20, 1700, 2950, 0
KEY_MIN_BYTES, BINARY_KEY_MIN_BYTES = 18, 8  # an order id as text, and as a binary int8
_SIZES = tuple(f"‹{length} bytes›" for length in range(256))
ARRAYS = {1016: INT8, 1231: NUMERIC, 2951: UUID_TYPE}  # by their own type, that of an element

Shown = tuple[str, tuple[str, ...]]  # what may be stored, and the keys that were in it


def redact_sql(sql: str, *, loose: bool = False) -> Shown:
    """The statement without its literals and comments, and the keys that stood in it.

    `loose` is for a session whose server may take a backslash for an escape in any literal.
    """
    return (_cached_sql if len(sql) <= CACHED_MAX_CHARACTERS else _redact_sql)(sql, loose)


def _redact_sql(sql: str, loose: bool) -> Shown:
    whole = sql[:SCAN_MAX_BYTES]
    readable, broken, rest = whole.partition(_BROKEN)
    shown, keys = [], []
    at = 0
    while at < len(readable):
        match = (_LOOSE if loose else _STRICT).match(readable, at)
        assert match is not None  # every character begins some token
        token, kind, at = match.group(), match.lastgroup, match.end()
        match kind:
            case "plain" | "name":
                shown.append(token)
                continue
            case "comment" | "block":
                at = at if kind == "comment" else _comment_end(readable, at)
                shown.append(" ")
                continue
            case "dollar":
                close = readable.find(token, at)
                end = len(readable) if close < 0 else close + len(token)
                token, at = token + readable[at:end], end
        bare = token.strip("'")
        if WHOLE_KEY.match(bare):
            shown.append(token)
            keys.append(bare)
        else:
            shown.append(_HIDDEN_NUMBER if kind == "number" else _HIDDEN)
            keys += KEY.findall(token)
    if broken:
        shown.append(_HIDDEN)
        keys += KEY.findall(rest)
    return "".join(shown)[:SQL_MAX_CHARACTERS], tuple(keys)


_cached_sql = lru_cache(maxsize=1024)(_redact_sql)


def _comment_end(sql: str, at: int) -> int:
    """Where a block comment ends that began before `at`: they nest."""
    depth = 1
    for mark in _NESTED.finditer(sql, at):
        depth += 1 if mark.group() == "/*" else -1
        if not depth:
            return mark.end()
    return len(sql)


def redact_value(shape: int, value: bytes | None, type_oid: int = UNKNOWN) -> Shown:
    """A bind value as it may be stored, and the keys in it. `shape` 1 is the binary format."""
    if value is None:
        return "NULL", ()
    length = len(value)
    size = _SIZES[length] if length < len(_SIZES) else f"‹{length} bytes›"
    if length < (BINARY_KEY_MIN_BYTES if shape else KEY_MIN_BYTES):
        return size, ()
    if shape:
        number = binary_key(value, type_oid)
        if number is not None:
            return number, (number,)
        if keys := tuple(array_keys(value[:SCAN_MAX_BYTES], type_oid)):
            return size, keys
        if length < KEY_MIN_BYTES:
            return size, ()
    # Binary text and jsonb (a version byte, then text) look like text; numbers do not match.
    text = value[:SCAN_MAX_BYTES].decode(errors="replace")
    if WHOLE_KEY.match(text):
        return text, (text,)
    return size, tuple(KEY.findall(text))


def binary_key(value: bytes, type_oid: int) -> str | None:
    """The id that a binary int8, numeric or uuid is.

    Where the type is not known a number shows itself by its value, and a UUID by its version bits
    in bytes that cannot be text.
    """
    if type_oid in (NUMERIC, UNKNOWN) and (number := _numeric(value)) is not None:
        return number
    if len(value) == 8 and type_oid in (INT8, UNKNOWN):
        number = str(struct.unpack("!q", value)[0])
        return number if WHOLE_KEY.match(number) else None
    if len(value) != 16 or type_oid not in (UUID_TYPE, UNKNOWN):
        return None
    if type_oid == UNKNOWN and (value[6] >> 4 != 4 or value[8] >> 6 != 2 or _is_text(value)):
        return None
    return str(uuid.UUID(bytes=value))


def _numeric(value: bytes) -> str | None:
    """The order id that a binary numeric is: groups of four digits, the first 10000**weight."""
    if not 8 < len(value) <= 18 or len(value) % 2:
        return None
    count, weight, sign, _, *digits = struct.unpack(f"!HhHH{len(value) // 2 - 4}H", value)
    if count != len(digits) or weight != 4 or sign or max(digits) > 9999:
        return None
    number = "".join(f"{group:04}" for group in digits).ljust(20, "0").removeprefix("00")
    return number if WHOLE_KEY.match(number) else None


def array_keys(value: bytes, type_oid: int) -> Iterator[str]:
    """The ids in a binary array of int8, numeric or uuid; its header names its elements' type."""
    if len(value) < 12:
        return
    dimensions, _, element = struct.unpack_from("!iII", value)
    if element not in ARRAYS.values() or ARRAYS.get(type_oid, element) != element:
        return
    if type_oid != UNKNOWN and type_oid not in ARRAYS:
        return
    at = 12 + 8 * max(0, dimensions)
    while at + 4 <= len(value):
        (length,) = struct.unpack_from("!i", value, at)
        at += 4
        if length < 0:  # NULL
            continue
        key = binary_key(value[at : at + length], element) if at + length <= len(value) else None
        if key is not None:
            yield key
        at += length


def _is_text(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True
