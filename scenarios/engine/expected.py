"""The expected table: what must come of each cell of the matrix, and where a result differs.

A cell is as expected when its validity is, every code that must be found was found, and no code
was found that neither must nor may be. A cell that proved nothing is neither: it does not
contradict the table and is not as expected. The table (`scenarios/expected.toml`) is of our own
service's strategies; a service of somebody else's has none, so it is expected to be valid
everywhere, which is what its owner wants to know.
"""

import re
import tomllib
from pathlib import Path

from msgspec import Struct

from results.anomalies.catalogue import CATALOGUE
from results.errors import ConfigError
from results.expectation import State
from results.verdict import Validity
from scenarios.engine.cells import Cell, CellResult

TABLE = Path(__file__).resolve().parents[1] / "expected.toml"
AS = "as"  # the key that names a table above: its lines hold here, too
_CODES = re.compile(r"(?P<must>valid|A\d+(?: A\d+)*)(?: \((?P<may>A\d+(?: A\d+)*)\))?", re.ASCII)


class Expectation(Struct, frozen=True):
    """Codes that must be found and codes that may be; without any, the cell must be valid.

    With none that must and some that may be it is valid, unless chance brings what breaks it.
    """

    must: frozenset[str] = frozenset()
    may: frozenset[str] = frozenset()

    @property
    def words(self) -> str:
        """As the table has it: `A1 A8 (A5)`, `valid`, or `valid (A2 A3)`."""
        may = f" ({' '.join(_sorted(self.may))})" if self.may else ""
        return (" ".join(_sorted(self.must)) or "valid") + may

    def differences(self, result: CellResult) -> tuple[str, ...]:
        """How a result contradicts it, in words; none for a result that proved nothing."""
        if not result.proved:
            return ()
        said = []
        wanted = Validity.INVALID if self.must else Validity.VALID
        if result.validity is not wanted and (self.must or not self.may):
            said.append(f"{result.validity.value} instead of {wanted.value}")
        for code in _sorted(self.must.difference(result.codes)):
            unjudged = ": it was not judged" if code in result.not_judged else ""
            said.append(f"{code} was not found{unjudged}")
        for code in _sorted(frozenset(result.codes) - self.must - self.may):
            said.append(f"{code} was found {result.totals[code]:,} times and is not expected")
        return tuple(said)


class Expected(Struct, frozen=True):
    """The expectation of every cell that has one; `otherwise` is everybody else's."""

    rows: dict[tuple[str, str, str], Expectation]  # by strategy, scenario and provider ("": any)
    otherwise: Expectation | None = None

    def of(self, cell: Cell) -> Expectation | None:
        """What is expected of a cell; None: the table does not say."""
        for provider in (cell.provider, ""):
            if row := self.rows.get((cell.strategy, cell.scenario, provider)):
                return row
        return self.otherwise

    def state_of(self, result: CellResult) -> State:
        """How a result stands to what is expected of its cell."""
        if not result.proved:
            return State.UNKNOWN
        wanted = self.of(result.cell)
        if wanted is None:
            return State.NOT_IN_TABLE
        return State.DIFFERS if wanted.differences(result) else State.AS_EXPECTED


ALL_VALID = Expected({}, Expectation())


def read_expected(path: Path = TABLE) -> Expected:
    """Read the table; ConfigError names the line's key and what was expected there."""
    rows: dict[tuple[str, str, str], Expectation] = {}
    for scenario, table in tomllib.loads(path.read_text("utf-8")).items():
        own = {key: value for key, value in table.items() if not isinstance(value, dict)}
        for provider, lines in {"": own, **{key: table[key] for key in table.keys() - own}}.items():
            where = f"{path}: {scenario}.{provider}" if provider else f"{path}: {scenario}"
            if provider not in ("", "honours", "ignores"):
                raise ConfigError(f"{where}: expected a provider: ignores.")
            rows |= _copied(where, rows, lines.pop(AS, None), scenario, provider)
            for strategy, words in lines.items():
                rows[strategy, scenario, provider] = _parse(f"{where}.{strategy}", words)
    return Expected(rows)


def _copied(
    where: str, rows: dict[tuple[str, str, str], Expectation], above: object,
    scenario: str, provider: str,
) -> dict[tuple[str, str, str], Expectation]:  # fmt: skip
    """The lines of the table above that this one is `as`, provider by provider."""
    copied = {
        (strategy, scenario, provider or of): row
        for (strategy, name, of), row in rows.items()
        if name == above and (not provider or not of)
    }
    if above is not None and not copied:
        raise ConfigError(f"{where}.{AS}: {above!r}: expected the name of a table above it.")
    return copied


def _parse(where: str, words: object) -> Expectation:
    match = _CODES.fullmatch(words) if isinstance(words, str) else None
    codes = re.findall(r"A\d+", match[0]) if match else []
    if match is None or len(set(codes)) < len(codes) or not CATALOGUE.keys() >= set(codes):
        raise ConfigError(
            f'{where}: {words!r}: expected "valid", or codes as in "A1 A8 (A5)" or "valid (A2)".'
        )
    must, may = match["must"].removeprefix("valid").split(), (match["may"] or "").split()
    return Expectation(frozenset(must), frozenset(may))


def _sorted(codes: frozenset[str]) -> list[str]:
    return sorted(codes, key=lambda code: int(code[1:]))
