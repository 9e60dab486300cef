"""Does this machine have what a run needs? One line for each thing, with what to do where not.

A service that is not ours is started and tried as well (`scenarios.engine.checkup`).

A fault that this machine cannot have is shown as unavailable, with what it would take; a run that
does not ask for it needs it not.
"""

import sys
import tempfile
import time
from pathlib import Path

from rich.table import Table
from rich.text import Text

from cluster import faults
from cluster.foreign import allowed
from cluster.journal import Journal
from cluster.postgres import Postgres
from results.errors import OnceproofError
from scenarios.engine.checkup import check_up
from scenarios.engine.config import find_config, load_config
from scenarios.engine.disk import FREE_MIN_BYTES, free_bytes, places, size
from scenarios.engine.show import consoles, pick_strategy, say_json

Finding = tuple[str, bool, str]


async def examine(
    config_path: Path | None, database_url: str | None, runs: Path, strategy: str | None, *,
    as_json: bool,
) -> int:  # fmt: skip
    """Check the machine, a database given and a service that is not ours; 255: no run can be."""
    findings: list[Finding] = [
        ("python", sys.version_info >= (3, 11), f"{sys.version.split()[0]} (3.11 or newer)"),
        configuration(config_path),
        await postgres(),
        *(disk(what, path) for what, path in places(runs)),
    ]
    if database_url is not None:
        findings.append(await database(database_url))
    if all(ok for _, ok, _ in findings):
        config = load_config(find_config(config_path))
        if not config.ours:
            findings += await check_up(config, pick_strategy(config, strategy), database_url)
    optional: list[Finding] = [(kind, *available()) for kind, available in faults.NEEDS.items()]
    if as_json:
        say_json([
            {"what": what, "ok": ok, "needed": needed, "detail": detail}
            for found, needed in ((findings, True), (optional, False))
            for what, ok, detail in found
        ])  # fmt: skip
    else:
        table = Table(box=None, show_header=False)
        for found, missing in ((findings, "[red]no[/red]"), (optional, "unavailable")):
            for what, ok, detail in found:
                table.add_row("[green]ok[/green]" if ok else missing, what, Text(detail))
        consoles()[0].print(table)
    return 0 if all(ok for _, ok, _ in findings) else 255


def configuration(path: Path | None) -> Finding:
    """Is onceproof.toml right?"""
    try:
        found = find_config(path)
        return "config", True, f"{load_config(found).service.name} ({found.name})"
    except OnceproofError as error:
        return "config", False, str(error)


def disk(what: str, path: Path) -> Finding:
    """Is there room where a run writes?"""
    free = free_bytes(path)
    words = f"{size(free)} free for {what} in {path} ({size(FREE_MIN_BYTES)} or more)"
    return "disk", free >= FREE_MIN_BYTES, words


async def database(url: str) -> Finding:
    """Does the user's database answer, and does it permit its use?"""
    try:
        return "database", True, f"{(await allowed(url)).described} permits its use"
    except OnceproofError as error:
        return "database", False, str(error)


async def postgres() -> Finding:
    """Does an embedded Postgres start here, and how fast?"""
    with tempfile.TemporaryDirectory(prefix="onceproof-doctor-") as folder:
        begun = time.monotonic()
        try:
            server = await Postgres.start(
                journal=Journal(Path(folder) / "journal.jsonl"), folder=Path(folder)
            )
            await server.stop()
        except OnceproofError as error:
            return "postgres", False, str(error)
    seconds = time.monotonic() - begun
    return "postgres", True, f"{server.version} from {server.provider}, up in {seconds:.1f} s"
