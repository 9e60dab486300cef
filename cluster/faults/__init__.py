"""Faults with honest names: one small file each, with `inject`, `evidence` and `heal`.

A fault counts only with its evidence. `perform` takes one through its life; each stage is in the
journal before the next begins, so that a dead runner leaves the truth behind. To add a fault,
write a file with a class that has the three (and `miss`), as `graceful.py` does.
"""

from collections.abc import Callable

from cluster import memory_group, skewed_clock
from cluster.faults.aim import Aim, take_aim
from cluster.faults.autoscale import Autoscale
from cluster.faults.clock_skew import ClockSkew
from cluster.faults.context import Fault, FaultContext
from cluster.faults.crash import Crash
from cluster.faults.db_crash import DbCrash
from cluster.faults.db_disconnect import DbDisconnect
from cluster.faults.db_latency import DbLatency
from cluster.faults.drain import Drain
from cluster.faults.evict import Evict
from cluster.faults.freeze import Freeze
from cluster.faults.ghost_pod import GhostPod
from cluster.faults.graceful import Graceful
from cluster.faults.node_down import NodeDown
from cluster.faults.oom import Oom
from cluster.faults.poll import polled
from cluster.faults.power_loss import PowerLoss
from cluster.faults.provider import ProviderFault
from cluster.faults.rolling_restart import RollingRestart
from cluster.faults.rollout import Rollout
from cluster.faults.scale import Scale
from results.errors import OnceproofError
from results.records import Evidence

__all__ = [
    "NEEDS",
    "Aim",
    "Autoscale",
    "ClockSkew",
    "Crash",
    "DbCrash",
    "DbDisconnect",
    "DbLatency",
    "Drain",
    "Evict",
    "Fault",
    "FaultContext",
    "Freeze",
    "GhostPod",
    "Graceful",
    "NodeDown",
    "Oom",
    "PowerLoss",
    "ProviderFault",
    "RollingRestart",
    "Rollout",
    "Scale",
    "perform",
    "polled",
    "take_aim",
]


NEEDS: dict[str, Callable[[], tuple[bool, str]]] = {
    "oom": memory_group.available,
    "clock-skew": skewed_clock.available,
}
"""Kinds that not every machine can have: whether this one can, and how or what it would take."""


async def perform(fault: Fault) -> Evidence:
    """Inject, prove and heal one fault; an incomplete Evidence where it did not come to that.

    ClusterError only when the victim does not come back: then the run cannot go on.
    """
    try:
        await fault.inject()
    except OnceproofError as error:
        await fault.miss(str(error))
        return Evidence(facts={}, missing=(f"injected: {error}",))
    try:
        evidence = await fault.evidence()
    except Exception:
        await fault.heal()
        raise
    # A cancelled run does not wait here: `Processes.stop_all` thaws and ends everything.
    await fault.heal()
    return evidence
