"""One file per way to handle a paid order. To add one, add a file; its name is the STRATEGY.

Each has `async def handle(webhook, pool, provider) -> Answer`. Most ignore the provider: they
record the wish to ship in the outbox and leave the call to the relay. What they have in common is
in `service/steps.py`; what each does with it, and where it breaks, its own file says. Which of them
are right, and whether with a row of the order only, is the golden table of docs/exactly-once.md.

That is under READ COMMITTED. ISOLATION sets the level of every transaction that does not name its
own. Under the higher ones a delivery that wrote too late fails with a 503, so that a blind write
becomes a retry: `article` and `article_no_primary_key` are right then if there is a row to write
to (`article_inline` too, until a replica dies), and `for_update` is right with a row or without.
Nothing becomes right that commits statement by statement (naive, article_pool_object), shares a
transaction (article_shared_client), promises before it has done the work (dedupe_first, which
loses even more) or does nothing where there is no row (optimistic). Nothing that was right
becomes wrong, it only answers 503 more often: orders that share a SKU make each other fail.

A cancelled order is never paid or shipped by those that are right; the blind ones do both.
"""

import importlib
import pkgutil
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from service.pool import Pool
from service.provider import Provider
from service.webhook import Webhook


class Answer(NamedTuple):
    """What the sender is told."""

    status: int
    outcome: str


Handler = Callable[[Webhook, Pool, Provider], Awaitable[Answer]]


def strategy_names() -> list[str]:
    """The strategies there are, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def load_strategy(name: str) -> Handler:
    """The handler of that name; KeyError if there is none."""
    if name not in strategy_names():
        raise KeyError(name)
    handler: Handler = importlib.import_module(f"service.strategies.{name}").handle
    return handler
