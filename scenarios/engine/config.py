"""onceproof.toml: how a service describes itself to the harness.

Our own service is described by the same file as a stranger's, so nothing here knows it. What is
wrong in the file is said with its line, its key and what was expected. Secrets never stand in the
file: `secret_from` names the environment variable that carries one.
"""

import os
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

import msgspec

from cluster.spawn import module_environment
from loadtests.dialect import CANCELLED, CREATE, PAID, Dialect
from results.errors import ConfigError
from results.ledger import COUNT_PREFIX
from scenarios.engine.config_check import check_roles, check_texts, check_values, explain, line_of
from scenarios.engine.variables import Told, filled


class ServiceTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to start the service, where it listens, and which variables carry what."""

    name: str
    webhook: str
    create_webhook: str | None = None
    cancel_webhook: str | None = None
    signature: str = "shopify"  # a name of loadtests/signatures
    payload: str | None = None  # template of the body of orders/paid; None: Shopify's order
    create_payload: str | None = None
    cancel_payload: str | None = None
    ready: str = "/readyz"
    ready_seconds: float = 20.0
    secret_from: str
    previous_secret_from: str | None = None  # still accepted while Shopify rotates the secret
    database_from: str | None = None  # None: `environment` or `settings` say it in parts
    provider_from: str | None = None
    strategy_from: str | None = None
    port_from: str = "PORT"
    port: int | None = None  # the service listens there and nowhere else: one replica
    environment: dict[str, str] = {}  # more variables; {database_host} and others are filled in
    settings: str | None = None  # template of a settings file; {settings} is the path of the file
    schema: tuple[str, ...] = ()  # run once against a fresh database
    seed: str | None = None  # SQL for each order before it is announced; {order_id}, {shop}
    roles: dict[str, tuple[str, ...]] = {}  # "web" answers webhooks; others work behind it


class LedgerTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """SELECTs that show what the service holds; each left out makes some codes not judged."""

    orders: str | None = None
    fulfillments: str | None = None
    movements: str | None = None
    webhook_log: str | None = None
    inbox: str | None = None  # acknowledged, durably stored, not worked off yet
    stock: str | None = None
    counts: dict[str, str] = {}  # how often an order took effect, by each book of the service's own


class KubernetesTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The Deployment that is judged where it runs, instead of one that the run brings along."""

    deployment: str
    url: str  # where its webhooks are answered, as seen from a pod of its namespace
    container: str = ""  # "": its only one
    namespace: str = ""  # "": that of --namespace
    settings: str = ""  # VOLUME/FILE of its pods, made from `settings` of the service


class Described(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What stands in an onceproof.toml."""

    service: ServiceTable
    strategies: dict[str, str] = {}
    ledger: LedgerTable
    kubernetes: KubernetesTable | None = None


class ServiceConfig(Described, frozen=True, kw_only=True):
    """One onceproof.toml, and where it lies: its commands run there."""

    folder: Path

    @property
    def ours(self) -> bool:
        """Whether it is the service that ships with onceproof."""
        return self.folder == OWN_CONFIG.parent

    def environment(self, given: Mapping[str, str]) -> dict[str, str]:
        """The variables of a command: the user's own and those given; for ours, our modules too."""
        if self.ours:
            return module_environment(given)
        return {**os.environ, **given}

    def variables(self, told: Told) -> dict[str, str]:
        """The variables that tell a process of the service what it has to know."""
        service, places = self.service, told.places()
        named = {
            service.database_from: told.dsn,
            service.secret_from: told.secret,
            service.strategy_from: told.strategy,
            service.provider_from: told.provider_url,
            service.port_from: str(told.port) * bool(told.host),
            "HOST": told.host,
        }
        more = {key: filled(value, places) for key, value in service.environment.items()}
        return {name: value for name, value in named.items() if name and value} | more

    def command(self, role: str, settings: str = "") -> tuple[str, ...]:
        """The command line of a role, with the path of its settings file, if it has one."""
        return completed(self.service.roles[role], settings)

    def schema_command(self, settings: str = "") -> tuple[str, ...]:
        """The command line that prepares a fresh database, () if the service needs none."""
        return completed(self.service.schema, settings)

    def file(self, name: str | None) -> Path | None:
        """A file that is named beside the onceproof.toml."""
        return None if name is None else self.folder / name

    def dialect(self) -> Dialect:
        """How the service's sender speaks; ConfigError for a template that cannot be used."""
        service = self.service
        files = {
            PAID: self.file(service.payload),
            CREATE: self.file(service.create_payload),
            CANCELLED: self.file(service.cancel_payload),
        }
        try:
            return Dialect.read(service.signature, {k: v for k, v in files.items() if v})
        except ValueError as error:
            raise ConfigError(f"{error}.") from None

    def ledger_queries(self) -> dict[str, str]:
        """Name to SELECT, of those that the service declares."""
        declared = msgspec.structs.asdict(self.ledger)
        counts = declared.pop("counts")
        return {name: sql for name, sql in declared.items() if sql} | {
            f"{COUNT_PREFIX}{name}": sql for name, sql in counts.items()
        }


def completed(command: tuple[str, ...], settings: str) -> tuple[str, ...]:
    """A command line; `{python}` stands for the interpreter that runs us."""
    places = {"python": sys.executable, "settings": settings}
    return tuple(filled(part, places) for part in command)


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
        raw = tomllib.loads(text)
        check_roles(path, text, raw)
        check_texts(path, text, raw)
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
    check_values(path, text, msgspec.structs.asdict(described.service))
    return ServiceConfig(
        service=described.service, strategies=described.strategies, ledger=described.ledger,
        kubernetes=described.kubernetes, folder=path.resolve().parent,
    )  # fmt: skip
