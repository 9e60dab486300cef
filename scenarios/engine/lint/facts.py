"""What the database says of its tables, and by what it would find what a delivery looks for.

Only what the service itself was seen to read is explained, which runs nothing. A tiny table is
always scanned, so scans are made expensive first: where one is left, there is no index. A function
that plans in a way of its own, and a statement that cannot be prepared again, are passed over.
"""

import json
import re
from collections.abc import Iterable
from typing import Any

import asyncpg

from results.lint.traced import PLAIN, Catalogue, Unique

UNIQUE = """
    SELECT relname AS "table", array_agg(attname::text) AS columns FROM pg_index
      JOIN pg_class ON pg_class.oid = indrelid
      JOIN pg_attribute ON attrelid = indrelid AND attnum = ANY (indkey[0:indnkeyatts - 1])
     WHERE indisunique AND indpred IS NULL AND indexprs IS NULL
       AND relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
     GROUP BY indexrelid, relname
"""
PARENTS = """
    SELECT child.relname AS child, parent.relname AS parent FROM pg_inherits
      JOIN pg_class AS child ON child.oid = inhrelid
      JOIN pg_class AS parent ON parent.oid = inhparent
"""
READ = re.compile(r"^\s*SELECT\b.*\bFROM\b.*\bWHERE\b", re.IGNORECASE | re.DOTALL)
HIDDEN = re.compile(r"'[^']*'|‹[^›]*›|\b91\d{16}\b")
PLANS_MAX = 64


async def catalogue(connection: "asyncpg.Connection[Any]", said: Iterable[str]) -> Catalogue:
    """Unique indexes, parents, and those of the service's reads that no index serves."""
    unique = await connection.fetch(UNIQUE)
    parents = await connection.fetch(PARENTS)
    reads = [sql for sql in dict.fromkeys(said) if READ.match(sql) and ";" not in sql]
    scanned = [sql for sql in reads[:PLANS_MAX] if await _is_scanned(connection, sql)]
    return Catalogue(
        unique=tuple(
            Unique(row["table"].lower(), frozenset(one.lower() for one in row["columns"]))
            for row in unique
        ),
        parents=tuple((row["child"].lower(), row["parent"].lower()) for row in parents),
        scanned=frozenset(" ".join(sql.split()) for sql in scanned),
    )


async def default_isolation(connection: "asyncpg.Connection[Any]") -> str:
    """The level of whoever names none."""
    return str(await connection.fetchval("SHOW default_transaction_isolation")) or PLAIN


async def _is_scanned(connection: "asyncpg.Connection[Any]", sql: str) -> bool:
    places = [int(one) for one in re.findall(r"\$(\d+)", sql)]
    most = max(places, default=0)

    def numbered(_: "re.Match[str]") -> str:
        nonlocal most
        most += 1
        return f"${most}"

    prepared = HIDDEN.sub(numbered, sql)
    given = f"({', '.join(['NULL'] * most)})" if most else ""
    transaction = connection.transaction(readonly=True)
    await transaction.start()
    try:
        await connection.execute("SET LOCAL enable_seqscan = off")
        await connection.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        await connection.execute(f"PREPARE onceproof_lint AS {prepared}")
        try:
            plan = await connection.fetchval(f"EXPLAIN (FORMAT JSON) EXECUTE onceproof_lint{given}")
        finally:
            await connection.execute("DEALLOCATE ALL")
    except asyncpg.PostgresError:
        return False
    finally:
        await transaction.rollback()
    return '"Seq Scan"' in json.dumps(json.loads(plan))
