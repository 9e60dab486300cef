"""A traced delivery as steps: which table each statement reads or writes, by which columns.

The text is matched, not parsed. Values are redacted in a trace except for the ids of the traffic,
so a column that is compared with the order's id or the delivery's webhook id is known as such.
Several rows of one table, subqueries and what a function does inside are beyond it.
"""

import re
from dataclasses import dataclass

from results.lint.traced import Attempt, Catalogue
from results.records import StatementTrace
from results.transactions import transactions

_NAME = r'(?:"?\w+"?\s*\.\s*)?"?(\w+)"?'
_COMPARED = re.compile(
    rf"{_NAME}\s*(=|<>|!=|<=|>=|<|>|\bIS\b|\bIN\b|\bLIKE\b)\s*\(?\s*(?:ANY\s*\(\s*)?"
    r"(\$\d+|'[^']*'|\d+)?", re.IGNORECASE,
)  # fmt: skip
_WRITE = re.compile(
    rf"^\s*(?:WITH\b.*?)?\b(INSERT\s+INTO|UPDATE|DELETE\s+FROM)\s+(?:ONLY\s+)?{_NAME}",
    re.IGNORECASE | re.DOTALL,
)
_READ = re.compile(rf"^\s*SELECT\b.*?\bFROM\s+(?:ONLY\s+)?{_NAME}", re.IGNORECASE | re.DOTALL)
_VALUES = re.compile(r"\(([^()]*)\)\s*VALUES\s*\((.*?)\)\s*(?:ON|RETURNING|;|$)", re.I | re.DOTALL)
_LOCKS = re.compile(r"\bFOR\s+(?:NO\s+KEY\s+)?UPDATE\b", re.IGNORECASE)
_SHARES = re.compile(r"\bFOR\s+(?:KEY\s+)?SHARE\b", re.IGNORECASE)
_ADVISORY = re.compile(r"\bpg_(?:try_)?advisory_(?:xact_)?lock\b", re.IGNORECASE)
_SESSION_LOCK = re.compile(r"\bpg_(?:try_)?advisory_lock\b", re.IGNORECASE)
_GUARDED = re.compile(
    r"\bON\s+CONFLICT\b.*\b(?:DO\s+NOTHING|DO\s+UPDATE\b.*\bWHERE)\b", re.I | re.S
)
_CONFLICT = re.compile(r"\bON\s+CONFLICT\b", re.IGNORECASE)
_LEVEL = re.compile(r"\b(SERIALIZABLE|REPEATABLE\s+READ|READ\s+COMMITTED)\b", re.IGNORECASE)
_BEGIN = re.compile(r"^\s*(?:BEGIN|START\s+TRANSACTION)\b", re.IGNORECASE)
_WHERE = re.compile(r"\bWHERE\b", re.IGNORECASE)
_ROWS = re.compile(r"(\d+)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One statement of one transaction."""

    sql: str
    flight: StatementTrace
    block: int  # which of the delivery's transactions it belongs to
    level: str  # that one's isolation level, in lower case
    reads: str | None  # the table of a SELECT
    writes: str | None  # of an INSERT, UPDATE or DELETE
    inserts: bool
    compared: frozenset[str]  # the columns of its WHERE; for an INSERT, those that it fills
    by_order: frozenset[str]  # columns that are, or become, the order's id
    by_webhook: frozenset[str]
    names: bool  # the order's id or the webhook id is among its values
    rows: int | None  # what its command tag counts

    @property
    def locks(self) -> bool:
        """It takes rows for a write to come."""
        return _LOCKS.search(self.sql) is not None

    @property
    def shares(self) -> bool:
        """It takes rows together with others."""
        return _SHARES.search(self.sql) is not None

    @property
    def advisory(self) -> bool:
        """It takes an advisory lock."""
        return _ADVISORY.search(self.sql) is not None

    @property
    def session_lock(self) -> bool:
        """An advisory lock that outlives the transaction."""
        return _SESSION_LOCK.search(self.sql) is not None

    @property
    def wrote(self) -> bool:
        """It changed a row, or a statement beneath a SELECT may have."""
        return self.writes is not None and self.rows != 0

    def decides(self, catalogue: Catalogue) -> bool:
        """Whether at most one of two such writes of one order goes through."""
        if self.writes is None or not self.by_order:
            return False
        keys = [
            one.columns for one in catalogue.unique
            if one.table == self.writes and one.columns & self.by_order
        ]  # fmt: skip
        if not self.inserts:
            return bool(self.compared - self.by_order.union(*keys))
        if _CONFLICT.search(self.sql):
            return bool(keys) and _GUARDED.search(self.sql) is not None
        return any(key <= self.compared for key in keys)


def steps_of(attempt: Attempt) -> tuple[Step, ...]:
    """Its statements in order; BEGIN and what ends a transaction aside."""
    found = []
    for block, transaction in enumerate(transactions(attempt.statements)):
        texts = [sql for flight in transaction.flights for sql in flight.sql]
        named = [_LEVEL.search(sql) for sql in texts if _BEGIN.match(sql) or "ISOLATION" in sql]
        level = next((" ".join(one[1].split()) for one in named if one), attempt.isolation).lower()
        for flight in transaction.flights:
            for index, sql in enumerate(flight.sql):
                if not re.match(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH|MERGE)\b", sql, re.I):
                    continue
                found.append(_step(attempt, flight, index, block, level))
    return tuple(sorted(found, key=lambda step: step.flight.received_ns))


def _step(attempt: Attempt, flight: StatementTrace, index: int, block: int, level: str) -> Step:
    sql = " ".join(flight.sql[index].split())
    values = flight.parameters[index] if index < len(flight.parameters) else ()
    ids = {str(attempt.order_id): "order", attempt.webhook_id: "webhook"}
    columns: dict[str, set[str]] = {"order": set(), "webhook": set(), "all": set()}

    def put(column: str, value: str) -> None:
        columns["all"].add(column.lower())
        kind = ids.get(_value(value, values))
        if kind is not None:
            columns[kind].add(column.lower())

    write, read = _WRITE.match(sql), _READ.match(sql)
    if write is not None and write[1].upper().startswith("INSERT"):
        filled = _VALUES.search(sql)
        if filled is not None:
            for column, value in zip(filled[1].split(","), _split(filled[2]), strict=False):
                put(column.strip().strip('"'), value)
    else:
        for one in _COMPARED.finditer(
            _WHERE.split(sql, maxsplit=1)[-1] if _WHERE.search(sql) else ""
        ):
            put(one[1], one[3] or "")
    tag = _ROWS.search(flight.tags[index]) if index < len(flight.tags) else None
    return Step(
        sql=sql, flight=flight, block=block, level=level,
        reads=read[1].lower() if read is not None else None,
        writes=write[2].lower() if write is not None else None,
        inserts=write is not None and write[1].upper().startswith("INSERT"),
        compared=frozenset(columns["all"]), by_order=frozenset(columns["order"]),
        by_webhook=frozenset(columns["webhook"]), names=bool(set(ids) & set(flight.keys)),
        rows=int(tag[1]) if tag is not None else None,
    )  # fmt: skip


def _value(text: str, values: tuple[str, ...]) -> str:
    """What stands there, or the parameter that it stands for."""
    text = text.strip().partition("::")[0]
    if text.startswith("$") and text[1:].isdigit() and int(text[1:]) <= len(values):
        return values[int(text[1:]) - 1].strip("'")
    return text.strip("'")


def _split(values: str) -> list[str]:
    """By the commas outside of brackets."""
    parts, depth = [""], 0
    for letter in values:
        depth += (letter == "(") - (letter == ")")
        if letter == "," and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return parts
