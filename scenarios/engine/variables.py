"""What a process of the service is told: its variables, and its settings file.

A service reads its database from a URL, from parts, from a `jdbc:` URL or from a file, and each
replica has a port of the wire, so each of these is made for each process. In onceproof.toml
`{database_host}` stands for such a part; in the template of a settings file, which may be full of
braces, `{{ database_host }}` does. The file holds a password: it is its owner's alone, lies outside
of the run's folder, and goes with the run.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from jinja2 import StrictUndefined, TemplateError
from jinja2.sandbox import SandboxedEnvironment

from results.errors import ConfigError

PLACE = re.compile(r"\{([a-z_]+)\}")
PLACES = (
    "database_url",
    "database_host",
    "database_port",
    "database_user",
    "database_password",
    "database_name",
    "host",
    "port",
    "provider_url",
    "secret",
    "strategy",
    "settings",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What one process of the service has to know."""

    dsn: str
    host: str = ""
    port: int = 0
    provider_url: str = ""
    secret: str = ""
    strategy: str = ""
    settings: str = ""  # path of its settings file

    def places(self) -> dict[str, str]:
        """The value of each placeholder."""
        parts = urlsplit(self.dsn)
        return {
            "database_url": self.dsn,
            "database_host": parts.hostname or "",
            "database_port": str(parts.port or 5432),
            "database_user": unquote(parts.username or ""),
            "database_password": unquote(parts.password or ""),
            "database_name": unquote(parts.path.removeprefix("/")),
            "host": self.host,
            "port": str(self.port),
            "provider_url": self.provider_url,
            "secret": self.secret,
            "strategy": self.strategy,
            "settings": self.settings,
        }


def filled(text: str, places: Mapping[str, str]) -> str:
    """A value of onceproof.toml with its placeholders filled in."""
    return PLACE.sub(lambda found: places.get(found[1], found[0]), text)


def settings_text(template: Path, places: Mapping[str, str]) -> str:
    """A settings file filled in; ConfigError says what is wrong in its template."""
    try:
        environment = SandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True)
        return environment.from_string(template.read_text(encoding="utf-8")).render(places)
    except (TemplateError, OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{template}: {error}. It knows {', '.join(PLACES)}.") from None


def write_settings(template: Path, target: Path, places: Mapping[str, str]) -> None:
    """Make a settings file for one process; ConfigError says what is wrong in its template."""
    text = settings_text(template, places)
    target.touch(mode=0o600)
    target.write_text(text, encoding="utf-8")
