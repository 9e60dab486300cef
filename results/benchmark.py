"""What a benchmark measured, and whether that meets what was set out: ratios, never seconds alone.

A part of the benchmark has peers (the wire, PgBouncer, no proxy at all), and measures them in
rounds, each peer once a round and in an order drawn from the seed. A ratio is taken inside each
round, so that a machine that changes its speed changes both sides; what is reported is the median
of these ratios with the smallest and the largest. A target without a peer to stand `over` is a
bound of the value itself (a p99, a batch), which is told with its range in the same way.

Limits: five rounds have no interval worth the name, so the range is shown as it is. A round in
which strangers took much of the machine is kept and told, not dropped: dropping is choosing.
"""

from collections.abc import Sequence
from statistics import median
from typing import Any

from msgspec import Struct, field


class Target(Struct, frozen=True, kw_only=True):
    """What a part sets out to reach: one value, or the ratio of two, and a bound for it."""

    what: str  # the claim, with no figure: "group over separate statements"
    value: tuple[str, str]  # peer, name of its value
    over: tuple[str, str] | None = None
    at_least: float | None = None
    at_most: float | None = None

    @property
    def bound(self) -> str:
        """In words."""
        if self.at_least is not None:
            return f"≥ {self.at_least:g}"
        return f"≤ {self.at_most:g}"

    def met_by(self, value: float) -> bool:
        """Whether a value keeps the bound."""
        return (self.at_least is None or value >= self.at_least) and (
            self.at_most is None or value <= self.at_most
        )


class Sample(Struct, frozen=True, kw_only=True):
    """One peer in one round."""

    peer: str
    round: int
    values: dict[str, float]
    strangers_cores: float  # how many cores were taken by processes that are not ours
    wrong: str = ""  # what of its work was not exact: such a sample proves nothing fast


class Reached(Struct, frozen=True, kw_only=True):
    """A target, and what was measured for it."""

    target: Target
    median: float
    low: float
    high: float
    rounds: int

    @property
    def met(self) -> bool:
        """By the median."""
        return self.target.met_by(self.median)


class PartReport(Struct, frozen=True, kw_only=True):
    """All of one part: what was measured, and what it comes to."""

    part: str
    title: str
    samples: tuple[Sample, ...]
    targets: tuple[Target, ...]
    missing: tuple[str, ...] = ()  # peers that this machine does not have, and what to install


class BenchmarkReport(Struct, frozen=True, kw_only=True):
    """One call of the benchmark."""

    seed: int
    rounds: int
    seconds: float  # how long one sample measures
    machine: dict[str, Any] = field(default_factory=dict)
    parts: tuple[PartReport, ...] = ()


def reached(part: PartReport) -> list[Reached]:
    """Each target that was measured, in the part's order; one without its peers is left out."""
    by_round: dict[int, dict[str, dict[str, float]]] = {}
    for sample in part.samples:
        by_round.setdefault(sample.round, {})[sample.peer] = sample.values
    found = []
    for target in part.targets:
        values = [_value(target, values) for values in by_round.values()]
        measured = [value for value in values if value is not None]  # nothing at all counts, too
        if measured:
            found.append(
                Reached(target=target, median=median(measured), low=min(measured),
                        high=max(measured), rounds=len(measured))
            )  # fmt: skip
    return found


def unmeasured(part: PartReport) -> list[Target]:
    """The targets that no round has both sides of."""
    measured = [one.target for one in reached(part)]
    return [target for target in part.targets if target not in measured]


def values_of(samples: Sequence[Sample], peer: str) -> dict[str, tuple[float, float, float]]:
    """The median, the smallest and the largest of each value of a peer."""
    columns: dict[str, list[float]] = {}
    for sample in samples:
        if sample.peer == peer:
            for name, value in sample.values.items():
                columns.setdefault(name, []).append(value)
    return {name: (median(all_), min(all_), max(all_)) for name, all_ in columns.items()}


def wrong_samples(part: PartReport) -> list[Sample]:
    """Those whose work was not exact."""
    return [sample for sample in part.samples if sample.wrong]


def _value(target: Target, values: dict[str, dict[str, float]]) -> float | None:
    top = values.get(target.value[0], {}).get(target.value[1])
    if top is None or target.over is None:
        return top
    bottom = values.get(target.over[0], {}).get(target.over[1])
    return top / bottom if bottom else None


def markdown(report: BenchmarkReport) -> str:
    """A table of the targets, and one of the values for each part."""
    lines = [
        f"{report.rounds} rounds of {report.seconds:g} s, seed {report.seed}; "
        "median (smallest to largest); ratios are taken inside a round.", "",
        "| part | target | bound | measured | |", "|---|---|---|---|---|",
    ]  # fmt: skip
    for part in report.parts:
        for one in reached(part):
            measured = f"{figure(one.median)} ({figure(one.low)} to {figure(one.high)})"
            if one.rounds != report.rounds:
                measured += f", {one.rounds} rounds"
            mark = "✓" if one.met else "missed"
            lines.append(
                f"| {part.part} | {one.target.what} | {one.target.bound} | {measured} | {mark} |"
            )
        for target in unmeasured(part):
            lines.append(f"| {part.part} | {target.what} | {target.bound} | – | not measured |")
    for part in report.parts:
        lines += ["", f"### {part.part}: {part.title}", ""]
        lines += _peers(part)
        lines += [f"\n{peer}" for peer in part.missing]
        lines += [f"\nNot exact: {one.peer}: {one.wrong}" for one in wrong_samples(part)]
    return "\n".join(lines) + "\n"


def _peers(part: PartReport) -> list[str]:
    peers = list(dict.fromkeys(sample.peer for sample in part.samples))
    names = list(dict.fromkeys(name for one in part.samples for name in one.values))
    strangers = {
        peer: max(one.strangers_cores for one in part.samples if one.peer == peer) for peer in peers
    }
    head = [*(name.replace("_", " ") for name in names), "strangers' cores, at most"]
    lines = [f"| peer | {' | '.join(head)} |", "|---|" + "---|" * len(head)]
    for peer in peers:
        found = values_of(part.samples, peer)
        cells = [
            f"{figure(found[name][0])} ({figure(found[name][1])} to {figure(found[name][2])})"
            if name in found else "" for name in names
        ]  # fmt: skip
        lines.append(f"| {peer} | {' | '.join(cells)} | {strangers[peer]:.2f} |")
    return lines


def figure(value: float) -> str:
    """Three digits, thousands in groups."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
