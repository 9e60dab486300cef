"""How fast a run's deliveries were, in one small file that outlives its history.

`measures.json` has the percentiles of the acknowledged deliveries with their exact 95 % intervals,
and how many came through per second. A run that a matrix made slim has nothing else to measure;
the site and its trend read this file. The deliveries are those of the verdict's own latencies.
"""

from pathlib import Path

import msgspec
from msgspec import Struct

from results.bundle import Bundle
from results.interval import Interval, interval
from results.latency import acknowledged_ms
from results.records import Outcome
from results.run_folder import write_whole


class Measures(Struct, frozen=True, kw_only=True):
    """Percentiles of the acknowledged deliveries; `seconds` from the first intended send of any
    delivery to the last answer of an acknowledged one."""

    p50: Interval
    p99: Interval
    acknowledged: int
    seconds: float

    @property
    def deliveries_per_second(self) -> float | None:
        """Acknowledged deliveries per second; None where nothing was measured."""
        return self.acknowledged / self.seconds if self.acknowledged and self.seconds > 0 else None


def take_measures(bundle: Bundle) -> Measures:
    """Measure one run."""
    deliveries = [one for one in bundle.history.deliveries if one.intent.authentic]
    ordered_ms = acknowledged_ms(deliveries)
    begun_ns = min((one.intent.intended_ns for one in deliveries), default=0)
    ended_ns = max(
        (one.completion.done_ns for one in deliveries
         if one.completion is not None and one.outcome is Outcome.OK), default=begun_ns,
    )  # fmt: skip
    return Measures(
        p50=interval(ordered_ms, 0.50),
        p99=interval(ordered_ms, 0.99),
        acknowledged=len(ordered_ms),
        seconds=(ended_ns - begun_ns) / 1e9,
    )


def write_measures(path: Path, measures: Measures) -> None:
    """Write measures.json."""
    write_whole(path, msgspec.json.format(msgspec.json.encode(measures)) + b"\n")


def read_measures(path: Path) -> Measures | None:
    """Read it back; None where there is none that can be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Measures)
    except (OSError, msgspec.DecodeError):
        return None
