"""What `lint` shows: each finding with its SQL, and what an exploration says of its predictions."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msgspec import structs
from rich.console import Console
from rich.text import Text

from results.lint.finding import Finding
from results.lint.rules import lint
from results.lint.traced import Row
from scenarios.engine.config import find_config, load_config
from scenarios.engine.explore.show import cells, planned
from scenarios.engine.lint.confirm import Confirmation, confirm
from scenarios.engine.lint.tracing import trace
from scenarios.engine.progress import progress
from scenarios.engine.show import consoles, pick_strategy, say_json

STYLES = {"confirmed": "bold red", "refuted": "green", "undecided": "yellow"}
SQL_MAX_CHARACTERS = 400
Confirmations = Sequence[Sequence[Confirmation]]


async def lint_and_show(
    config_path: Path | None, strategies: Sequence[str], provider: str, seed: int, runs: Path, *,
    confirming: bool, database_url: str | None, as_json: bool,
) -> int:  # fmt: skip
    """Lint each strategy; 1 if anything was found in any, else 0."""
    config = load_config(find_config(config_path))
    if "all" in strategies and config.strategies:
        strategies = list(config.strategies)
    console, aside = consoles()
    documents, said, something = [], Counter[str](), False
    for name in [pick_strategy(config, one) for one in (strategies or (None,))]:
        plan = planned(config, name, provider, seed, runs, database_url, "lint")
        rows: list[Row] = list(
            dict.fromkeys(
                one.row
                for one in cells(config, name, provider, ids="same", row="both", deliveries=2,
                                 crashes=0)
            )
        )  # fmt: skip
        with progress(aside, f"lint × {name} (seed {seed})") as watch:
            folder, traces = await trace(plan, rows, watch)
            findings = lint(traces)
            confirmed: Confirmations = (
                await confirm(plan, findings, watch) if confirming else [() for _ in findings]
            )
        something = something or bool(findings)
        said.update(one.said for each in confirmed for one in each)
        documents.append(document(name, folder.path, findings, confirmed))
        if not as_json:
            show(console, name, findings, confirmed)
            console.print(f"records: {folder.path}\n", soft_wrap=True)
    if as_json:
        say_json(documents if len(documents) > 1 else documents[0])
    elif confirming:
        console.print(", ".join(f"{said[one]} {one}" for one in STYLES))
    return int(something)


def document(
    strategy: str, folder: Path, findings: Sequence[Finding], confirmed: Confirmations
) -> dict[str, Any]:
    """One strategy for programs."""
    return {
        "strategy": strategy,
        "run": str(folder),
        "findings": [
            {**structs.asdict(one), "predictions": [structs.asdict(each) for each in said]}
            for one, said in zip(findings, confirmed, strict=True)
        ],
    }


def show(
    console: Console, strategy: str, findings: Sequence[Finding], confirmed: Confirmations
) -> None:
    """Each finding as a paragraph."""
    count = f"{len(findings)} finding{'s' * (len(findings) != 1)}" if findings else "nothing found"
    console.print(Text(f"{strategy}: {count}", style="bold red" if findings else "bold green"))
    for one, said in zip(findings, confirmed, strict=True):
        console.print(Text(f"\n{one.rule}", style="bold"), f"(row {' or '.join(one.rows)})")
        sql = one.sql if len(one.sql) <= SQL_MAX_CHARACTERS else one.sql[:SQL_MAX_CHARACTERS] + "…"
        for label, text in (("sql", sql), ("why", one.why), ("fix", one.fix)):
            console.print(Text(f"  {label}: {text}"), soft_wrap=True)
        console.print(Text(f"  predicts: {predicted(one)}"))
        for each in said:
            again = f": onceproof replay {each.schedule}" if each.schedule else ""
            console.print(Text(f"  {each.code} {each.said}{again}", STYLES[each.said]),
                          soft_wrap=True)  # fmt: skip


def predicted(finding: Finding) -> str:
    """The codes, and for which deliveries."""
    parts = [", ".join(finding.codes)] if finding.codes else []
    if finding.crash_codes:
        parts.append(f"{', '.join(finding.crash_codes)} if one dies")
    ids = "" if finding.ids == "any" else f" (deliveries with {finding.ids} ids)"
    return ("; ".join(parts) or "no code: slower, not wrong") + ids
