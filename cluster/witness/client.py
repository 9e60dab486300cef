"""Drives a witness: its mode, and how many calls met it."""

from typing import Any

import aiohttp

from results.errors import ClusterError

CALL_SECONDS = 5.0


class WitnessClient:
    """The controller's side of one witness."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}"}

    async def set_mode(self, mode: str, **settings: Any) -> None:
        """How it answers from now on; ClusterError when it does not take it."""
        await self._call("POST", "control", json={"mode": mode, **settings})

    async def met(self, mode: str) -> int:
        """How many calls met a mode so far."""
        return int((await self._call("GET", "control")).get(mode, 0))

    async def effects(self, order_id: int) -> list[str]:
        """The shipments of an order id, of every shop."""
        found = await self._call("GET", "effects", params={"order_id": str(order_id)})
        return [str(shipment) for shipment in found]

    async def _call(self, method: str, path: str, **more: Any) -> Any:
        timeout = aiohttp.ClientTimeout(total=CALL_SECONDS)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, headers=self._headers) as session,
                session.request(method, f"{self._url}/{path}", **more) as answer,
            ):
                content = await answer.json()
                if answer.status != 200:
                    raise ClusterError(f"The witness refused {more}: {content}.")
                return content
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ClusterError(f"The witness does not answer: {error!r}.") from None
