"""What the environment tells the service, checked once at start.

A wrong value ends the process with one sentence that names the variable, before anything listens.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

INGESTS = ("aiohttp", "fast")
ISOLATION_LEVELS = ("read committed", "repeatable read", "serializable")


class SettingsError(Exception):
    """A variable is missing or holds something the service cannot use."""


@dataclass(frozen=True)
class Settings:
    """Everything the three roles (web, relay, schema) are told from outside."""

    database_url: str = field(repr=False)  # may hold a password
    host: str = "127.0.0.1"
    port: int = 3000
    secrets: tuple[bytes, ...] = field(default=(), repr=False)  # current, then previous
    strategy: str = "insert_first"
    isolation: str = "read committed"
    ingest: str = "aiohttp"
    relay: str = "skip_locked"
    fulfillment_url: str = ""
    pool_size: int = 8
    relay_poll_seconds: float = 0.05


def read_settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """Read and check the settings that every role shares."""
    return Settings(
        database_url=_needed(environment, "DATABASE_URL"),
        host=environment.get("HOST", "127.0.0.1"),
        port=int(_number(environment, "PORT", 3000, 0, 65535)),
        secrets=tuple(
            environment[name].encode()
            for name in ("SHOPIFY_SHARED_SECRET", "SHOPIFY_SHARED_SECRET_PREVIOUS")
            if environment.get(name)
        ),
        strategy=environment.get("STRATEGY", "insert_first"),
        isolation=_one_of(environment, "ISOLATION", ISOLATION_LEVELS),
        ingest=_one_of(environment, "INGEST", INGESTS),
        relay=environment.get("RELAY", "skip_locked"),
        fulfillment_url=environment.get("FULFILLMENT_URL", ""),
        pool_size=int(_number(environment, "POOL_SIZE", 8, 1, 1000)),
        relay_poll_seconds=_number(environment, "RELAY_POLL_SECONDS", 0.05, 0.001, 60),
    )


def _needed(environment: Mapping[str, str], name: str) -> str:
    if not environment.get(name):
        raise SettingsError(f"{name} is not set")
    return environment[name]


def _one_of(environment: Mapping[str, str], name: str, choices: Sequence[str]) -> str:
    """The first choice is the default."""
    text = environment.get(name, choices[0])
    if text not in choices:
        raise SettingsError(f"{name} is {text!r}; there are: {', '.join(choices)}")
    return text


def _number(
    environment: Mapping[str, str], name: str, default: float, low: float, high: float
) -> float:
    text = environment.get(name, str(default))
    try:
        number = float(text)
    except ValueError:
        raise SettingsError(f"{name} is not a number: {text!r}") from None
    if not low <= number <= high:  # also refuses nan
        raise SettingsError(f"{name} must lie between {low:g} and {high:g}: {text!r}")
    return number
