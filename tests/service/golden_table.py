"""The golden table of docs/exactly-once.md, read: what each strategy must be found guilty of.

The text is the source: it was reasoned before it was run, and the tests compare with what it says.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

Where = tuple[str, str, str]  # strategy, webhook ids, the order's row
DOCUMENT = Path(__file__).parents[2] / "docs" / "exactly-once.md"
HEADING = "| strategy | ids | row | codes | a crash adds | because |"


class Cell(NamedTuple):
    """The codes of two deliveries, and those that one crash adds; None: not played."""

    calm: frozenset[str]
    crash: frozenset[str] | None


def tables() -> Iterator[dict[Where, Cell]]:
    """Each table of the document under that heading."""
    lines = iter(DOCUMENT.read_text().splitlines())
    for line in lines:
        if line != HEADING:
            continue
        next(lines)  # the rule under the heading
        found: dict[Where, Cell] = {}
        for row in lines:
            if not row.startswith("|"):
                break
            strategy, ids, order, calm, crash, why = (part.strip() for part in row.split("|")[1:-1])
            where = (strategy, ids, order)
            assert where not in found and why, row
            found[where] = Cell(codes(calm), None if crash == "not played" else codes(crash))
        yield found


def codes(text: str) -> frozenset[str]:
    """The codes of one field; a dash is none."""
    return frozenset(text.split()) - {"–"}


TABLE, HIGHER_ISOLATION = tables()

STRATEGIES = tuple(dict.fromkeys(where[0] for where in TABLE))


def clean(strategy: str, *rows: str) -> bool:
    """Whether no cell of a strategy has a code, with such a row of the order."""
    return not any(
        cell.calm | (cell.crash or frozenset())
        for (name, _, row), cell in TABLE.items()
        if name == strategy and row in rows
    )


RIGHT = tuple(name for name in STRATEGIES if clean(name, "there", "absent"))
RIGHT_WITH_A_ROW = tuple(name for name in STRATEGIES if clean(name, "there"))
