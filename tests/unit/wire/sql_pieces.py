"""SQL in which a secret stands only in literals and comments, in every form that Postgres has."""

from dataclasses import dataclass

from hypothesis import strategies as st

SECRET = "hush"
NUMBER = "52525252"
nasty = st.lists(
    st.sampled_from([*"'\"\\$/*-+,;()=. \t\n\r\fEeUu&aZ_019", "é", "€", "🂡", "''", "\\'", "$$",
                     "$a$", "--", "/*", "*/", " E'", SECRET]),
    max_size=12,
).map("".join)  # fmt: skip


@dataclass(frozen=True)
class Piece:
    """A token as it is written; `value` is what a server makes of it, None where it is no value."""

    kind: str
    sql: str
    value: str | None = None


def plain(content: str) -> Piece:
    return Piece("string", "'" + content.replace("'", "''") + "'", content)


def escaped(content: str, letter: str, doubled: bool) -> Piece:
    text = content.replace("\\", "\\\\").replace("'", "''" if doubled else "\\'")
    return Piece("string", f"{letter}'{text}'", content)


def continued(one: str, other: str, between: str) -> Piece:
    first, second = escaped(one, "E", doubled=True), escaped(other, "", doubled=False)
    return Piece("string", f"{first.sql}{between}{second.sql}", one + other)


def dollar(content: str, tag: str) -> Piece:
    close = f"${tag}$"
    while (content + close).find(close) < len(content):
        content = content.replace("$", "")
    return Piece("dollar", f"{close}{content}{close}", content)


def unicode_string(content: str) -> Piece:
    content = content.replace("\\", "")
    return Piece("string", "U&'" + content.replace("'", "''") + "'", content)


def block(content: str, depth: int) -> Piece:
    content = content.replace("*", "").replace("/", "")
    text = content
    for _ in range(depth):
        text = f"{content}/*{text}*/{content}"
    return Piece("comment", f"/*{text}*/")


def line(content: str, end: str) -> Piece:
    return Piece("comment", "--" + content.replace("\n", "").replace("\r", "") + end)


secret = st.tuples(nasty, nasty).map(lambda around: around[0] + SECRET + around[1])
gaps = st.sampled_from(["\n", " \n\t", "\r\n", "-- it's\n", " --\n -- '\n "])
literals = st.one_of(
    st.builds(plain, secret),
    st.builds(escaped, secret, st.sampled_from("Ee"), st.booleans()),
    st.builds(continued, secret, secret, gaps),
    st.builds(dollar, secret, st.sampled_from(["", "a", "A1", "_", "é", "€x", "tag_2"])),
    st.builds(unicode_string, secret),
)
comments = st.one_of(
    st.builds(block, secret, st.integers(0, 3)),
    st.builds(line, secret, st.sampled_from(["\n", "\r", "\r\n"])),
)
code = st.one_of(
    st.sampled_from(["SELECT", "foo", "a$b", "fooE", "é$x$", "_", "e"]).map(
        lambda w: Piece("w", w)
    ),
    st.sampled_from(["$1", "$23"]).map(lambda w: Piece("parameter", w)),
    st.sampled_from([NUMBER, f"{NUMBER}.5", f"{NUMBER}e9", f".{NUMBER}", f"0x{NUMBER}"]).map(
        lambda w: Piece("number", w)
    ),
    st.sampled_from(['"Na""me"', '"it\'s"', '"--"', '"$$"', '"/*"']).map(lambda w: Piece("n", w)),
    st.sampled_from(["=", "||", "(", ")", ",", "::", ";", "<>"]).map(lambda w: Piece("sign", w)),
)


def joined(pieces: list[Piece], gap: str = " ") -> str:
    """The pieces as one text; without a gap where two of them stay two."""
    text, before = "", Piece("sign", "")
    for piece in pieces:
        kinds = (before.kind, piece.kind)
        apart = "sign" in kinds or kinds in (
            ("parameter", "dollar"), ("number", "dollar"), ("parameter", "string"),
            ("string", "w"), ("string", "n"), ("dollar", "w"), ("comment", "string"),
            ("comment", "w"), ("comment", "dollar"), ("n", "string"), ("n", "dollar"),
        )  # fmt: skip
        # Strings with only space between them might be one.
        both = kinds == ("string", "string") or (kinds[1] == "string" and before.kind == "comment")
        text += ("," if both else "" if apart else gap) + piece.sql
        before = piece
    return text
