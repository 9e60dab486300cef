"""Containers killed for real, by each rung of the ladder; the end is told by the kubelet.

The Express image (`express/` beside this file) has neither Python nor shell: $ONCEPROOF_EXPRESS
names it, and where it is not on the nodes its tests say so and skip.
"""

import os
import secrets
from collections.abc import AsyncIterator

import pytest

from cluster.kube.channels import execute
from cluster.kube.gateway import Gateway
from cluster.kube.rungs import SEIZE_AND_EXIT, prove, seize, told
from cluster.kube.watch import status_of
from results.errors import ClusterError
from tests.kubernetes.conftest import Cluster
from tests.kubernetes.pods import IDLE, container, standing, template

EXPRESS = os.environ.get("ONCEPROOF_EXPRESS", "localhost/onceproof-express:latest")


@pytest.fixture
async def gateway(namespace: str) -> AsyncIterator[Gateway]:
    async with await Gateway.connect(None, namespace) as one:
        yield one


@pytest.fixture(scope="module")
def express(cluster: Cluster) -> str:
    """The image, if the nodes have it."""
    name = f"look-{secrets.token_hex(3)}"
    try:
        cluster.kubectl(
            "run", name, f"--image={EXPRESS}", "--image-pull-policy=Never", "--restart=Never",
            "--overrides=" + OVERRIDES % {"name": name, "image": EXPRESS},
        )  # fmt: skip
        cluster.kubectl("wait", f"pod/{name}", "--for=condition=Ready", "--timeout=30s")
    except AssertionError as error:
        pytest.skip(f"EXPRESS WAS NOT TRIED: {EXPRESS} does not start: {error}")
    finally:
        cluster.kubectl("delete", "pod", name, "--ignore-not-found", "--grace-period=1")
    return EXPRESS


OVERRIDES = """{"spec": {"containers": [{"name": "%(name)s", "image": "%(image)s",
  "imagePullPolicy": "Never", "securityContext": {"allowPrivilegeEscalation": false,
  "runAsNonRoot": true, "runAsUser": 1000, "capabilities": {"drop": ["ALL"]},
  "seccompProfile": {"type": "RuntimeDefault"}}}]}}"""


async def crashed_by(gateway: Gateway, image: str, pod: dict[str, object], rung: str) -> None:
    """Prove the rung, crash a pod by it, and see it end and come back."""
    proved = await prove(gateway, pod, "app", labels={}, helper_image=image)
    assert proved.name == rung
    async with standing(gateway, pod) as pods:
        pods.rung = proved
        (victim,) = await pods.replicas()
        await pods.crash(victim)
        death = await pods.death(victim, timeout_seconds=10.0)
        assert (death.exit_code, death.identity, death.doubts) == (137, victim.identity, ())
        after = await pods.recovered(victim, timeout_seconds=30.0)
        assert (after.name, after.restarts) == (victim.name, 1)
        assert after.identity != victim.identity


async def test_a_shared_namespace_is_crashed_by_a_signal(gateway: Gateway, image: str) -> None:
    pod = template(container(image, *IDLE), shared=True)
    await crashed_by(gateway, image, pod, "shared-pid")


async def test_a_python_of_its_own_namespace_is_crashed_by_a_tracer(
    gateway: Gateway, image: str
) -> None:
    await crashed_by(gateway, image, template(container(image, *IDLE)), "ptrace")


async def test_node_without_python_and_shell_is_crashed_by_a_helper(
    gateway: Gateway, image: str, express: str
) -> None:
    await crashed_by(gateway, image, template(container(express)), "helper")


async def test_each_rung_says_why_it_does_not_work(gateway: Gateway, express: str) -> None:
    absent = "localhost/is-not-there:1"
    with pytest.raises(ClusterError) as refused:
        await prove(
            gateway, template(container(express)), "app", labels={}, helper_image=absent
        )  # fmt: skip
    text = str(refused.value)
    assert text.startswith("crash: unavailable: shared-pid: ")
    assert text.count("executable file not found") == 2  # sh, python
    assert "helper: the helper does not start: " in text


async def test_a_sidecar_survives(gateway: Gateway, image: str) -> None:
    sidecar = container(image, *IDLE, name="sidecar")
    pod = template(sidecar, container(image, *IDLE), shared=True)  # the sidecar is the older one
    proved = await prove(gateway, pod, "app", labels={}, helper_image=image)
    assert proved.name == "shared-pid"
    async with standing(gateway, pod) as pods:
        pods.rung = proved
        (victim,) = await pods.replicas()
        await pods.crash(victim)
        death = await pods.death(victim, timeout_seconds=10.0)
        assert death.exit_code == 137
        await pods.recovered(victim, timeout_seconds=30.0)
        (now,) = pods.watch.now.values()
        assert status_of(now, "sidecar")["restartCount"] == 0
        assert status_of(now, "app")["restartCount"] == 1


async def test_a_tracer_refuses_the_first_process_of_a_shared_namespace(
    gateway: Gateway, image: str
) -> None:
    async with standing(gateway, template(container(image, *IDLE), shared=True)) as pods:
        (name,) = pods.watch.now
        with pytest.raises(ClusterError, match="PID 1 is the pod's"):
            await seize(gateway, name, "app")


async def test_a_frozen_container_goes_on_when_thawed(gateway: Gateway, image: str) -> None:
    state = (
        "print(open('/proc/'+__import__('sys').argv[1]+'/stat').read().split(')')[1].split()[0])"
    )
    find = ("sh", "-c", "for p in /proc/[0-9]*; do read -r c <$p/comm; "
            "[ $c = python ] && echo ${p#/proc/}; done; true")  # fmt: skip
    async with standing(gateway, template(container(image, *IDLE), shared=True)) as pods:
        (name,) = pods.watch.now
        (replica,) = await pods.replicas()
        found = await execute(gateway, name, "app", find, timeout_seconds=10)
        pid = found.stdout.decode().split()[0]
        for act, letter in ((pods.freeze, "T"), (pods.thaw, "S")):
            await act(replica)
            answer = await execute(
                gateway, name, "app", ("python", "-c", state, pid), timeout_seconds=10
            )  # fmt: skip
            assert answer.stdout.strip().decode() == letter


async def test_a_command_whose_container_dies_is_judged_by_the_death(
    gateway: Gateway, image: str
) -> None:
    async with standing(gateway, template(container(image, *IDLE))) as pods:
        (name,) = pods.watch.now
        (victim,) = await pods.replicas()
        command = ("python", "-c", SEIZE_AND_EXIT)
        answer = await execute(gateway, name, "app", command, timeout_seconds=10)
        told(answer, name)
        death = await pods.death(victim, timeout_seconds=10.0)
        assert death.exit_code == 137
