from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from cluster.journal import Journal
from cluster.kube import gateway as gateway_module
from cluster.kube import installation, mirror, watch
from cluster.kube.gateway import Gateway
from tests.cluster.kube.fake_api import FakeApi


@pytest.fixture
async def api() -> AsyncIterator[FakeApi]:
    server = FakeApi()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def gateway(api: FakeApi) -> AsyncIterator[Gateway]:
    async with api.gateway() as one:
        yield one


@pytest.fixture
def journal(tmp_path: Path) -> Any:
    with Journal(tmp_path / "run" / "journal.jsonl") as one:
        yield one


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same waits, shorter."""
    monkeypatch.setattr(gateway_module, "CALL_SECONDS", 3.0)
    monkeypatch.setattr(watch, "AGAIN_SECONDS", 0.02)
    monkeypatch.setattr(mirror, "AGAIN_SECONDS", 0.02)
    monkeypatch.setattr(installation, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(installation, "REMOVE_SECONDS", 1.0)
    monkeypatch.setattr(installation, "NAMESPACE_SECONDS", 0.5)


Pod = Callable[..., dict[str, Any]]


@pytest.fixture
def pod() -> Pod:
    return make_pod


def make_pod(
    name: str, container_id: str = "containerd://1", *, ready: bool = True, restarts: int = 0,
    role: str = "web", last: dict[str, Any] | None = None, state: dict[str, Any] | None = None,
    uid: str | None = None, container: str = "app",
) -> dict[str, Any]:  # fmt: skip
    """A pod as a kubelet tells of it."""
    status: dict[str, Any] = {
        "name": container, "containerID": container_id, "restartCount": restarts,
        "state": state or {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
    }  # fmt: skip
    if last:
        status["lastState"] = {"terminated": last}
    metadata = {"name": name, "labels": {"onceproof.dev/role": role, "onceproof.dev/run": "r1"}}
    return {
        "metadata": metadata | ({"uid": uid} if uid else {}),
        "spec": {"nodeName": "node1", "containers": [{"name": container}]},
        "status": {
            "podIP": "10.0.0.1", "containerStatuses": [status],
            "conditions": [{"type": "Ready", "status": str(ready)}],
        },
    }  # fmt: skip
