"""What an exploration found: codes by kind, the smallest schedule of each, and what was counted.

The counterexample shown for a code has the fewest preemptions, then the fewest steps. A cell is
*exhaustive* if every schedule within its bounds was played, none had a silent step and none
diverged; only then do no codes mean that there are none to be found at this granularity.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from results.history import OrderKey
from results.run_folder import RunFolder
from results.verdict import Anomaly, NotJudged, Validity
from scenarios.engine.explore.moves import SUFFIX, Schedule, Where
from scenarios.engine.explore.played import ok
from scenarios.engine.explore.walk import Walk


@dataclass(frozen=True, kw_only=True)
class Explored:
    """All schedules of one kind."""

    where: Where
    schedules: tuple[Schedule, ...]
    orders: tuple[OrderKey, ...]  # of each schedule
    reduced: bool
    preemptions_max: int | None
    exhausted: bool
    asleep: int
    silent: int
    beside: int  # steps that one delivery sent at once: their own orders were not played
    late: int  # schedules after whose end a step came: of a timer, or of a queue
    early_codes: tuple[str, ...]  # of plays that the reduction ended early, and no schedule shows
    divergences: int
    seconds: float
    unsure: int = 0  # steps of one process that could have been of either delivery
    unresolved: int = 0  # plays with a delivery that was never acknowledged: who knows of those?

    @classmethod
    def of(cls, walk: Walk, codes: Mapping[int, frozenset[str]]) -> "Explored":
        """A walk, with the codes that the judges gave to its orders."""
        both = (*walk.played, *walk.asleep)
        early = {code for one in walk.asleep for code in codes.get(one.order.order_id, ())}
        shown = {code for one in walk.played for code in codes.get(one.order.order_id, ())}
        return cls(
            where=walk.where, reduced=walk.reduced, exhausted=walk.exhausted,
            asleep=len(walk.asleep),
            preemptions_max=walk.bounds.preemptions, divergences=walk.divergences,
            seconds=walk.seconds, silent=sum(one.silent for one in both),
            unsure=sum(one.unsure for one in both),
            beside=sum(one.beside for one in both), unresolved=sum(one.unresolved for one in both),
            late=sum(one.order.order_id in walk.late and all(map(ok, one.statuses))
                     for one in walk.played),
            early_codes=tuple(sorted(early - shown, key=number)),
            orders=tuple((one.order.shop, one.order.order_id) for one in walk.played),
            schedules=tuple(
                Schedule(
                    where=walk.where, moves=tuple(one.moves), statuses=one.statuses,
                    preemptions=one.preemptions,
                    codes=tuple(sorted(codes.get(one.order.order_id, ()), key=number)),
                )
                for one in walk.played
            ),
        )  # fmt: skip

    @cached_property
    def codes(self) -> dict[str, int]:
        """How many schedules show each code: A1 before A10."""
        counted = Counter(code for one in self.schedules for code in one.codes)
        return {code: counted[code] for code in sorted(counted, key=number)}

    @property
    def refused(self) -> int:
        """Schedules in which some delivery was answered by a 5xx, which a retry may heal."""
        return sum(any((one or 0) >= 500 for one in each.statuses) for each in self.schedules)

    @property
    def exhaustive(self) -> bool:
        """Whether "none" means that there is none."""
        return self.exhausted and not (
            self.silent
            or self.beside
            or self.unsure
            or self.late
            or self.divergences
            or self.early_codes
            or self.unresolved
        )

    @property
    def outcomes(self) -> frozenset[tuple[tuple[str, ...], tuple[int | None, ...]]]:
        """The distinct ends: codes and answers. Reduced and full must have the same."""
        return frozenset(
            (one.codes, tuple(sorted(one.statuses, key=str))) for one in self.schedules
        )

    def smallest(self, code: str) -> Schedule:
        """The schedule that shows a code best."""
        guilty = (one for one in self.schedules if code in one.codes)
        return min(guilty, key=lambda one: (one.preemptions, len(one.moves)))


@dataclass(frozen=True, kw_only=True)
class Exploration:
    """All cells of one exploration, and the run's folder."""

    folder: RunFolder
    anomalies: tuple[Anomaly, ...]
    not_judged: tuple[NotJudged, ...]
    cells: tuple[Explored, ...]
    settled: bool = True  # False: something still moved when it was judged

    @property
    def validity(self) -> Validity:
        """Invalid with any code, valid only where every cell is exhaustive and without a bound."""
        if self.anomalies:
            return Validity.INVALID
        whole = self.settled and all(
            cell.exhaustive and cell.preemptions_max is None for cell in self.cells
        )
        return Validity.VALID if whole else Validity.UNKNOWN

    def write(self) -> dict[str, str]:
        """Store the smallest schedule of every code; returns their names by cell and code."""
        written = {}
        for cell in self.cells:
            for code in cell.codes:
                name = f"{code}-{cell.where.ids}-{cell.where.row}{SUFFIX}"
                cell.smallest(code).write(self.folder.path / name)
                written[f"{cell.where.ids} {cell.where.row} {code}"] = name
        return written

    def as_json(self) -> dict[str, Any]:
        """One document for programs."""
        return {
            "run": str(self.folder.path),
            "validity": self.validity.value, "settled": self.settled,
            "cells": [
                {
                    "strategy": cell.where.strategy, "provider": cell.where.provider,
                    "ids": cell.where.ids, "row": cell.where.row,
                    "deliveries": cell.where.deliveries, "crashes": cell.where.crashes,
                    "schedules": len(cell.schedules), "codes": cell.codes,
                    "answered_5xx": cell.refused, "reduced": cell.reduced,
                    "exhaustive": cell.exhaustive, "silent_steps": cell.silent,
                    "steps_at_once": cell.beside, "unsure_steps": cell.unsure,
                    "one_process": cell.where.one_process, "schedules_with_late_steps": cell.late,
                    "never_acknowledged": cell.unresolved,
                    "codes_of_plays_ended_early": cell.early_codes,
                    "preemptions_max": cell.preemptions_max,
                    "divergences": cell.divergences, "seconds": round(cell.seconds, 3),
                }
                for cell in self.cells
            ],
            "not_judged": {one.code: one.reason for one in self.not_judged},
        }  # fmt: skip


def codes_of(anomalies: Iterable[Anomaly]) -> dict[int, frozenset[str]]:
    """The codes of each order."""
    found: dict[int, set[str]] = {}
    for anomaly in anomalies:
        found.setdefault(anomaly.order_id, set()).add(anomaly.code)
    return {order_id: frozenset(codes) for order_id, codes in found.items()}


def number(code: str) -> int:
    """A1 before A10."""
    return int(code[1:])
