"""The faults that only a cluster can have, on a cluster that the test plays.

Each played thing does what a real one does unless the test takes it away; what is taken away must
be missing from the evidence, and nothing else.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from cluster.faults import (
    Autoscale,
    Drain,
    Evict,
    Fault,
    FaultContext,
    GhostPod,
    NodeDown,
    Oom,
    Rollout,
    Scale,
    perform,
)
from cluster.journal import Journal, read_journal
from cluster.place import Autoscaled, Death, Replica
from results.errors import ClusterError
from results.records import FaultRecord


def replica(name: str, incarnation: int = 0) -> Replica:
    return Replica(
        name=name, role="web", identity=f"container:{name}-{incarnation}", url="",
        restarts=0, ready=True,
    )  # fmt: skip


@dataclass
class PlayedCluster:
    """Place and administrator in one: three replicas, of which two are on the node to lose."""

    exit_code: int = 0
    reason: str = "EvictionByEvictionAPI"
    refusals: int = 2
    forgets: bool = True
    empties: bool = True
    cordons: bool = True
    replaces: bool = True
    notices: bool = True
    scales_to: int | None = None  # None: as asked
    power_fails: bool = False
    peak: int = 5  # to which its autoscaler goes
    cpu_percent: int = 90
    comes_down: bool = True
    looks: int = 0
    done: list[str] = field(default_factory=list)
    now: list[Replica] = field(default_factory=lambda: [replica(f"web-{n}") for n in range(3)])
    wanted: int = 3
    original: int = 3

    async def replicas(self) -> list[Replica]:
        return list(self.now)

    async def death(self, one: Replica, *, timeout_seconds: float) -> Death:
        return Death(one.name, one.identity, self.exit_code, None, time.monotonic_ns())

    async def recovered(self, one: Replica, *, timeout_seconds: float) -> Replica:
        self.done.append(f"recovered {one.name}")
        return replica(f"{one.name}-next", 1)

    async def evict(self, one: Replica) -> int:
        self.done.append(f"evict {one.name}")
        if self.empties:
            self.now = [replica(f"new-{one.name}", 1) if x is one else x for x in self.now]
        return self.refusals

    def disruption(self, _: Replica) -> str:
        return self.reason

    async def forget(self, one: Replica) -> None:
        self.done.append(f"forget {one.name}")

    async def known(self, _: Replica) -> bool:
        return not self.forgets

    def node_to_lose(self) -> str:
        return "node-2"

    def on_node(self, _: str) -> list[Replica]:
        return [one for one in self.now if one.name in ("web-1", "web-2")]

    async def cordon(self, node: str) -> None:
        self.done.append(f"cordon {node}")

    async def uncordon(self, node: str) -> None:
        self.done.append(f"uncordon {node}")

    async def cordoned(self, _: str) -> bool:
        return self.cordons and self.done[-1] != "uncordon node-2"

    async def power(self, node: str, *, on: bool) -> None:
        self.done.append(f"{node} {'on' if on else 'off'}")
        if self.power_fails and not on:
            raise ClusterError("the command failed")

    async def node_becomes(self, _: str, *, ready: bool, timeout_seconds: float) -> bool:
        return ready or self.notices

    async def scale(self, count: int) -> int:
        self.done.append(f"scale {count}")
        before, self.wanted = self.wanted, count
        return before

    async def unscale(self) -> None:
        self.done.append("unscale")
        self.wanted = self.original

    async def autoscale(self, most: int, *, cpu_percent: int, calm_seconds: int) -> int:
        self.done.append(f"autoscale {most} {cpu_percent} {calm_seconds}")
        return self.wanted

    async def autoscaled(self) -> Autoscaled:
        """Twice as it was, twice more, and then as it was again."""
        self.looks += 1
        up = self.looks in (3, 4) or (self.looks > 4 and not self.comes_down)
        self.wanted = self.peak if up else self.original
        settled = self.looks != 3
        ready = (await self.settled(timeout_seconds=1))[: None if settled else self.original]
        return Autoscaled(self.wanted, self.cpu_percent, tuple(ready), settled)

    async def unautoscale(self) -> None:
        self.done.append("unautoscale")
        self.wanted = self.original

    async def roll_out(self) -> None:
        self.done.append("roll out")
        if self.replaces:
            self.now = [replica(f"new-{one.name}", 1) for one in self.now]

    async def settled(self, *, timeout_seconds: float) -> list[Replica]:
        count = self.wanted if self.wanted == self.original else self.scales_to or self.wanted
        more = [replica(f"more-{number}") for number in range(count - len(self.now))]
        return [*self.now, *more][:count]

    async def starve(self, one: Replica) -> None:
        self.done.append(f"starve {one.name}")


@dataclass
class PlayedConnection:
    replica: str
    connection: int
    backend_pid: int = 1


@dataclass
class PlayedState:
    connections: Iterable[PlayedConnection]


@dataclass
class PlayedWire:
    """What it has open, one answer after the other; the last one goes on."""

    answers: list[list[int]]

    async def state(self) -> PlayedState:
        numbers = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return PlayedState([PlayedConnection("web-1", number) for number in numbers])


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "run" / "journal.jsonl")


def playing(cluster: PlayedCluster, journal: Journal, *answers: list[int]) -> FaultContext:
    anything: Any = cluster
    wire: Any = PlayedWire(list(answers)) if answers else None
    return FaultContext(
        place=anything, administrator=anything, journal=journal, database="", wire=wire
    )


MAKE: dict[str, Callable[[FaultContext], Fault]] = {
    "evict": lambda context: Evict(context, "1", "web-1"),
    "ghost-pod": lambda context: GhostPod(context, "1", "web-1"),
    "drain": lambda context: Drain(context, "1"),
    "scale": lambda context: Scale(context, "1", 5, 0.0),
    "autoscale": lambda context: Autoscale(context, "1", 6, 70, 15),
    "rollout": lambda context: Rollout(context, "1"),
    "node-down": lambda context: NodeDown(context, "1", 0.0),
}
# What the wire has of web-1: before, when it is proved, and when it is over.
CONNECTIONS = {"ghost-pod": ([7], [7], []), "node-down": ([7], [7], [])}


def made(kind: str, cluster: PlayedCluster, journal: Journal) -> Fault:
    return MAKE[kind](playing(cluster, journal, *(list(one) for one in CONNECTIONS.get(kind, ()))))


def stages(journal: Journal) -> list[str]:
    return [one.stage for one in read_journal(journal.path) if isinstance(one, FaultRecord)]


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cluster.faults.ghost_pod._GONE_SECONDS", 0.0)
    monkeypatch.setattr("cluster.faults.autoscale._LOOK_SECONDS", 0.01)
    monkeypatch.setattr("cluster.faults.autoscale._UP_SECONDS", 1.0)
    monkeypatch.setattr("cluster.faults.autoscale._DOWN_SECONDS", 1.0)


@pytest.mark.parametrize("kind", MAKE)
async def test_a_fault_of_a_cluster_is_proved_and_healed(kind: str, journal: Journal) -> None:
    cluster = PlayedCluster()
    fault = made(kind, cluster, journal)
    evidence = await perform(fault)
    assert fault.kind == kind
    assert evidence.complete, evidence.missing
    assert stages(journal) == ["intent", "inject", "evidence", "heal"]


@pytest.mark.parametrize(
    ("kind", "without", "missing"),
    [
        ("evict", {"reason": ""}, "evicted: its condition DisruptionTarget says nothing"),
        ("evict", {"reason": "PreemptionByScheduler"}, "evicted: "),
        ("evict", {"exit_code": 137}, "exit status 0: web-1"),
        ("ghost-pod", {"forgets": False}, "gone: "),
        ("drain", {"cordons": False}, "cordoned: "),
        ("drain", {"empties": False}, "empty: web-1, web-2"),
        ("drain", {"exit_code": 137}, "exit status 0: web-1"),
        ("scale", {"scales_to": 4}, "ready: [3, 4, 3]"),
        ("scale", {"exit_code": 143}, "exit status 0: more-0"),
        ("autoscale", {"peak": 3}, "scaled up: 3 replicas were wanted at last, 3 ready, at 90 %"),
        ("autoscale", {"comes_down": False}, "scaled down: 5 replicas were wanted at last"),
        ("autoscale", {"cpu_percent": 70}, "by CPU: it has seen 70 % at most, of 70 %"),
        ("autoscale", {"exit_code": 137}, "exit status 0: more-0"),
        ("rollout", {"replaces": False}, "replaced: 3"),
        ("rollout", {"exit_code": 137}, "exit status 0: web-0"),
        ("node-down", {"notices": False}, "not ready: "),
    ],
)
async def test_what_did_not_happen_is_missing(
    kind: str, without: dict[str, Any], missing: str, journal: Journal
) -> None:
    evidence = await perform(made(kind, PlayedCluster(**without), journal))
    assert evidence.missing
    assert evidence.missing[0].startswith(missing)
    assert stages(journal)[-1] == "heal"


async def test_a_ghost_that_nobody_saw_alive_is_none(journal: Journal) -> None:
    context = playing(PlayedCluster(), journal, [7], [])
    evidence = await perform(GhostPod(context, "1", "web-1"))
    assert [one.partition(":")[0] for one in evidence.missing] == ["lives"]


async def test_a_connection_from_a_node_that_is_down_speaks_against_it(journal: Journal) -> None:
    context = playing(PlayedCluster(), journal, [7], [8], [])
    evidence = await perform(NodeDown(context, "1", 0.0))
    assert evidence.missing == ("silent: connections [8] began from there",)
    assert evidence.facts["connections_ended"] == 1


async def test_an_eviction_counts_its_refusals(journal: Journal) -> None:
    evidence = await perform(made("evict", PlayedCluster(refusals=5), journal))
    assert evidence.facts["refusals"] == 5


@pytest.mark.parametrize(
    ("kind", "last"),
    [
        ("drain", "uncordon node-2"),
        ("scale", "unscale"),
        ("autoscale", "unautoscale"),
        ("node-down", "node-2 on"),
    ],
)
async def test_what_was_changed_is_changed_back(kind: str, last: str, journal: Journal) -> None:
    cluster = PlayedCluster()
    await perform(made(kind, cluster, journal))
    assert cluster.done[-1] == last


async def test_a_node_is_let_go_when_an_eviction_is_never_granted(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(*_: object) -> int:
        raise ClusterError("was not let go")

    cluster = PlayedCluster()
    monkeypatch.setattr(cluster, "evict", refused)
    evidence = await perform(made("drain", cluster, journal))
    assert evidence.missing == ("injected: was not let go",)
    assert cluster.done == ["cordon node-2", "uncordon node-2"]
    assert stages(journal) == ["intent", "missed"]


async def test_a_node_is_brought_back_when_its_command_failed_halfway(journal: Journal) -> None:
    cluster = PlayedCluster(power_fails=True)
    evidence = await perform(NodeDown(playing(cluster, journal, [7], []), "1", 0.0))
    assert evidence.missing == ("injected: the command failed",)
    assert cluster.done == ["node-2 off", "node-2 on"]


@pytest.mark.parametrize("kind", MAKE)
async def test_without_a_cluster_it_is_refused_before_anything_happens(
    kind: str, journal: Journal
) -> None:
    cluster: Any = PlayedCluster()
    context = FaultContext(place=cluster, journal=journal, database="")
    evidence = await perform(MAKE[kind](context))
    assert evidence.missing == (f"injected: {kind}: only on Kubernetes",)
    assert cluster.done == []


async def test_an_autoscaler_tells_what_it_saw_step_by_step(journal: Journal) -> None:
    evidence = await perform(made("autoscale", PlayedCluster(), journal))
    steps = [(one["wanted"], one["ready"]) for one in evidence.facts["steps"]]
    assert steps == [(3, 3), (5, 3), (5, 5), (3, 3)]
    assert (evidence.facts["from"], evidence.facts["peak"]) == (3, 5)
    assert evidence.facts["exit_codes"] == {"more-0": 0, "more-1": 0}


async def test_in_a_cluster_a_container_is_starved(journal: Journal) -> None:
    cluster = PlayedCluster(exit_code=137)
    evidence = await perform(Oom(playing(cluster, journal), "1", "blind", "web-1"))
    assert evidence.complete, evidence.missing
    assert cluster.done == ["starve web-1", "recovered web-1"]
