"""How each relay ships, repeats, shares its work and dies, with a provider that can be held."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from service_support import FakeProvider

from service.database import open_pool
from service.pool import Pool
from service.provider import Provider
from service.relays import load_relay, relay_names

RELAYS = relay_names()


@dataclass
class HeldProvider:
    """Makes a shipment for each call, whatever its key, and keeps the caller waiting."""

    keys: list[str] = field(default_factory=list)
    release: asyncio.Event = field(default_factory=asyncio.Event)

    async def ship(self, shop: str, order_id: int, lines: Sequence[Any], key: str) -> None:
        self.keys.append(key)
        await self.release.wait()

    async def called(self, times: int) -> None:
        async with asyncio.timeout(10):
            while len(self.keys) < times:  # noqa: ASYNC110
                await asyncio.sleep(0.005)


@pytest.fixture
async def pool(service_dsn: str) -> AsyncIterator[Pool]:
    pool = open_pool(service_dsn, 4, "tests relay")
    await pool.execute(
        "INSERT INTO fulfillment_requests (shop, order_id, idempotency_key, lines)"
        " VALUES ('a.myshopify.com', 7, 'key', '[]')"
    )
    yield pool
    await pool.close(5)


async def _sent(pool: Pool) -> bool:
    sent: bool = await pool.fetchval("SELECT sent_at IS NOT NULL FROM fulfillment_requests")
    return sent


@pytest.mark.parametrize("relay", RELAYS)
async def test_a_row_is_shipped_with_its_key_and_repeated_after_a_failure(
    pool: Pool, provider: FakeProvider, relay: str
) -> None:
    ship_one = load_relay(relay)
    provider.fail_after_effect = 1
    async with Provider(provider.url) as client:
        assert await ship_one(pool, client)
        assert not await _sent(pool)
        async with asyncio.timeout(10):
            while not await ship_one(pool, client):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert await _sent(pool)
        assert not await ship_one(pool, client)
    assert provider.calls == [("key", 7)] * 2
    assert provider.shipments == {"key": 7}
    assert await pool.fetchval("SELECT attempts FROM fulfillment_requests") >= 2


@pytest.mark.parametrize("relay", RELAYS)
async def test_two_workers_and_one_row(pool: Pool, relay: str) -> None:
    """Only the one that does not lock ships twice to a provider that ignores keys (A1)."""
    ship_one, held = load_relay(relay), HeldProvider()
    first = asyncio.create_task(ship_one(pool, held))
    await held.called(1)
    second = asyncio.create_task(ship_one(pool, held))
    if relay == "poll_ship_mark":
        await held.called(2)
    else:
        assert await second is False
    held.release.set()
    assert await first is True
    await second
    assert held.keys == ["key"] * (2 if relay == "poll_ship_mark" else 1)
    assert await _sent(pool)


@pytest.mark.parametrize("relay", RELAYS)
async def test_a_relay_that_dies_during_its_call(pool: Pool, relay: str) -> None:
    """Shipped again (A1 where keys are ignored), or, if it had claimed first, maybe never (A2)."""
    ship_one, held = load_relay(relay), HeldProvider()
    dying = asyncio.create_task(ship_one(pool, held))
    await held.called(1)
    dying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await dying
    held.release.set()
    again = await ship_one(pool, held)
    assert again is (relay != "claim_then_ship")
    assert held.keys == ["key"] * (1 + again)
    assert await _sent(pool)  # whether it was or not
