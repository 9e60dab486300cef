"""Has an exploration say what of the predictions happens: confirmed, refuted or undecided.

One kind of schedules after the other, as long as a prediction about it is open: first without a
crash, then with one for what needs one; few preemptions before all of them. Refuted is only said
where every schedule of every kind that the finding is about was played and judged.
"""

from collections.abc import Sequence
from itertools import product
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
Played = tuple[Exploration, dict[str, str]]  # with its files, by cell and code
# By the number of crashes. Most of what is wrong shows with hardly any preemption, in a few dozens
# of schedules; only what does not needs all of them.
LOOKS = {
    0: (Bounds(preemptions=1), Bounds(reduced=True)),
    1: (Bounds(preemptions=0), Bounds(reduced=True)),
}


class Confirmation(Struct, frozen=True, kw_only=True):
    """What became of one code that one finding predicts."""

    code: str
    said: Said
    schedule: str = ""  # the file that shows it


async def confirm(
    plan: RunPlan, findings: Sequence[Finding], watch: Watch
) -> tuple[tuple[Confirmation, ...], ...]:
    """For each finding, one confirmation for each code that it predicts."""
    done: list[Played] = []
    for crashes in (0, 1):
        for bounds, where in product(LOOKS[crashes], _wheres(plan, crashes)):
            if any(
                judge(one, code, done).said != "confirmed"
                for one in findings
                for code in (one.crash_codes if crashes else one.codes)
                if _meant(one, where)
            ):
                found = await explore(plan, [where], bounds, watch)
                done.append((found, found.write()))
    return tuple(tuple(judge(one, code, done) for code in one.predicted) for one in findings)


def _wheres(plan: RunPlan, crashes: int) -> list[Where]:
    return cells(
        plan.config, plan.strategy, plan.provider, ids="both", row="both", deliveries=2,
        crashes=crashes,
    )  # fmt: skip


def _meant(finding: Finding, where: Where) -> bool:
    return where.row in finding.rows and finding.ids in ("any", where.ids)


def judge(finding: Finding, code: str, done: Sequence[Played]) -> Confirmation:
    """By all that was played so far of what the finding is about."""
    crashes = 1 if code in finding.crash_codes else 0
    open_cells, cells_played = 0, 0
    for found, files in done:
        for cell in found.cells:
            if not _meant(finding, cell.where):
                continue
            if _shows(cell, code):
                file = _file(found, files, cell, code)
                return Confirmation(code=code, said="confirmed", schedule=file)
            if cell.where.crashes == crashes and cell.preemptions_max is None:
                judged = all(one.code != code for one in found.not_judged)
                cells_played += 1
                open_cells += not (judged and cell.exhaustive)
    refuted = cells_played > 0 and open_cells == 0
    return Confirmation(code=code, said="refuted" if refuted else "undecided")


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
