"""What is changed in a cluster is in the journal first, and undone once: now, or by `heal`."""

import time
from pathlib import Path
from typing import Any

import pytest

from cluster.journal import Journal, read_journal
from cluster.kube import changes
from cluster.kube.administrator import memory_limit, run_command, words_of
from cluster.kube.changes import Changes, left_changed, restore_left
from cluster.kube.gateway import ApiError
from results.errors import ClusterError, ConfigError
from results.footprint import Changed

CORDON = ("Node", "node-2", "cordoned")
UNDO = {"spec": {"unschedulable": None}}


class PlayedGateway:
    """An API server that takes patches, or refuses them with a status."""

    namespace = "chaos"

    def __init__(self, refuses: int = 0, ready: bool = True) -> None:
        self.access: Any = type("Access", (), {"context": "played"})
        self.patches: list[tuple[str, str, Any]] = []
        self.refuses, self.ready = refuses, ready

    async def __aenter__(self) -> "PlayedGateway":
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def patch(self, kind: str, name: str, body: Any, *, content_type: str) -> None:
        if self.refuses:
            raise ApiError("refused", self.refuses)
        self.patches.append((kind, name, body))

    async def get(self, _: str, __: str) -> Any:
        status = "True" if self.ready else "Unknown"
        return {"status": {"conditions": [{"type": "Ready", "status": status}]}}


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "run" / "journal.jsonl")


def change(**fields: Any) -> Changed:
    given = {"undo": UNDO, "what": "cordoned", **fields}
    return Changed(
        context="played", namespace="chaos", kind="Node", name="node-2", at_ns=time.monotonic_ns(),
        **given,
    )  # fmt: skip


@pytest.mark.parametrize("gone", [0, 404])
async def test_a_change_is_written_first_and_undone_once(journal: Journal, gone: int) -> None:
    gateway: Any = PlayedGateway(refuses=gone)
    done = Changes(gateway, journal)
    done.intend(*CORDON, undo=UNDO)
    assert [one.of for one in left_changed(read_journal(journal.path))] == [CORDON]
    await done.restore_all()
    await done.restore(*CORDON)
    assert gateway.patches == ([] if gone else [("Node", "node-2", UNDO)])
    assert left_changed(read_journal(journal.path)) == []


async def test_what_could_not_be_undone_stays_in_the_journal(journal: Journal) -> None:
    gateway: Any = PlayedGateway(refuses=403)
    done = Changes(gateway, journal)
    done.intend(*CORDON, undo=UNDO)
    with pytest.raises(ApiError):
        await done.restore_all()
    assert len(left_changed(read_journal(journal.path))) == 1


@pytest.mark.parametrize(
    ("fields", "gateway", "restored", "wrong"),
    [
        ({}, PlayedGateway(), True, ""),
        ({}, PlayedGateway(refuses=403), False, "refused"),
        ({"undo": {}, "by_hand": "on node-2"}, PlayedGateway(ready=False), False, "`on node-2`"),
        ({"undo": {}, "by_hand": "on node-2"}, PlayedGateway(), True, ""),
    ],
)
async def test_heal_undoes_what_a_dead_runner_changed_or_says_what_to_do(
    fields: dict[str, Any], gateway: Any, restored: bool, wrong: str, journal: Journal,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    async def connect(*_: object) -> Any:
        return gateway

    monkeypatch.setattr(changes.Gateway, "connect", connect)
    journal.append(change(**fields))
    done, problem = await restore_left(change(**fields), journal)
    assert bool(done) == restored
    assert wrong in problem
    assert bool(problem) != restored
    assert bool(left_changed(read_journal(journal.path))) != restored


def test_the_latest_change_is_undone_first_and_the_first_one_says_how() -> None:
    first = change(what="scaled", undo={"spec": {"replicas": 3}})
    again = change(what="scaled", undo={"spec": {"replicas": 6}})
    left = left_changed([first, change(), again])
    assert [one.of for one in left] == [CORDON, first.of]
    assert left[1] is first


def test_a_command_is_made_for_one_node() -> None:
    assert words_of("sh -c 'off ${0#node-}' {node}", "node-2") == [
        "sh", "-c", "off ${0#node-}", "node-2"
    ]  # fmt: skip
    for useless in ("", "off", "off '{node}"):
        with pytest.raises(ConfigError, match="--node-down"):
            words_of(useless, "node-2")


async def test_a_command_that_fails_is_told_with_its_last_words() -> None:
    await run_command(["true"])
    with pytest.raises(ClusterError, match="ended with 3: no power"):
        await run_command(["sh", "-c", "echo no power >&2; exit 3"])
    with pytest.raises(ClusterError, match="cannot be started"):
        await run_command(["/nowhere/off"])


@pytest.mark.parametrize(
    ("text", "limit"),
    [("512Mi", 536_870_912), ("1Gi", 1 << 30), ("1000k", 1_000_000), ("7", 7), ("", None)],
)
def test_a_memory_limit_is_read(text: str, limit: int | None) -> None:
    resources = {"limits": {"memory": text}} if text else {}
    pod = {"metadata": {}, "spec": {"containers": [{"name": "app", "resources": resources}]}}
    assert memory_limit(pod) == limit
