"""A flight: what a client sends up to Sync or Query, as the wire understands and traces it.

What a statement does is read from its text, with literals and comments already removed. A call of
a function that is not Postgres' own counts as a write, since it may be one.
"""

import re
import time
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncio import TimerHandle

    from cluster.wire.gates import Hold
    from cluster.wire.statements import Portal

SESSION = re.compile(
    r"\s*(?:SET|SHOW|RESET|DISCARD|LISTEN|UNLISTEN|DEALLOCATE|CLOSE|NOTIFY"
    r"|SELECT\s+pg_advisory_unlock_all)\b"
    # The catalogue is read; a write, a lock or a call that only names it is a step.
    r"|(?!.*(?:\b(?:INSERT|UPDATE|DELETE|MERGE|SHARE)\b|_advisory_))"
    r".*\b(?:pg_catalog|pg_type|pg_range)\b"
    # Settings of the session, as asyncpg reads and writes them.
    r"|\s*SELECT\s+(?:,?\s*(?:current_setting|set_config)\([^()]*\)(?:\s+AS\s+\w+)?\s*)+;?\s*\Z"
    r"|\s*SELECT\s+(?:‹[^›]*›|NULL|TRUE|FALSE)(?:\s+AS\s+\w+)?\s*;?\s*\Z",  # is it alive?
    re.IGNORECASE | re.DOTALL,
)
BEGIN = re.compile(r"\s*(?:BEGIN|START\s+TRANSACTION)\b", re.IGNORECASE)
COMMIT = re.compile(r"\s*(?:COMMIT(?!\s+PREPARED)|END)\b", re.IGNORECASE)
ROLLBACK = re.compile(
    r"\s*(?:ROLLBACK(?!\s+(?:PREPARED|(?:(?:WORK|TRANSACTION)\s+)?TO)\b)|ABORT)\b", re.IGNORECASE
)
# SELECT ... FOR [NO KEY] UPDATE locks, and writes nothing of the service's.
WRITES = re.compile(r"\b(?:INSERT|(?<!\bFOR )(?<!\bKEY )UPDATE|DELETE|MERGE|CALL)\b", re.IGNORECASE)
ROWS_WRITTEN = re.compile(r"(?:INSERT 0|UPDATE|DELETE|MERGE) [1-9]")  # a command tag
SPACES = re.compile(r"\s+")
CALLS = re.compile(r"\s*SELECT\s+(?:\*\s+FROM\s+)?(?:\w+\.)?([a-z_]\w*)\s*\(", re.IGNORECASE)
TEXTS_MAX = 4_096
known = lru_cache(maxsize=TEXTS_MAX)  # a service says the same few things all day
READING = frozenset(
    [
        "array_agg",
        "avg",
        "bool_and",
        "bool_or",
        "cast",
        "clock_timestamp",
        "coalesce",
        "concat",
        "count",
        "current_setting",
        "date_trunc",
        "exists",
        "extract",
        "generate_series",
        "greatest",
        "json_agg",
        "json_build_object",
        "jsonb_agg",
        "jsonb_build_object",
        "least",
        "length",
        "lower",
        "max",
        "md5",
        "min",
        "now",
        "nullif",
        "repeat",
        "row_to_json",
        "set_config",
        "string_agg",
        "sum",
        "to_char",
        "to_json",
        "to_jsonb",
        "unnest",
        "upper",
        "version",
    ]
)


@dataclass(slots=True, eq=False)
class Flight:
    """One flight under way; its times are filled in as it goes."""

    number: int
    state_before: str
    step: int = 1  # which step of its transaction it is, if it is one
    simple: bool = False
    received_ns: int = field(default_factory=time.monotonic_ns)
    sql: list[str] = field(default_factory=list)
    portal: "Portal | None" = None  # what it executes, while its values are unread
    _parameters: list[tuple[str, ...]] = field(default_factory=list)
    _keys: list[str] = field(default_factory=list)
    forwarded_ns: int | None = None
    replied_ns: int | None = None
    returned_ns: int | None = None
    state_after: str | None = None
    tags: list[str] = field(default_factory=list)
    sqlstate: str | None = None
    hold_id: str | None = None
    wrote_before: bool = False  # its transaction had written before it
    queued: bool = False  # some of it was forwarded
    executed: int = 0  # how many of its statements the server has finished
    synced: bool = False  # its Sync or Query was forwarded: ReadyForQuery will end it
    copying: bool = False  # the server waits for the client's COPY data
    sync_swallowed: bool = False  # COPY FROM: the server ignores the Sync sent with Execute
    withhold: bool = False  # its answer is buffered, because a rule may want to hold it
    answer: bytearray = field(default_factory=bytearray)
    passed: "list[Hold]" = field(default_factory=list)  # holds that let it go, until it is answered
    settling: "TimerHandle | None" = None  # ends them, if it never is
    reply_hold: "Hold | None" = None  # its COMMIT's hold, which goes on as one of its answer

    @property
    def parameters(self) -> list[tuple[str, ...]]:
        """The values of each statement, redacted."""
        self._read()
        return self._parameters

    @property
    def keys(self) -> list[str]:
        """The ids of the traffic in its statements and values."""
        self._read()
        return self._keys

    def _read(self) -> None:
        if self.portal is not None:
            portal, self.portal = self.portal, None
            self._keys.extend(portal.keys)
            self._parameters.append(portal.values)

    @property
    def may_commit(self) -> bool:
        """Its end may make writes durable: the COMMIT of a block that wrote, or a write outside."""
        wrote = any(map(writes, self.sql))
        if any(map(_commits, self.sql)):
            return self.wrote_before or wrote
        return self.state_before == "I" and wrote

    @property
    def committed(self) -> bool:
        """The server said that what `may_commit` promised has happened."""
        if self.sqlstate is not None:
            return False
        if not self.may_commit:
            return False
        return "COMMIT" in self.tags or (self.state_after == "I" and not self._explicit)

    @property
    def _explicit(self) -> bool:
        return self.state_before != "I" or any(map(_begins, self.sql))

    @property
    def wrote_rows(self) -> bool:
        """The server counted a row that it wrote."""
        return any(map(ROWS_WRITTEN.match, self.tags))

    def predicted_state(self) -> str:
        """The transaction state after it, if all goes well; for flights sent in a pipeline."""
        return state_after(self.state_before, self.sql)


def is_step(statements: list[str]) -> bool:
    """A step does something with the service's data."""
    return any(map(_is_step, statements))


@known
def _is_step(sql: str) -> bool:
    return any(
        each.strip() and not SESSION.match(each) and not BEGIN.match(each)
        for each in sql.split(";")
    )


@known
def _begins(sql: str) -> bool:
    return any(map(BEGIN.match, sql.split(";")))


@known
def _commits(sql: str) -> bool:
    return any(map(COMMIT.match, sql.split(";")))


@known
def writes(sql: str) -> bool:
    """Whether a statement, or one of several in a Query, writes or may write, by its text."""
    return any(map(_writes, sql.split(";")))


def _writes(sql: str) -> bool:
    if SESSION.match(sql):
        return False
    if WRITES.search(SPACES.sub(" ", sql)) is not None:
        return True
    call = CALLS.match(sql)
    return (
        call is not None
        and not call[1].lower().startswith("pg_")
        and (call[1].lower() not in READING)
    )


def state_after(state: str, statements: list[str]) -> str:
    """The transaction state after statements that succeed."""
    for sql in statements:
        state = _state_after(state, sql)
    return state


@known
def _state_after(state: str, sql: str) -> str:
    for each in sql.split(";"):
        if BEGIN.match(each):
            state = "T"
        elif COMMIT.match(each) or ROLLBACK.match(each):
            state = "I"
    return state


def commit_point(
    flight: Flight, executed: list[tuple[int, str]], last: int, ends_with_sync: bool
) -> int | None:
    """The index of the message that would commit, within the newest messages of a flight.

    It is the COMMIT of an open block that has written, or the Sync after a write outside a block.
    A Query that writes outside a block commits by itself and cannot be stopped in between: None.
    """
    earlier = flight.sql[: len(flight.sql) - len(executed)]
    state = state_after(flight.state_before, earlier)
    alone = state == "I" and any(map(writes, earlier))  # a write outside a block
    wrote = flight.wrote_before or any(map(writes, earlier))
    for index, sql in executed:
        if wrote and state == "T" and _commits(sql):
            return index
        state = state_after(state, [sql])
        wrote = wrote or writes(sql)
        alone = alone or (state == "I" and writes(sql))
    return last if alone and ends_with_sync and state == "I" else None
