"""What a step touches, told from its text alone.

Whoever is not sure says *everything*: a statement that is not understood conflicts with every
other, so that the reduction can only cost time, never hide a schedule. It understands tables, not
rows. What a move then really did, and which of two cannot matter to each other, says `effect`.

Under READ COMMITTED a write that is not committed matters to other writes of its table (and of
those that foreign keys tie to it), not to plain reads. What ends a transaction publishes its
writes and frees its locks, and so does a write outside of one: that is what the step *ends*. A
step with a higher isolation level is everything: its snapshot depends on what was committed before
its transaction's first one.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from cluster.wire.flight import BEGIN, COMMIT, ROLLBACK, SESSION, WRITES
from cluster.wire.redaction import SQL_MAX_CHARACTERS

NAME = r'(?:"[^"]+"|[a-z_][\w$]*)'
TABLE = rf"(?:{NAME}\s*\.\s*)?({NAME})"
WRITTEN = re.compile(
    rf"(?:\bINSERT\s+INTO|(?<!\bFOR )(?<!\bKEY )\bUPDATE(?:\s+ONLY)?|\bDELETE\s+FROM(?:\s+ONLY)?)"
    rf"\s+{TABLE}",
    re.I,
)
# A name with a bracket behind it is a function, and judged as one.
READ = re.compile(rf"\b(?:FROM|JOIN|USING)\s+(?:ONLY\s+)?{TABLE}(?![\w$\"]|\s*\()", re.I)
LOCKING = re.compile(r"\bFOR\s+(?:NO\s+KEY\s+UPDATE|UPDATE|KEY\s+SHARE|SHARE)\b", re.I)
# What is not parsed: several tables in one FROM, brackets around tables, names without a space,
# comments.
SEVERAL = re.compile(
    r"\b(?:FROM|USING)\s(?:(?!\b(?:WHERE|ORDER|GROUP|LIMIT|FOR|SET|SELECT|RETURNING|UNION)\b)"
    r"(?:[^(),]|\([^()]*\)))*,"
    r"|\b(?:FROM|JOIN)\s*\(|\b(?:FROM|JOIN|USING|INTO|UPDATE)\"|--|/\*",
    re.I,
)
HIGHER = re.compile(r"\bISOLATION\s+LEVEL\s+(?!READ\b)|transaction_isolation", re.I)
INTO = re.compile(r"(?<!\bINSERT )\bINTO\b", re.I)
CALLED = re.compile(rf"({NAME})\s*\(", re.I)
ADVISORY = re.compile(r"\bpg_(?:try_)?advisory_", re.I)
ADVISORY_SESSION = re.compile(r"\bpg_(?:try_)?advisory_(?!xact_)", re.I)  # outlives a transaction
SEQUENCE = re.compile(r"\bnextval\s*\(", re.I)
INSERT = re.compile(r"\bINSERT\b", re.I)
# Words before a bracket that call nothing, and functions that touch no table.
HARMLESS = frozenset(
    re.findall(
        r"\w+",
        """all and any array_agg as avg between bool_and bool_or by case cast check clock_timestamp
        coalesce conflict count distinct else exists filter from gen_random_uuid greatest
        hashtext hashtextextended having
        in into is json_agg json_build_object json_to_recordset jsonb_agg jsonb_array_elements
        jsonb_build_object jsonb_to_recordset key least limit lower max min nextval not now
        nullif numeric on or order over partition returning row_number select set sum then
        timezone to_json to_jsonb union unnest update upper using values varchar when where with""",
    )
)


@dataclass(frozen=True, slots=True)
class Footprint:
    """The tables that a step touches; `everything`: nobody knows."""

    reads: frozenset[str] = frozenset()
    writes: frozenset[str] = frozenset()  # or locks
    ends: frozenset[str] = frozenset()  # it publishes what was written there, or frees the locks
    visible: bool = False  # from outside its transaction: it publishes, or calls the provider
    everything: bool = False


ANY = "*"
ADVISORY_LOCKS = "(advisory)"
SEQUENCES = "(sequences)"  # taken at once, outside transactions; a default may take one, too
EVERYTHING = Footprint(everything=True)
PROVIDER = Footprint(visible=True)


@dataclass(frozen=True, slots=True)
class Schema:
    """What the database says of its tables."""

    plain: frozenset[str] = frozenset()  # ordinary tables without triggers and rules
    strange: frozenset[str] = frozenset()  # views, and tables that do more than they say
    ties: frozenset[tuple[str, str]] = frozenset()  # by foreign keys and inheritance, both ways

    def with_tied(self, tables: frozenset[str]) -> frozenset[str]:
        """The tables, and those that are locked or read with them."""
        return tables | {other for name, other in self.ties if name in tables}


@lru_cache(maxsize=10_000)
def footprint(
    sql: tuple[str, ...], *, publishes: bool, held: frozenset[str], read_committed: bool,
    schema: Schema,
) -> Footprint:  # fmt: skip
    """What a flight touches.

    `publishes`: its end may make writes durable. `held`: what its transaction has written or
    locked before, which its end publishes and frees; ANY in it: nobody knows.
    """
    if not read_committed or any(map(HIGHER.search, sql)):
        return EVERYTHING
    if any(len(one) >= SQL_MAX_CHARACTERS for one in sql):  # what was cut off may be a lock
        return EVERYTHING
    reads: set[str] = set()
    writes: set[str] = set()
    taken: set[str] = set()
    ends = visible = publishes
    for statement in sql:
        for one in filter(str.strip, statement.split(";")):
            if BEGIN.match(one) or SESSION.match(one):
                continue
            if COMMIT.match(one) or ROLLBACK.match(one):
                ends = True
                continue
            found = of_statement(" ".join(one.split()), schema)
            if found.everything:
                return EVERYTHING
            reads |= found.reads
            writes |= found.writes
            taken |= found.ends
    written = schema.with_tied(frozenset(writes))
    ended = held | written if ends else frozenset()
    if ANY in ended or (publishes and not ended):
        return EVERYTHING
    return Footprint(schema.with_tied(frozenset(reads)), written, ended | taken, visible)


def of_statement(sql: str, schema: Schema) -> Footprint:
    """What a statement touches; a view, a trigger, a strange name may be anything."""
    word = sql.split(None, 1)[0].upper()
    if word not in ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH"):
        return EVERYTHING
    advisory = {ADVISORY_LOCKS} if ADVISORY.search(sql) else set()
    calls = (name for name in CALLED.findall(sql) if not _harmless(name))
    if any(not _is_table(sql, name) for name in calls) or INTO.search(sql) or SEVERAL.search(sql):
        return EVERYTHING
    written = {_plain(name) for name in WRITTEN.findall(sql)}
    if WRITES.search(sql) and not written:
        return EVERYTHING
    read = {_plain(name) for name in READ.findall(sql)}
    named = named_within(sql)
    if named & (schema.plain | schema.strange):  # which of the two a name means, is not parsed
        return EVERYTHING
    if not (read - named) | written <= schema.plain:
        return EVERYTHING
    locked = read - named if LOCKING.search(sql) else set()
    sequences = {SEQUENCES} if INSERT.search(sql) else set()
    return Footprint(
        frozenset((read - named) | sequences), frozenset(written | locked | advisory),
        frozenset({SEQUENCES} if SEQUENCE.search(sql) else ()),
    )  # fmt: skip


def named_within(sql: str) -> set[str]:
    """The names of a WITH's own tables."""
    return {_plain(name) for name in re.findall(rf"(?:\bWITH|,)\s+({NAME})\s+AS\s*\(", sql, re.I)}


def _harmless(name: str) -> bool:
    return name.lower() in HARMLESS or ADVISORY.match(name) is not None


def _is_table(sql: str, name: str) -> bool:
    """Whether what stands before a bracket is the table of an INSERT, or an alias with columns."""
    return bool(re.search(rf"\b(?:INTO|AS)\s+(?:{NAME}\.)?{re.escape(name)}\s*\(", sql, re.I))


def _plain(name: str) -> str:
    return name.strip('"').lower()
