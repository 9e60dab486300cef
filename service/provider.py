"""The fulfillment provider as this service sees it: one POST that makes one shipment.

The answer may be lost after the shipment was made, so a failed call means "unknown", never "not
shipped". Whoever repeats a call must repeat its key, and even that helps only with a provider
that honours keys.
"""

import json
from collections.abc import Sequence
from typing import Any, Self

import aiohttp

TIMEOUT_SECONDS = 3.0


class ProviderError(Exception):
    """No answer, or not one that promises a shipment."""


class Provider:
    """A client for `POST /shipments` with a bounded number of connections."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS),
            connector=aiohttp.TCPConnector(limit=64),
        )

    async def ship(self, shop: str, order_id: int, lines: Sequence[Any], key: str) -> None:
        """Ask for one shipment; raise ProviderError unless the provider confirmed it."""
        body = json.dumps({"shop": shop, "order_id": order_id, "lines": list(lines)})
        headers = {"Idempotency-Key": key, "Content-Type": "application/json"}
        try:
            async with self._session.post(
                self._url, data=body, headers=headers, allow_redirects=False
            ) as reply:
                await reply.read()
                if not 200 <= reply.status < 300:
                    raise ProviderError(f"the provider answered {reply.status}")
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise ProviderError(f"the provider did not answer: {error!r}") from error

    async def close(self) -> None:
        """Close its connections."""
        await self._session.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
