"""Pods for tests, as a restricted namespace admits them, and a watch over them."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from cluster.kube.gateway import Gateway
from cluster.kube.pods import Pods
from cluster.kube.rungs import running
from cluster.kube.watch import PodWatch

RESTRICTED = {
    "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "runAsNonRoot": True,
    "runAsUser": 1000, "runAsGroup": 1000, "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}  # fmt: skip
IDLE = ("python", "-c", "import time; time.sleep(3600)")


def container(image: str, *command: str, name: str = "app") -> dict[str, Any]:
    return {
        "name": name, "image": image, "imagePullPolicy": "IfNotPresent",
        "securityContext": RESTRICTED,
        "volumeMounts": [{"name": "records", "mountPath": "/records"}],
        **({"command": list(command)} if command else {}),
    }  # fmt: skip


def template(*containers: dict[str, Any], shared: bool = False) -> dict[str, Any]:
    return {
        "metadata": {},
        "spec": {
            "automountServiceAccountToken": False, "enableServiceLinks": False,
            "shareProcessNamespace": shared, "terminationGracePeriodSeconds": 1,
            "containers": list(containers), "volumes": [{"name": "records", "emptyDir": {}}],
        },
    }  # fmt: skip


@asynccontextmanager
async def standing(
    gateway: Gateway, pod: dict[str, Any], *, role: str = "web"
) -> AsyncIterator[Pods]:
    """One pod made from a template, and the watch that sees it; deleted in the end."""
    run = secrets.token_hex(4)
    labels = {"onceproof.dev/run": run, "onceproof.dev/role": role}
    name = f"stands-{run}"
    manifest = {"apiVersion": "v1", "kind": "Pod", "spec": pod["spec"],
                "metadata": {"name": name, "labels": labels}}  # fmt: skip
    await gateway.create(manifest)
    try:
        await running(gateway, name, "app")
        async with PodWatch(gateway, f"onceproof.dev/run={run}") as watch:
            yield Pods(gateway, watch)
    finally:
        await gateway.delete("Pod", name, grace_seconds=1)
