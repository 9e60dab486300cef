"""Service level objectives: `p99<250ms` beside a verdict, never instead of one.

An objective is asked for on the command line and kept in the manifest, so a stored run is judged
by it again. It decides nothing about exactly-once: a valid run that misses one ends with a status
of its own (3). Percentiles are those of the acknowledged deliveries, exact, from the intended
send; a delivery that was never answered has no latency, so a service that times out can have a
fine p99. That is what `unknown-rate` is for: the share of deliveries whose outcome is `info`.
Nothing measured means missed.
"""

import re
from collections.abc import Iterable

from msgspec import Struct

from results.errors import ConfigError
from results.latency import Latency

_LATENCY = re.compile(r"(p50|p90|p99|max)\s*<\s*(\d+(?:\.\d+)?)\s*(ms|s)", re.ASCII)
_RATE = re.compile(r"(unknown-rate)\s*<\s*(\d+(?:\.\d+)?)\s*(%)", re.ASCII)


class Slo(Struct, frozen=True, kw_only=True):
    """One objective: the measure must stay below the limit, which is in `unit` (ms or %)."""

    measure: str
    limit: float
    unit: str

    @property
    def words(self) -> str:
        """`p99<250ms`: as it is written, with the unit in ms or %."""
        return f"{self.measure}<{self.limit:g}{self.unit}"


class SloResult(Struct, frozen=True, kw_only=True):
    """What was asked, what was measured (None: nothing to measure), and whether it is met."""

    slo: Slo
    measured: float | None
    met: bool

    @property
    def words(self) -> str:
        """`p99<250ms missed: 312.4 ms`."""
        measured = "not measured"
        if self.measured is not None:
            measured = f"{self.measured:,.{2 if self.slo.unit == '%' else 1}f} {self.slo.unit}"
        return f"{self.slo.words} {'met' if self.met else 'missed'}: {measured}"


def parse_slo(text: str) -> Slo:
    """Read one objective; ConfigError with an example when it is none."""
    match = _LATENCY.fullmatch(text.strip()) or _RATE.fullmatch(text.strip())
    if match is None or float(match[2]) == 0:
        raise ConfigError(
            f"There is no SLO {text!r}. Write one as in --slo 'p99<250ms' (p50, p90, p99 or max; "
            "ms or s) or --slo 'unknown-rate<1%', in quotes, for the shell has its own use of <."
        )
    measure, limit, unit = match[1], float(match[2]), match[3]
    if unit == "s":
        limit, unit = limit * 1000, "ms"
    return Slo(measure=measure, limit=limit, unit=unit)


def judge_slos(texts: Iterable[str], latency: Latency) -> tuple[SloResult, ...]:
    """Measure each objective on the latencies of a run."""
    results = []
    for slo in map(parse_slo, texts):
        measured = _measured(slo.measure, latency)
        met = measured is not None and measured < slo.limit
        results.append(SloResult(slo=slo, measured=measured, met=met))
    return tuple(results)


def _measured(measure: str, latency: Latency) -> float | None:
    if measure == "unknown-rate":
        all_of_them = latency.ok + latency.info + latency.fail
        return 100 * latency.info / all_of_them if all_of_them else None
    values = {
        "p50": latency.p50_ms,
        "p90": latency.p90_ms,
        "p99": latency.p99_ms,
        "max": latency.max_ms,
    }
    return values[measure]
