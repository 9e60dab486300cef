"""Has an exploration say what of the predictions happens: confirmed, refuted or undecided.

First without a crash; with one only for predictions that name one and are still open. Refuted is
only said where every schedule that could show it was played and judged.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from msgspec import Struct

from results.lint.finding import REFUSED, Finding
from scenarios.engine.explore.exploration import explore
from scenarios.engine.explore.explored import Exploration, Explored
from scenarios.engine.explore.moves import Where
from scenarios.engine.explore.show import cells
from scenarios.engine.explore.walk import Bounds
from scenarios.engine.plan import RunPlan
from scenarios.engine.stand import Watch

Said = Literal["confirmed", "refuted", "undecided"]


class Confirmation(Struct, frozen=True, kw_only=True):
    """What became of one code that one finding predicts."""

    code: str
    said: Said
    schedule: str = ""  # the file that shows it


async def confirm(
    plan: RunPlan, findings: Sequence[Finding], watch: Watch
) -> tuple[tuple[Confirmation, ...], ...]:
    """For each finding, one confirmation for each code that it predicts."""
    done: list[tuple[Exploration, dict[str, str]]] = []
    for crashes in (0, 1):
        open_ones = [
            one
            for one in findings
            for code in (one.crash_codes if crashes else one.predicted)
            if _judge(one, code, done).said != "confirmed"
        ]
        wheres = [one for one in _wheres(plan, crashes) if any(_meant(f, one) for f in open_ones)]
        if wheres:
            found = await explore(plan, wheres, Bounds(reduced=True), watch)
            done.append((found, found.write()))
    return tuple(
        tuple(_judge(one, code, done) for code in one.predicted) for one in findings
    )  # fmt: skip


def _wheres(plan: RunPlan, crashes: int) -> list[Where]:
    return cells(
        plan.config, plan.strategy, plan.provider, ids="both", row="both", deliveries=2,
        crashes=crashes,
    )  # fmt: skip


def _meant(finding: Finding, where: Where) -> bool:
    return where.row in finding.rows and finding.ids in ("any", where.ids)


def _judge(
    finding: Finding, code: str, done: Sequence[tuple[Exploration, dict[str, str]]]
) -> Confirmation:
    needed = 1 if code in finding.crash_codes else 0
    enough = False
    for found, files in done:
        meant = [cell for cell in found.cells if _meant(finding, cell.where)]
        for cell in meant:
            if _shows(cell, code):
                return Confirmation(
                    code=code, said="confirmed", schedule=_file(found, files, cell, code)
                )
        judged = all(one.code != code for one in found.not_judged)
        whole = bool(meant) and all(cell.exhaustive for cell in meant)
        if meant and meant[0].where.crashes == needed:
            enough = judged and whole
    return Confirmation(code=code, said="refuted" if enough else "undecided")


def _shows(cell: Explored, code: str) -> bool:
    return cell.refused > 0 if code == REFUSED else code in cell.codes


def _file(found: Exploration, files: dict[str, str], cell: Explored, code: str) -> str:
    """The stored schedule; for a refused answer, one is stored now."""
    if code != REFUSED:
        name = files[f"{cell.where.ids} {cell.where.row} {code}"]
        return str(found.folder.path / name)
    refused = [one for one in cell.schedules if any((s or 0) >= 500 for s in one.statuses)]
    best = min(refused, key=lambda one: (one.preemptions, len(one.moves)))
    file: Path = found.folder.path / f"5xx-{cell.where.ids}-{cell.where.row}.schedule.json"
    best.write(file)
    return str(file)
