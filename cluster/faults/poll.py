"""The best that can be done without the wire: ask Postgres who is in a transaction, then strike.

By the time that the answer has come and the signal has gone, a transaction of some milliseconds is
over. It is here to be compared with: how often it lands is measured as for a blind crash.
"""

import asyncio
import time
from collections.abc import Collection

import asyncpg

from cluster.faults.backend import DATABASE_ERRORS
from cluster.faults.context import FaultContext
from results.errors import ClusterError

_SECONDS = 10.0
_EVERY_SECONDS = 0.005
_BUSY = """
    SELECT pid FROM pg_stat_activity
     WHERE datname = current_database() AND backend_type = 'client backend'
       AND pid <> pg_backend_pid() AND backend_xid IS NOT NULL
"""


async def polled(context: FaultContext, replicas: Collection[str]) -> str:
    """The first of these replicas that Postgres says is in a transaction that has written.

    ClusterError when none is within the deadline.
    """
    if context.wire is None:
        raise ClusterError("only the wire knows which replica a backend serves: run with it")
    deadline = time.monotonic() + _SECONDS
    try:
        connection = await asyncpg.connect(
            context.database, timeout=5, server_settings={"application_name": "onceproof-poll"}
        )
        try:
            while time.monotonic() < deadline:
                busy = {row["pid"] for row in await connection.fetch(_BUSY)}
                if busy:
                    for one in (await context.wire.state()).connections:
                        if one.backend_pid in busy and one.replica in replicas:
                            return one.replica
                await asyncio.sleep(_EVERY_SECONDS)
        finally:
            await connection.close(timeout=2)
    except DATABASE_ERRORS as error:
        raise ClusterError(f"Postgres could not be polled: {error}") from error
    raise ClusterError(f"Postgres showed no transaction within {_SECONDS:.0f} s of polling")
