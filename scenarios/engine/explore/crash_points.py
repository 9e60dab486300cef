"""One delivery, one death, at every point there is: what each leads to, as a table.

Before and after each step, and at a COMMIT three times: never forwarded, forwarded once nobody was
left to hear of it, and answered to somebody who died unaware. Two deaths that Postgres cannot tell
apart (after a step, and before the next) are one point, but where something became durable.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from results.bundle import Bundle
from results.history import OrderKey
from results.records import Completion, OrderState
from scenarios.engine.explore.explored import Explored
from scenarios.engine.explore.moves import Move, Schedule

WORDS = {
    "die-before": "before",
    "die-after": "during",
    "die-unanswered": "after",
}
LEFT = "hold"  # the reason of the looks that are taken between moves


@dataclass(frozen=True, slots=True, kw_only=True)
class CrashPoint:
    """One point, and what it led to."""

    move: Move
    first: str  # what the sender saw at first
    left: str  # what the database held after the death
    retries: int  # until an `ok`
    shipments: int
    codes: tuple[str, ...]


def crash_points(cell: Explored, bundle: Bundle) -> Iterator[CrashPoint]:
    """The schedules of one delivery in which it died, in the order of its steps."""
    found = [
        (schedule, key)
        for schedule, key in zip(cell.schedules, cell.orders, strict=True)
        if schedule.moves and schedule.moves[-1].dies
    ]
    for schedule, key in sorted(found, key=_position):
        answers = [one.completion for one in bundle.history.by_order[key]]
        yield CrashPoint(
            move=schedule.moves[-1], first=seen(answers[0]), retries=len(answers) - 1,
            left=held(left_behind(bundle, key)), shipments=len(bundle.shipped(key)),
            codes=schedule.codes,
        )  # fmt: skip


def _position(found: tuple[Schedule, OrderKey]) -> tuple[int, int]:
    moves = found[0].moves
    return len(moves), list(WORDS).index(moves[-1].do)


def left_behind(bundle: Bundle, key: OrderKey) -> OrderState:
    """The order's state in the last look between moves."""
    looks = [index for index, one in enumerate(bundle.ledger.snapshots) if one.reason == LEFT]
    own = [index for index, _ in bundle.ledger.changes.get(key, ()) if index in set(looks)]
    return bundle.ledger.state_at(key, own[-1] if own else -1)


def seen(completion: Completion | None) -> str:
    """An answer in a word."""
    if completion is None or completion.status is None:
        return "no answer"
    return str(completion.status)


def held(state: OrderState) -> str:
    """What there is of an order."""
    parts = [state.status or "no order"]
    parts += [f"{len(state.fulfillments)} to ship"] if state.fulfillments else []
    parts += ["stock"] if state.movements else []
    parts += ["log"] if state.webhook_ids else []
    return ", ".join(parts)


def show_crash_points(console: Console, cell: Explored, bundle: Bundle) -> None:
    """The table, a row for each point."""
    table = Table(box=None, pad_edge=False, title_justify="left", title=cell.where.words)
    for column in ("dies", "step", "sender saw", "database held", "retries", "shipped", "found"):
        table.add_column(column, no_wrap=column == "step")
    points = list(crash_points(cell, bundle))
    for one in points:
        codes = ", ".join(one.codes) or "nothing"
        table.add_row(
            WORDS[one.move.do], Text(one.move.at[:36]), one.first, one.left, str(one.retries),
            str(one.shipments), Text(codes, style="red" if one.codes else "green"),
        )  # fmt: skip
    console.print(table)
    console.print(
        f"{len(points)} points, each hit once. during: done, though nobody was left to hear of it; "
        "after: answered, to a process that died unaware.\n",
        soft_wrap=True,
    )
