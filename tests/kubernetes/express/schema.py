"""The tables of the Express shop, made in the database that $DATABASE_URL names."""

import asyncio
import os

import asyncpg

TABLES = """
CREATE TABLE orders (shop text, order_id bigint, status text, PRIMARY KEY (shop, order_id));
CREATE TABLE fulfillments (
    id bigserial PRIMARY KEY, shop text, order_id bigint, sent boolean NOT NULL DEFAULT false);
CREATE TABLE webhook_log (webhook_id text PRIMARY KEY, shop text, order_id bigint);
"""


async def main() -> None:
    """Make them."""
    connection = await asyncpg.connect(os.environ["DATABASE_URL"])
    await connection.execute(TABLES)
    await connection.close()


if __name__ == "__main__":
    asyncio.run(main())
