"""A real Kubernetes for the tests of this folder: the current context of kubectl, if it says so.

The tests make and delete namespaces, crash pods and fill nodes, so every node of the cluster must
carry the label `onceproof.dev/chaos=enabled`:

    kubectl label nodes --all onceproof.dev/chaos=enabled

A cluster whose nodes do not all carry it is refused before any test, with exit status 4. Where
there is no cluster at all the tests skip, and the header and every skip say why. Each module has
one namespace of its own, which is deleted when it ends.

Everything here goes by kubectl, not by the code that is under test. $ONCEPROOF_IMAGE names the
image, which must be on the nodes already (or where they can pull it).
"""

import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

MARK = "onceproof.dev/chaos"
LABEL_COMMAND = f"kubectl label nodes --all {MARK}=enabled"
HERE = Path(__file__).parent
NAMESPACE_SECONDS = 150


@dataclass(frozen=True)
class Cluster:
    """The current context, as kubectl speaks with it."""

    namespace: str = ""

    def kubectl(self, *arguments: str, stdin: str = "", seconds: float = 60) -> str:
        """Run kubectl in the namespace and return its output; AssertionError if it fails."""
        return self.run(*arguments, stdin=stdin, seconds=seconds).stdout

    def run(
        self, *arguments: str, stdin: str = "", seconds: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """The same, with both streams apart."""
        where = ["--namespace", self.namespace] if self.namespace else []
        done = subprocess.run(
            ["kubectl", *where, *arguments],
            input=stdin, capture_output=True, text=True, timeout=seconds,
        )  # fmt: skip
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}{done.stdout}"
        return done

    def read(self, pod: str, *command: str, stdin: str = "") -> str:
        """What a command in a pod says; only for one that may run twice.

        kubectl throws away what comes before it has set its streams up ("Unknown stream id").
        """
        how = ["--stdin"] if stdin else []
        for _ in range(5):
            done = self.run("exec", *how, pod, "--", *command, stdin=stdin)
            if "Unknown stream id" not in done.stderr:
                return done.stdout
        raise AssertionError(f"{pod}: kubectl lost the answer of {command} five times")


@cache
def state() -> tuple[str, str]:
    """("ready" | "absent" | "refused", why); asked once."""
    if shutil.which("kubectl") is None:
        return "absent", "kubectl is not installed"
    command = ["kubectl", "get", "nodes", "--output=json", "--request-timeout=10s"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except subprocess.TimeoutExpired:
        return "absent", "kubectl got no answer within 30 s"
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["kubectl get nodes failed"]
        return "absent", f"no cluster answers: {last[0]}"
    nodes = [one["metadata"] for one in json.loads(done.stdout)["items"]]
    bare = [one["name"] for one in nodes if one.get("labels", {}).get(MARK) != "enabled"]
    if bare or not nodes:
        return "refused", (
            f"The cluster of the current context does not say that it may be shaken: "
            f"{', '.join(bare) or 'it has no nodes'}. If it may: {LABEL_COMMAND}"
        )
    return "ready", f"{len(nodes)} nodes that may be shaken"


def pytest_sessionstart(session: pytest.Session) -> None:
    if hasattr(session.config, "workerinput"):  # the controller has asked already
        return
    what, why = state()
    if what == "refused":
        raise pytest.UsageError(why)


def pytest_report_header() -> str:
    what, why = state()
    return f"kubernetes: {'ALL SKIPPED, ' if what == 'absent' else ''}{why}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    what, why = state()
    if what == "ready":
        return
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.skip(reason=f"no Kubernetes: {why}"))


@pytest.fixture(scope="session")
def image() -> str:
    return os.environ.get("ONCEPROOF_IMAGE", "localhost/onceproof:latest")


@pytest.fixture(scope="module")
def namespace() -> Iterator[str]:
    """A namespace of this module's own that may be shaken."""
    name = f"onceproof-test-{secrets.token_hex(3)}"
    labels = {MARK: "enabled", "pod-security.kubernetes.io/enforce": "restricted"}
    manifest = {"apiVersion": "v1", "kind": "Namespace",
                "metadata": {"name": name, "labels": labels}}  # fmt: skip
    everywhere = Cluster()
    everywhere.kubectl("create", "--filename=-", stdin=json.dumps(manifest))
    try:
        yield name
    finally:
        Cluster(name).kubectl(  # nobody drains for a test that is over
            "delete", "deployments,statefulsets,jobs,pods", "--all", "--grace-period=1",
            "--wait=false",
        )  # fmt: skip
        everywhere.kubectl(
            "delete", "namespace", name, f"--timeout={NAMESPACE_SECONDS}s",
            seconds=NAMESPACE_SECONDS + 10,
        )  # fmt: skip


@pytest.fixture(scope="module")
def cluster(namespace: str) -> Cluster:
    """The cluster, in the module's namespace."""
    return Cluster(namespace)
