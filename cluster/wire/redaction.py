"""What may be stored of a statement: the ids of the traffic, and nothing else of a customer's.

Values are redacted before they reach memory that is written: a bind value or literal is kept only
if it is an order id of the traffic (18 digits that begin with 91) or a UUID (webhook and event
ids). Everything else becomes its size. Ids inside a longer text (JSON, a composed key) are named
beside it, and the text itself is not kept.

Limits: ids are looked for in the first `SCAN_MAX_BYTES` of a value or statement; what lies beyond
is never stored.
"""

import re
import struct
import uuid
from functools import lru_cache

ORDER_ID = r"91\d{16}"
UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
KEY = re.compile(rf"(?<![0-9a-f])(?:{ORDER_ID}|{UUID})(?![0-9a-f])")
WHOLE_KEY = re.compile(rf"(?:{ORDER_ID}|{UUID})\Z")
# Tokens that hide others come first: a quote in a comment opens no literal. Whatever is not
# closed (a statement cut at SCAN_MAX_BYTES, or a wrong one) reaches to the end of the text.
TOKEN = re.compile(
    r"(?P<comment>--[^\n]*|/\*.*?(?:\*/|\Z))"
    r'|(?P<name>"(?:[^"]|"")*(?:"|\Z))'
    r"|(?P<dollar>(?<![\w$])\$(?P<tag>[^\W\d]\w*|)\$.*?(?:\$(?P=tag)\$|\Z))"
    r"|(?P<escape>(?<!\w)[Ee]'(?:[^'\\]|''|\\.)*(?:'|\Z))"
    r"|(?P<text>'(?:[^']|'')*(?:'|\Z))"
    r"|(?P<number>(?<![\w$])\.?\d[\w.]*)",
    re.DOTALL,
)
SCAN_MAX_BYTES = 1 << 16
SQL_MAX_CHARACTERS = 4_000
CACHED_MAX_CHARACTERS = 4_000
INT8, UUID_TYPE, UNKNOWN = 20, 2950, 0

Shown = tuple[str, tuple[str, ...]]  # what may be stored, and the keys that were in it


def redact_sql(sql: str) -> Shown:
    """The statement without its literals and comments, and the keys that stood in it."""
    return _cached_sql(sql) if len(sql) <= CACHED_MAX_CHARACTERS else _redact_sql(sql)


def _redact_sql(sql: str) -> Shown:
    keys: list[str] = []

    def replace(match: re.Match[str]) -> str:
        token = match.group()
        match match.lastgroup:
            case "comment":
                return " "
            case "name":
                return token
            case kind:
                bare = token.strip("'")
                if WHOLE_KEY.match(bare):
                    keys.append(bare)
                    return token
                keys.extend(KEY.findall(token))
                return "‹n›" if kind == "number" else "‹…›"

    return TOKEN.sub(replace, sql[:SCAN_MAX_BYTES])[:SQL_MAX_CHARACTERS], tuple(keys)


_cached_sql = lru_cache(maxsize=1024)(_redact_sql)


def redact_value(shape: int, value: bytes | None, type_oid: int = UNKNOWN) -> Shown:
    """A bind value as it may be stored, and the keys in it. `shape` 1 is the binary format."""
    if value is None:
        return "NULL", ()
    size = f"‹{len(value)} bytes›"
    number = binary_key(value, type_oid) if shape else None
    if number is not None:
        return number, (number,)
    # Binary text and jsonb (a version byte, then text) look like text; numbers do not match.
    text = value[:SCAN_MAX_BYTES].decode(errors="replace")
    if WHOLE_KEY.match(text):
        return text, (text,)
    return size, tuple(KEY.findall(text))


def binary_key(value: bytes, type_oid: int) -> str | None:
    """The id that a binary int8 or uuid is.

    Where the type is not known an int8 shows itself by its value, and a UUID by its version bits
    in bytes that cannot be text.
    """
    if len(value) == 8 and type_oid in (INT8, UNKNOWN):
        number = str(struct.unpack("!q", value)[0])
        return number if WHOLE_KEY.match(number) else None
    if len(value) != 16 or type_oid not in (UUID_TYPE, UNKNOWN):
        return None
    if type_oid == UNKNOWN and (value[6] >> 4 != 4 or value[8] >> 6 != 2 or _is_text(value)):
        return None
    return str(uuid.UUID(bytes=value))


def _is_text(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True
