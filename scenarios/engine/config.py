"""onceproof.toml: how a service describes itself to the harness.

Our own service is described by the same file as a stranger's, so nothing here knows it. What is
wrong in the file is said with its line, its key and what was expected. Secrets never stand in the
file: `secret_from` names the environment variable that carries one.
"""

import os
import re
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from cluster.spawn import module_environment
from results.errors import ConfigError


class ServiceTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to start the service, where it listens, and which variables carry what."""

    name: str
    webhook: str
    create_webhook: str | None = None
    cancel_webhook: str | None = None
    ready: str = "/readyz"
    secret_from: str
    previous_secret_from: str | None = None  # still accepted while Shopify rotates the secret
    database_from: str
    provider_from: str | None = None
    strategy_from: str | None = None
    port_from: str = "PORT"
    schema: tuple[str, ...] = ()  # run once against a fresh database
    roles: dict[str, tuple[str, ...]] = {}  # "web" answers webhooks; others work behind it


class LedgerTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """SELECTs that show what the service holds; each left out makes some codes not judged."""

    orders: str | None = None
    fulfillments: str | None = None
    movements: str | None = None
    webhook_log: str | None = None
    inbox: str | None = None  # acknowledged, durably stored, not worked off yet
    stock: str | None = None


class KubernetesTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The Deployment that is judged where it runs, instead of one that the run brings along."""

    deployment: str
    url: str  # where its webhooks are answered, as seen from a pod of its namespace
    container: str = ""  # "": its only one
    namespace: str = ""  # "": that of --namespace


class Described(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What stands in an onceproof.toml."""

    service: ServiceTable
    strategies: dict[str, str] = {}
    ledger: LedgerTable
    kubernetes: KubernetesTable | None = None


class ServiceConfig(Described, frozen=True, kw_only=True):
    """One onceproof.toml, and where it lies: its commands run there."""

    folder: Path

    def environment(self, given: Mapping[str, str]) -> dict[str, str]:
        """The variables of a command: the user's own and those given; for ours, our modules too."""
        if self.folder == OWN_CONFIG.parent:
            return module_environment(given)
        return {**os.environ, **given}

    def command(self, role: str) -> tuple[str, ...]:
        """The command line of a role; `{python}` stands for the interpreter that runs us."""
        return tuple(part.replace("{python}", sys.executable) for part in self.service.roles[role])

    def schema_command(self) -> tuple[str, ...]:
        """The command line that prepares a fresh database, () if the service needs none."""
        return tuple(part.replace("{python}", sys.executable) for part in self.service.schema)

    def ledger_queries(self) -> dict[str, str]:
        """Name to SELECT, of those that the service declares."""
        return {name: sql for name, sql in msgspec.structs.asdict(self.ledger).items() if sql}


OWN_CONFIG = Path(__file__).resolve().parents[2] / "service" / "onceproof.toml"


def find_config(given: Path | None) -> Path:
    """The file named on the command line, else ./onceproof.toml, else our own service's."""
    if given is not None:
        return given
    here = Path("onceproof.toml")
    return here if here.is_file() else OWN_CONFIG


def load_config(path: Path) -> ServiceConfig:
    """Read and check one onceproof.toml; ConfigError names file, line, key and expectation."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}). Name one with --config.") from None
    try:
        check_roles(path, text, tomllib.loads(text))
        described = msgspec.toml.decode(text, type=Described)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: {error}. It must be a TOML file.") from None
    except msgspec.ValidationError as error:
        raise ConfigError(explain(path, text, str(error))) from None
    if not described.service.roles.get("web") and described.kubernetes is None:
        line = line_of(text, "service.roles", "web")
        raise ConfigError(
            f'{path}: line {line}: service.roles.web: expected a command, as in web = ["node", '
            '"server.js"].'
        )
    check_values(path, text, described)
    return ServiceConfig(
        service=described.service, strategies=described.strategies, ledger=described.ledger,
        kubernetes=described.kubernetes, folder=path.resolve().parent,
    )  # fmt: skip


def check_values(path: Path, text: str, described: Described) -> None:
    """ConfigError for a path without its slash, and for a role without a command."""
    service = described.service
    for key in ("webhook", "create_webhook", "cancel_webhook", "ready"):
        value = getattr(service, key)
        if value is not None and not value.startswith("/"):
            raise ConfigError(
                f"{path}: line {line_of(text, 'service', key)}: service.{key}: expected a path "
                f'with its slash, as in {key} = "/{value}".'
            )
    for role, command in service.roles.items():
        if not command or not command[0]:
            raise ConfigError(
                f"{path}: line {line_of(text, 'service.roles', role)}: service.roles.{role}: "
                'expected a command, as in ["node", "server.js"].'
            )


def check_roles(path: Path, text: str, raw: dict[str, Any]) -> None:
    """ConfigError for a role that is no list of words; the decoder does not say which one."""
    service = raw.get("service")
    roles = service.get("roles") if isinstance(service, dict) else None
    for name, command in roles.items() if isinstance(roles, dict) else ():
        if not isinstance(command, list) or not all(isinstance(word, str) for word in command):
            line = line_of(text, "service.roles", name)
            raise ConfigError(
                f"{path}: line {line}: service.roles.{name}: expected a list of words, as in "
                f'{name} = ["node", "server.js"].'
            )


def explain(path: Path, text: str, complaint: str) -> str:
    """Turn the decoder's complaint into file, line, key and what was expected."""
    expected, _, where = complaint.partition(" - at `$")
    table = re.sub(r"\[.*", "", where.rstrip("`").lstrip("."))
    field = re.search(r"field `([^`]+)`", expected)
    key = ".".join(part for part in (table, field.group(1) if field else "") if part)
    parent, _, leaf = key.rpartition(".")
    return f"{path}: line {line_of(text, parent, leaf)}: {key or 'the file'}: {expected}."


def line_of(text: str, table: str, key: str) -> int:
    """The line of `key` in `[table]`; the table's own line, or 1, where the key is missing."""
    current, table_line = "", 1
    leaf = re.sub(r"\[.*", "", key)
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[([^\]]+)\]", line):
            current = header.group(1).strip()
            if current in (table, f"{table}.{leaf}"):
                table_line = number
        elif current == table and re.match(rf'\s*"?{re.escape(leaf)}"?\s*=', line):
            return number
    return table_line
