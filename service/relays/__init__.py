"""One file per way to ship a row of the outbox. To add one, add a file; its name is the RELAY.

Each has `async def ship_one(pool, provider) -> bool`: ship the next row that is due, False if
there was none. All pass the row's own key on. What that is worth depends on the provider:

| relay | the provider honours keys | it ignores them |
|---|---|---|
| skip_locked | once | twice, if an answer is lost or the relay dies before its COMMIT |
| poll_ship_mark | once | twice, whenever two workers see the same row, or as above |
| claim_then_ship | never, if it dies after its claim | that, and twice if an answer is lost |

No relay is exactly-once with a provider that ignores keys.
"""

import importlib
import pkgutil
from collections.abc import Awaitable, Callable

from service.pool import Pool
from service.provider import Provider

ShipOne = Callable[[Pool, Provider], Awaitable[bool]]


def relay_names() -> list[str]:
    """The relays there are, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def load_relay(name: str) -> ShipOne:
    """The relay of that name; KeyError if there is none."""
    if name not in relay_names():
        raise KeyError(name)
    ship_one: ShipOne = importlib.import_module(f"service.relays.{name}").ship_one
    return ship_one
