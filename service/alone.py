"""`python -m service.alone`: a strategy without any HTTP, as fast as it goes; the figures as JSON.

What is measured is the strategy, its connections and the database: so many deliveries are under
way at once, each of an order of its own, and a new one begins when one is answered. Beside the
strategies there is `separate`: the steps of a right one, a statement each, which most consumers do.
"""

import argparse
import asyncio
import itertools
import json
import sys
import time

import uvloop

from service.database import open_pool, transaction
from service.pool import Pool
from service.provider import Provider
from service.settings import read_settings
from service.steps import log_first, pay_unsettled_order, request_shipment_of_order, take_stock
from service.strategies import Answer, Handler, load_strategy
from service.webhook import Line, Webhook

SHOP = "onceproof-demo.myshopify.com"
FIRST_ORDER = 910_000_000_000_000_000
SKUS = 100  # as many as schema.sql puts into the stock
CLOSE_SECONDS = 5.0


async def separate(webhook: Webhook, pool: Pool, provider: Provider) -> Answer:
    """Pay, record, take and log, each in a round trip."""
    async with pool.acquire() as connection, transaction(connection):
        if not await pay_unsettled_order(connection, webhook):
            return Answer(200, "duplicate order")
        await request_shipment_of_order(connection, webhook)
        await take_stock(connection, webhook)
        await log_first(connection, webhook, "success")
        return Answer(200, "fulfillment requested")


async def measure(name: str, at_once: int, seconds: float, skus: int) -> dict[str, float]:
    """How many orders a second, and what one costs this process."""
    settings = read_settings()
    handle: Handler = separate if name == "separate" else load_strategy(name)
    pool = open_pool(settings.database_url, settings.pool_size, "onceproof-service alone")
    numbers = itertools.count()
    done = 0
    async with Provider("http://127.0.0.1:9") as provider:
        until = time.perf_counter() + seconds

        async def deliver_in_turn() -> None:
            nonlocal done
            while time.perf_counter() < until:
                at = next(numbers)
                line = Line(f"ONCE-{at % skus + 1:03}", 1)
                webhook = Webhook(
                    f"{at:08x}-0000-4000-8000-000000000000", "orders/paid", SHOP,
                    FIRST_ORDER + at, "10.50", (line,),
                )  # fmt: skip
                answer = await handle(webhook, pool, provider)
                if answer.status != 200:
                    raise RuntimeError(f"{name} answered {answer.status}: {answer.outcome}")
                done += 1

        began, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*(deliver_in_turn() for _ in range(at_once)))
        took, cpu = time.perf_counter() - began, time.process_time() - cpu
    await pool.close(CLOSE_SECONDS)
    return {"done": done, "per_second": done / took, "service_cpu_us": cpu / done * 1e6}


def main() -> None:
    """Read the arguments, measure, write."""
    parser = argparse.ArgumentParser(prog="service.alone")
    parser.add_argument("strategy")
    parser.add_argument("--at-once", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--skus", type=int, default=SKUS)
    given = parser.parse_args()
    found = uvloop.run(measure(given.strategy, given.at_once, given.seconds, given.skus))
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
