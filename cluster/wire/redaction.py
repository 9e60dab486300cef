"""What may be stored of a statement: the ids of the traffic, and nothing else of a customer's.

Values are redacted before they reach memory that is written: a bind value or literal is kept only
if it is an order id of the traffic (18 digits that begin with 91) or a UUID (webhook and event
ids). Everything else becomes its size.
"""

import re
import struct
import uuid

ORDER_ID = r"91\d{16}"
UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
KEY = re.compile(rf"(?<![0-9a-f])(?:{ORDER_ID}|{UUID})(?![0-9a-f])")
WHOLE_KEY = re.compile(rf"(?:{ORDER_ID}|{UUID})\Z")
LITERAL = re.compile(
    r"(?P<dollar>\$(?P<tag>[A-Za-z_]*)\$.*?\$(?P=tag)\$)"
    r"|[EeBbXxNn]?'(?:[^'\\]|''|\\.)*'|(?<![\w$])\d+(?:\.\d+)?(?!\w)",
    re.DOTALL,
)
SCAN_MAX_BYTES = 1 << 16
SQL_MAX_CHARACTERS = 4_000


def redact_sql(sql: str) -> tuple[str, tuple[str, ...]]:
    """The statement without its literals, and the keys that stood in it."""
    keys: list[str] = []

    def replace(match: re.Match[str]) -> str:
        text = match.group().strip("'")
        if WHOLE_KEY.match(text):
            keys.append(text)
            return match.group()
        keys.extend(KEY.findall(text))
        return "‹…›" if match.group()[-1] in "'$" else "‹n›"

    return LITERAL.sub(replace, sql[:SQL_MAX_CHARACTERS]), tuple(keys)


def redact_value(shape: int, value: bytes | None) -> tuple[str, tuple[str, ...]]:
    """A bind value as it may be stored, and the keys in it. `shape` 1 is the binary format."""
    if value is None:
        return "NULL", ()
    text = binary_text(value) if shape else value[:SCAN_MAX_BYTES].decode(errors="replace")
    if text is not None and WHOLE_KEY.match(text):
        return text, (text,)
    # Binary text and jsonb (a version byte, then text) look like text; numbers do not match.
    searched = value[:SCAN_MAX_BYTES].decode(errors="replace")
    return f"‹{len(value)} bytes›", tuple(KEY.findall(searched))


def binary_text(value: bytes) -> str | None:
    """An int8 or a uuid in binary, as text; other values as they are."""
    if len(value) == 8:
        number = str(struct.unpack("!q", value)[0])
        return number if re.fullmatch(ORDER_ID, number) else value.decode(errors="replace")
    if len(value) == 16:
        return str(uuid.UUID(bytes=value)) if value[6] >> 4 == 4 else None
    return value[:SCAN_MAX_BYTES].decode(errors="replace")
