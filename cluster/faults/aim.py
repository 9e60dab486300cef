"""A parked transaction that is worth a crash: what Postgres says of it while nothing moves.

Half of all duplicates lose: they wait, find the order settled and write nothing. A crash there
proves nothing of a COMMIT, so for the three points at COMMIT a transaction must have an id, which
Postgres gives to none that only reads. For `reply-lost` its COMMIT is forwarded then and the answer
held; Postgres must say that this very id is committed and show a row of it. Whatever falls short
is let go as if nothing had been, and the next one is waited for.

Limits: a row that is only locked gives an id, too. That a `commit-dropped` would have written is
not proved; a `commit-after-death` tells afterwards (`wrote_table`). A transaction that only deletes
leaves no row to show, and is let go. A statement that commits by itself in one Query message cannot
be held between its work and its COMMIT.
"""

import contextlib
from dataclasses import dataclass, field
from typing import Any, Literal

from cluster.faults.backend import DATABASE_ERRORS, Backend, server
from cluster.faults.context import FaultContext
from cluster.wire.rules import Park
from results.errors import ClusterError, OnceproofError

CrashPoint = Literal[
    "commit-dropped",
    "commit-after-death",
    "reply-lost",
    "in-transaction",
    "statement",
    "blind",
    "polled",
]
AT_COMMIT = ("commit-dropped", "commit-after-death", "reply-lost")
_FATE_SECONDS = 3.0
_ERRORS = (OnceproofError, *DATABASE_ERRORS)


@dataclass(frozen=True, slots=True)
class Aim:
    """A parked flight, and what Postgres knew of its transaction."""

    park: Park
    backend: Backend | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    missing: tuple[str, ...] = ()


async def take_aim(context: FaultContext, point: CrashPoint, park: Park) -> Aim:
    """Look at what is parked; for `reply-lost`, let it commit and hold the answer.

    ClusterError, saying why, if it is no hit; the park has been let go by then.
    """
    try:
        return await _aim(context, point, park)
    except _ERRORS as error:
        if context.wire is not None:
            with contextlib.suppress(*_ERRORS):
                await context.wire.release(park.hold_id, "pass")
        raise ClusterError(f"the last one that parked was let go: {error}") from error


async def _aim(context: FaultContext, point: CrashPoint, park: Park) -> Aim:
    async with server(context.database) as postgres:
        backend = await postgres.backend(park.backend_pid)
        if backend is None:
            raise ClusterError(f"pid {park.backend_pid} was not in pg_stat_activity")
        facts = backend.facts()
        if point not in AT_COMMIT:
            lost = point != "statement" and not backend.in_transaction
            missing = ("in transaction: Postgres saw none open at the park",) if lost else ()
            return Aim(park, backend, facts, missing)
        if not backend.in_transaction or backend.xid is None:
            raise ClusterError("its transaction had no id: it had written nothing")
        if point != "reply-lost":
            return Aim(park, backend, facts)
        if context.wire is None:
            raise ClusterError("only the wire can hold an answer: run with it")
        if not await context.wire.release(park.hold_id, "hold-reply"):
            raise ClusterError("its COMMIT failed, or its hold had ended by itself")
        fate = await postgres.fate(backend.xid, timeout_seconds=_FATE_SECONDS)
        if fate != "committed":
            raise ClusterError(f"its transaction was {fate} after its COMMIT")
        table = await postgres.written_table(backend.xid)
        if table is None:
            raise ClusterError("its transaction left no row: it had written nothing")
        return Aim(park, backend, {**facts, "commit_answered": True, "wrote_table": table})
