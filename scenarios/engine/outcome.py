"""What came of a matrix: every cell beside what was expected of it, and one exit status.

A cell is in one of four states (`results/expectation.py`). The status is 1 if any cell differs,
else 2 if any is unknown, else 0.
"""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from results.charts.matrix import Tile
from results.charts.price import PricedCell
from results.expectation import State
from results.verdict import Validity
from scenarios.engine.cells import CellResult
from scenarios.engine.matrix import MatrixPlan
from scenarios.engine.plan import own_version

FORMAT_VERSION = 1


class JudgedCell(Struct, frozen=True, kw_only=True):
    """A result, what was expected ("" when the table does not say), and how the two differ."""

    result: CellResult
    state: State
    expected: str
    differences: tuple[str, ...]
    report: str  # its path; "" where no run came to its end

    @property
    def found(self) -> str:
        """`A1 ×24, A8 ×24`, the causes of an unknown one, or `valid`."""
        result = self.result
        codes = ", ".join(f"{code} ×{result.totals[code]:,}" for code in result.codes)
        return codes or ", ".join(result.causes) or result.validity.value


class Outcome(Struct, frozen=True, kw_only=True):
    """The whole matrix, as matrix.json has it."""

    format_version: int
    onceproof: str
    service: str
    strategies: tuple[str, ...]
    scenarios: tuple[str, ...]
    providers: tuple[str, ...]
    seeds: tuple[int, ...]
    cells: tuple[JudgedCell, ...]
    exit_status: int

    def in_state(self, *states: State) -> list[JudgedCell]:
        """The cells in one of these states."""
        return [cell for cell in self.cells if cell.state in states]

    @property
    def counts(self) -> str:
        """`36 cells: 35 as expected, 1 differs`."""
        told = (
            f"{len(found)} {state.value}"
            for state in (State.AS_EXPECTED, State.DIFFERS, State.UNKNOWN, State.NOT_IN_TABLE)
            if (found := self.in_state(state))
        )
        return f"{len(self.cells)} cell{'s' * (len(self.cells) > 1)}: {', '.join(told)}"

    @property
    def title(self) -> str:
        """State the finding: who kept every promise, who broke one, of whom it is not known."""
        groups: dict[Validity, list[str]] = defaultdict(list)
        for strategy in self.strategies:
            mine = [one.result for one in self.cells if one.result.cell.strategy == strategy]
            groups[_worst(mine)].append(strategy)
        words = {
            Validity.VALID: "kept every promise",
            Validity.INVALID: "broke a promise",
            Validity.UNKNOWN: "not proved",
        }
        return "; ".join(
            f"{', '.join(groups[validity])}: {told}"
            for validity, told in words.items()
            if groups[validity]
        )

    def tiles(self, provider: str) -> dict[tuple[str, str], Tile]:
        """One tile for each strategy and scenario: all seeds of it together."""
        groups: dict[tuple[str, str], list[JudgedCell]] = defaultdict(list)
        for one in self.cells:
            cell = one.result.cell
            if cell.provider == provider:
                groups[cell.strategy, cell.scenario].append(one)
        return {key: _tile(found) for key, found in groups.items()}

    def priced(self) -> list[PricedCell]:
        """What each run measured."""
        return [
            PricedCell(
                strategy=one.result.cell.strategy,
                scenario=one.result.cell.scenario,
                provider=one.result.cell.provider,
                seed=one.result.cell.seed,
                validity=one.result.validity,
                p99_ms=one.result.p99_ms,
                ok_per_second=one.result.ok_per_second,
            )
            for one in self.cells
        ]


def weigh(plan: MatrixPlan, folder: Path, results: Sequence[CellResult]) -> Outcome:
    """Hold every result against the expected table."""
    cells = tuple(_judged(plan, folder, result) for result in results)
    states = {cell.state for cell in cells}
    return Outcome(
        format_version=FORMAT_VERSION,
        onceproof=own_version(),
        service=plan.config.service.name,
        strategies=plan.strategies,
        scenarios=tuple(plan.scenarios),
        providers=plan.shown_providers(),
        seeds=plan.seeds,
        cells=cells,
        exit_status=1 if State.DIFFERS in states else 2 if State.UNKNOWN in states else 0,
    )


def _judged(plan: MatrixPlan, folder: Path, result: CellResult) -> JudgedCell:
    wanted = plan.expected.of(result.cell)
    return JudgedCell(
        result=result,
        state=plan.expected.state_of(result),
        expected=wanted.words if wanted else "",
        differences=wanted.differences(result) if wanted else (),
        report=str(folder / result.run / "report.html") if result.run else "",
    )


def _worst(results: Sequence[CellResult]) -> Validity:
    """Invalid if any is, else unknown if any is."""
    found = {result.validity for result in results}
    return next(
        (one for one in (Validity.INVALID, Validity.UNKNOWN) if one in found), Validity.VALID
    )


def _tile(cells: Sequence[JudgedCell]) -> Tile:
    results = [one.result for one in cells]
    worst = _worst(results)
    alike = [result for result in results if result.validity is worst]
    causes = list(dict.fromkeys(cause for one in alike for cause in one.causes)) or [""]
    exposures = sum(result.exposures for result in alike)
    words = {
        Validity.INVALID: " ".join(
            sorted({code for one in alike for code in one.totals}, key=lambda code: int(code[1:]))
        ),
        Validity.UNKNOWN: causes[0] + f" +{len(causes) - 1}" * (len(causes) > 1),
        Validity.VALID: f"< {min(1.0, 3 / exposures):.2%}" if exposures else "",
    }[worst]
    if len(alike) < len(results):
        words += f" in {len(alike)} of {len(results)}"
    return Tile(
        validity=worst, words=words, differs=any(one.state is State.DIFFERS for one in cells)
    )
