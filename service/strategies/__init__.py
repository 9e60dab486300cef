"""One file per way to handle a paid order. To add one, add a file; its name is the STRATEGY.

Each has `async def handle(webhook, pool, provider) -> Answer`. Most ignore the provider: they
record the wish to ship in the outbox and leave the call to the relay.
"""

import importlib
import pkgutil
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import asyncpg

from service.provider import Provider
from service.webhook import Webhook


class Answer(NamedTuple):
    """What the sender is told."""

    status: int
    outcome: str


Handler = Callable[[Webhook, asyncpg.Pool, Provider], Awaitable[Answer]]


def strategy_names() -> list[str]:
    """The strategies there are, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def load_strategy(name: str) -> Handler:
    """The handler of that name; KeyError if there is none."""
    if name not in strategy_names():
        raise KeyError(name)
    handler: Handler = importlib.import_module(f"service.strategies.{name}").handle
    return handler
