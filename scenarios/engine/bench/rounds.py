"""Rounds: each peer once a round, in an order drawn from the seed, with what strangers took.

The machine is shared and changes its speed within seconds, so nothing is measured to its end
before the next begins. Beside each sample stands how much of the processor was taken by processes
that are not of this family; it does not judge, the reader does.
"""

import contextlib
import random
import time
from collections.abc import Sequence

import psutil

from results.benchmark import PartReport, Sample
from scenarios.engine.bench.part import Ground, Part, Peer
from scenarios.engine.stand import Watch


async def measure_part(
    part: Part, ground: Ground, rounds: int, seconds: float, watch: Watch
) -> PartReport:
    """All rounds of one part."""
    drawn = random.Random(f"{ground.seed} {part.name}")
    samples: list[Sample] = []
    watch(f"{part.name}: starting")
    async with part.open(ground) as peers:
        for number in range(rounds):
            for peer in drawn.sample(list(peers.all), len(peers.all)):
                watch(f"{part.name}: round {number + 1} of {rounds}, {peer.name}")
                samples.append(await sample(peer, number, seconds))
        return PartReport(
            part=part.name, title=part.title, targets=tuple(part.targets),
            samples=in_order(samples, peers.all), missing=tuple(peers.missing),
        )  # fmt: skip


async def sample(peer: Peer, number: int, seconds: float) -> Sample:
    """One peer, once."""
    clock, all_, ours = time.monotonic(), busy_seconds(), family_seconds()
    measured = await peer.measure(seconds)
    took = time.monotonic() - clock
    strangers = (busy_seconds() - all_) - (family_seconds() - ours)
    return Sample(
        peer=peer.name, round=number, values=measured.values, wrong=measured.wrong,
        strangers_cores=round(max(0.0, strangers / took), 3),
    )  # fmt: skip


def in_order(samples: Sequence[Sample], peers: Sequence[Peer]) -> tuple[Sample, ...]:
    """By round, and in a round as the part lists its peers."""
    names = [peer.name for peer in peers]
    return tuple(sorted(samples, key=lambda one: (one.round, names.index(one.peer))))


def busy_seconds() -> float:
    """CPU time of the whole machine, all cores, since it started."""
    times = psutil.cpu_times()
    idle = times.idle + getattr(times, "iowait", 0.0)
    steal = getattr(times, "steal", 0.0)
    # `guest` is counted in `user` already.
    return float(sum(times[:8]) - idle - steal) if len(times) >= 8 else float(sum(times) - idle)


def family_seconds() -> float:
    """CPU time of this process and all it started, those that ended and were waited for too."""
    total = 0.0
    own = psutil.Process()
    for process in (own, *own.children(recursive=True)):
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system
            total += getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
    return total
