"""Does this machine have what a run needs? One line for each thing, with what to do where not.

A fault that this machine cannot have is shown as unavailable, with what it would take; a run that
does not ask for it needs it not.
"""

import shutil
import sys
import tempfile
import time
from pathlib import Path

from rich.table import Table

from cluster import faults
from cluster.journal import Journal
from cluster.postgres import Postgres
from results.errors import OnceproofError
from scenarios.engine.config import find_config, load_config
from scenarios.engine.show import consoles, say_json

Finding = tuple[str, bool, str]


async def examine(config_path: Path | None, *, as_json: bool) -> int:
    """Check Python, configuration, Postgres and the browser for the report; 255 if a run cannot."""
    findings: list[Finding] = [
        ("python", sys.version_info >= (3, 11), f"{sys.version.split()[0]} (3.11 or newer)"),
        configuration(config_path),
        await postgres(),
        ("disk", (free := shutil.disk_usage(tempfile.gettempdir()).free) > 1 << 30,
         f"{free >> 30} GiB free for temporary files (1 GiB or more)"),
    ]  # fmt: skip
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
                table.add_row("[green]ok[/green]" if ok else missing, what, detail)
        consoles()[0].print(table)
    return 0 if all(ok for _, ok, _ in findings) else 255


def configuration(path: Path | None) -> Finding:
    """Is onceproof.toml right?"""
    try:
        found = find_config(path)
        return "config", True, f"{load_config(found).service.name} ({found.name})"
    except OnceproofError as error:
        return "config", False, str(error)


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
