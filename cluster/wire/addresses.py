"""Which replica a client is, by the address it comes from: for replicas that share one port.

Pods of one Deployment have one configuration and therefore one database URL, but each has an
address of its own, and nothing between a pod and the wire may change it: the wire is reached by a
headless service, so that no proxy of the cluster's stands in between. A client whose address has
no name yet waits for it, shortly: the controller learns of a pod at the same time as its process
starts. One that nobody names is refused, for its statements would be somebody's.

An address is given to another pod after its pod has gone: the controller forgets it then.

Limits: without a controller an address is its own name, since a wire alone is only a wire.
"""

import asyncio

NAME_SECONDS = 5.0
ADDRESSES_MAX = 10_000


class Addresses:
    """The names that the controller has told."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._told = asyncio.Condition()

    async def name(self, address: str, replica: str | None) -> None:
        """From now on this address is that replica, or (None) nobody."""
        async with self._told:
            if replica is None:
                self._names.pop(address, None)
            elif address in self._names or len(self._names) < ADDRESSES_MAX:
                self._names[address] = replica
            else:
                raise ValueError(f"more than {ADDRESSES_MAX} addresses")
            self._told.notify_all()

    async def replica(self, address: str, *, wait: bool) -> str:
        """The replica at an address; TimeoutError if it has no name and gets none in time."""
        if not wait:
            return self._names.get(address, address)
        async with asyncio.timeout(NAME_SECONDS), self._told:
            await self._told.wait_for(lambda: address in self._names)
            return self._names[address]
