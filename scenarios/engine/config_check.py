"""What can be wrong in an onceproof.toml, said with file, line, key and what was expected.

The decoder knows types alone; what stands here knows what can be meant.
"""

import re
from pathlib import Path
from typing import Any

from loadtests.signatures import SCHEMES
from results.errors import ConfigError
from scenarios.engine.variables import PLACE, PLACES

PORTS = 1 << 16
READY_MAX_SECONDS = 300


def check_values(path: Path, text: str, service: dict[str, Any]) -> None:
    """ConfigError for a value of the right type that cannot be meant."""

    def wrong(key: str, expected: str) -> ConfigError:
        line = line_of(text, "service", key)
        return ConfigError(f"{path}: line {line}: service.{key}: expected {expected}.")

    for key in ("webhook", "create_webhook", "cancel_webhook", "ready"):
        value = service[key]
        if value is not None and not value.startswith("/"):
            raise wrong(key, f'a path with its slash, as in {key} = "/{value}"')
    if service["signature"] not in SCHEMES:
        raise wrong("signature", f"one of {', '.join(SCHEMES)}")
    if service["port"] is not None and not 0 < service["port"] < PORTS:
        raise wrong("port", f"a number from 1 to {PORTS - 1}")
    if not 0 < service["ready_seconds"] <= READY_MAX_SECONDS:
        raise wrong("ready_seconds", f"up to {READY_MAX_SECONDS} seconds")
    for key in ("payload", "create_payload", "cancel_payload", "settings"):
        if service[key] is not None and not (path.parent / service[key]).is_file():
            raise wrong(key, f"the name of a file beside it; there is no {service[key]!r}")
    check_database(path, text, service)
    for role, command in service["roles"].items():
        if not command or not command[0]:
            raise ConfigError(
                f"{path}: line {line_of(text, 'service.roles', role)}: service.roles.{role}: "
                'expected a command, as in ["node", "server.js"].'
            )


def check_database(path: Path, text: str, service: dict[str, Any]) -> None:
    """ConfigError where nothing tells the service its database, or a placeholder is none."""
    placed = [word for value in service["environment"].values() for word in PLACE.findall(value)]
    for key, value in service["environment"].items():
        for word in PLACE.findall(value):
            if word not in PLACES:
                raise ConfigError(
                    f"{path}: line {line_of(text, 'service.environment', key)}: "
                    f"service.environment.{key}: {{{word}}} is none of {', '.join(PLACES)}."
                )
    told = service["database_from"] or any(word.startswith("database") for word in placed)
    if not told and service["settings"] is None:
        raise ConfigError(
            f"{path}: line {line_of(text, 'service', 'database_from')}: service.database_from: "
            'expected the variable that carries the database URL, as in "DATABASE_URL". In parts: '
            '[service.environment] PGHOST = "{database_host}", PGPORT = "{database_port}", ...'
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


def check_texts(path: Path, text: str, raw: dict[str, Any]) -> None:
    """ConfigError for a value that is no text, in tables whose keys are the user's own."""
    for table in ("service.environment", "strategies", "ledger.counts"):
        found: Any = raw
        for part in table.split("."):
            found = found.get(part) if isinstance(found, dict) else None
        for key, value in found.items() if isinstance(found, dict) else ():
            if not isinstance(value, str):
                line = line_of(text, table, key)
                raise ConfigError(
                    f"{path}: line {line}: {table}.{key}: expected a text in quotes, got {value!r}."
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
