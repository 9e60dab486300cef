"""A flight: what a client sends up to Sync or Query, as the wire understands and traces it."""

import re
import time
from dataclasses import dataclass, field

from results.records import StatementTrace

SESSION = re.compile(
    r"\s*(?:SET|SHOW|RESET|DISCARD|LISTEN|UNLISTEN|DEALLOCATE|CLOSE|NOTIFY"
    r"|SELECT\s+pg_advisory_unlock_all)\b|.*\b(?:pg_catalog|pg_type|pg_range)\b",
    re.IGNORECASE | re.DOTALL,
)
BEGIN = re.compile(r"\s*(?:BEGIN|START\s+TRANSACTION)\b", re.IGNORECASE)
COMMIT = re.compile(r"\s*(?:COMMIT|END)\b", re.IGNORECASE)
ROLLBACK = re.compile(r"\s*(?:ROLLBACK|ABORT)\b", re.IGNORECASE)
WRITES = re.compile(r"\b(?:INSERT|UPDATE|DELETE|MERGE|CALL)\b", re.IGNORECASE)


@dataclass(slots=True)
class Flight:
    """One flight under way; its times are filled in as it goes."""

    number: int
    state_before: str
    simple: bool
    received_ns: int = field(default_factory=time.monotonic_ns)
    sql: list[str] = field(default_factory=list)
    parameters: list[tuple[str, ...]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    forwarded_ns: int | None = None
    replied_ns: int | None = None
    returned_ns: int | None = None
    state_after: str | None = None
    tags: list[str] = field(default_factory=list)
    sqlstate: str | None = None
    hold_id: str | None = None
    withhold: bool = False  # its answer is buffered, because a rule may want to hold it
    answer: bytearray = field(default_factory=bytearray)
    rows: int = 0  # of the statement under way
    sync_swallowed: bool = False  # COPY FROM: the server ignores the Sync sent with Execute

    @property
    def is_step(self) -> bool:
        """A step does something with the service's data."""
        return any(not SESSION.match(sql) and not BEGIN.match(sql) for sql in self.sql)

    @property
    def is_commit(self) -> bool:
        """Its end makes writes durable: an explicit COMMIT, or a write outside a block."""
        if self.state_before == "I":
            return any(WRITES.search(sql) for sql in self.sql if not SESSION.match(sql))
        return any(COMMIT.match(sql) for sql in self.sql)

    def record(self, replica: str, connection: int, backend_pid: int) -> StatementTrace:
        """The flight as the wire's file has it."""
        return StatementTrace(
            replica=replica, connection=connection, backend_pid=backend_pid, flight=self.number,
            sql=tuple(self.sql), parameters=tuple(self.parameters),
            keys=tuple(dict.fromkeys(self.keys)), received_ns=self.received_ns,
            forwarded_ns=self.forwarded_ns, replied_ns=self.replied_ns,
            returned_ns=self.returned_ns, state_before=self.state_before,
            state_after=self.state_after, tags=tuple(self.tags), sqlstate=self.sqlstate,
            hold_id=self.hold_id,
        )  # fmt: skip

    def predicted_state(self) -> str:
        """The transaction state after it, if all goes well; for flights sent in a pipeline."""
        state = self.state_before
        for sql in self.sql:
            if BEGIN.match(sql):
                state = "T"
            elif COMMIT.match(sql) or ROLLBACK.match(sql):
                state = "I"
        return state
