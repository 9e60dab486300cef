"""One file per anomaly: a predicate over a bundle, and the reason why it cannot be judged.

Each module has `CODE`, `cannot_judge(bundle)` (a sentence, or None when the inputs are there) and
`find(bundle)`, which yields at most one anomaly an order. The names, the fixes and what implies
what are in `catalogue`. To add one, write its file: what has a `CODE` is a judge.
"""

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from results.bundle import Bundle
from results.verdict import Anomaly


@dataclass(frozen=True, slots=True)
class Judge:
    """The two questions that one anomaly's file answers."""

    code: str
    cannot_judge: Callable[[Bundle], str | None]
    find: Callable[[Bundle], Iterator[Anomaly]]


def _judges() -> Iterator[Judge]:
    for entry in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{entry.name}")
        if hasattr(module, "CODE"):
            yield Judge(module.CODE, module.cannot_judge, module.find)


JUDGES = tuple(sorted(_judges(), key=lambda judge: int(judge.code[1:])))
