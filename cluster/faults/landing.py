"""Whether an end that was aimed at nothing hit a transaction all the same.

It has only if the wire saw a connection of its victim end after it, inside a transaction that had
written rows and whose end nobody had asked for. A look before it would not do: by then it may be
over. A handler of one statement is therefore never counted: nobody can tell whether its implicit
transaction was still open.
"""

import time
from dataclasses import dataclass, field
from typing import Any

from cluster.faults.context import WireControl
from results.errors import OnceproofError

_SECONDS = 3.0


@dataclass(slots=True)
class Landing:
    """The connections of one victim, from before its end on."""

    facts: dict[str, Any] = field(default_factory=dict)
    _open: dict[int, int] = field(default_factory=dict)  # connection -> backend

    async def look(self, wire: WireControl | None, replica: str) -> None:
        """Which connections may be hit."""
        self.facts["landed_in_transaction"] = None
        if wire is None:
            return
        try:
            state = await wire.state()
        except (OnceproofError, OSError, TimeoutError) as error:
            self.facts["wire"] = str(error)
            return
        mine = [one for one in state.connections if one.replica == replica]
        self._open = {one.connection: one.backend_pid for one in mine}
        self.facts["connections_open"] = len(mine)

    async def tell(self, wire: WireControl | None, replica: str, since_ns: int) -> dict[str, Any]:
        """The wire's word for each of their ends since a time; None where one was not seen."""
        if wire is None or "connections_open" not in self.facts:
            return self.facts
        hit: list[int] = []
        unseen = 0
        deadline = time.monotonic() + _SECONDS
        for connection, backend_pid in self._open.items():
            left = max(0.0, deadline - time.monotonic())
            try:
                end = await wire.wait_end(replica, connection, timeout_seconds=left)
            except (OnceproofError, OSError, TimeoutError):
                end = None
            unseen += end is None
            if end is not None and end.at_ns >= since_ns and end.in_written_transaction:
                hit.append(backend_pid)
        self.facts["landed_in_transaction"] = True if hit else None if unseen else False
        self.facts["backends_hit"] = hit
        return self.facts
