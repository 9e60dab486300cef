"""The house rules of the manifests and the image, read from their files alone.

What only an API server can say (fields, defaults, what kustomize makes of the overlays) is in
tests/kubernetes; these hold without a cluster.
"""

import importlib
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from service.__main__ import DRAIN_NOTICE_SECONDS, DRAIN_SECONDS, POOL_CLOSE_SECONDS

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "cluster" / "manifests"
HARNESS = {"onceproof.dev/harness": "true"}
SECRET_KEYS = {"token", "shopify-secret", "shopify-secret-next", "postgres-password",
               "database-url"}  # fmt: skip
CONFIG_KEYS = {"strategy", "keys", "upstream"}
NAME = "app.kubernetes.io/name"
Object = dict[str, Any]


def documents(path: Path) -> list[Any]:
    return [one for one in yaml.safe_load_all(path.read_text()) if one]


OBJECTS: list[Object] = [
    one
    for path in sorted(FOLDER.rglob("*.yaml"))
    for one in documents(path)
    if isinstance(one, dict) and one["kind"] != "Kustomization"
]
PODS = [one for one in OBJECTS if one["kind"] in ("Deployment", "StatefulSet", "Pod")]
KUSTOMIZATIONS = sorted(FOLDER.rglob("kustomization.yaml"))


def named(one: Object) -> str:
    return f"{one['kind']} {one['metadata']['name']}"


def template(one: Object) -> Object:
    """The metadata and the spec of a pod."""
    found: Object = one if one["kind"] == "Pod" else one["spec"]["template"]
    return found


def spec(one: Object) -> Object:
    found: Object = template(one)["spec"]
    return found


def container(one: Object) -> Object:
    (only,) = spec(one)["containers"]
    found: Object = only
    return found


def objects(kind: str) -> dict[str, Object]:
    return {one["metadata"]["name"]: one for one in OBJECTS if one["kind"] == kind}


def test_every_part_has_its_manifest() -> None:
    assert {named(one) for one in PODS} == {
        "Deployment payment-processor", "Deployment relay", "Deployment wire",
        "Deployment witness", "StatefulSet postgres", "Pod swarm-master", "Pod swarm-worker",
    }  # fmt: skip


@pytest.mark.parametrize("one", PODS, ids=named)
def test_a_container_has_no_power_and_limits(one: Object) -> None:
    pod, only = spec(one), container(one)
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & pod.keys()
    assert pod["securityContext"] == {
        "runAsNonRoot": True, "runAsUser": 1000, "runAsGroup": 1000, "fsGroup": 1000,
        "seccompProfile": {"type": "RuntimeDefault"},
    }  # fmt: skip
    assert only["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    for kind in ("requests", "limits"):
        assert only["resources"][kind].keys() == {"cpu", "memory"}
    assert only["image"] == "onceproof"  # the overlay or the runner says which
    assert only["imagePullPolicy"] == "IfNotPresent"


@pytest.mark.parametrize("one", PODS, ids=named)
def test_what_a_container_writes_has_a_place_and_a_limit(one: Object) -> None:
    volumes = {volume["name"]: volume for volume in spec(one)["volumes"]}
    mounts = {mount["mountPath"]: mount["name"] for mount in container(one)["volumeMounts"]}
    assert "/tmp" in mounts
    assert set(mounts.values()) == volumes.keys()
    assert all(volume["emptyDir"]["sizeLimit"] for volume in volumes.values())
    line = " ".join([*container(one)["command"], *container(one).get("args", ())])
    for path in re.findall(r"[= ](/(?:records|data|tmp)\b)", line):
        assert path in mounts


@pytest.mark.parametrize("one", PODS, ids=named)
def test_the_parts_that_take_times_share_a_node(one: Object) -> None:
    labels = template(one)["metadata"]["labels"]
    if one["metadata"]["name"] in ("payment-processor", "relay"):
        assert not HARNESS.items() <= labels.items()
        return
    assert HARNESS.items() <= labels.items()
    (rule,) = spec(one)["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert rule == {"topologyKey": "kubernetes.io/hostname",
                    "labelSelector": {"matchLabels": HARNESS}}  # fmt: skip


@pytest.mark.parametrize("one", PODS, ids=named)
def test_the_grace_period_outlasts_the_pre_stop_and_the_drain(one: Object) -> None:
    sleep = container(one).get("lifecycle", {}).get("preStop", {}).get("sleep", {})
    drain = DRAIN_NOTICE_SECONDS + DRAIN_SECONDS + POOL_CLOSE_SECONDS
    needed = {"payment-processor": drain, "relay": POOL_CLOSE_SECONDS + 10}
    seconds = sleep.get("seconds", 0) + needed.get(one["metadata"]["name"], 5)
    assert spec(one)["terminationGracePeriodSeconds"] > seconds
    if one["metadata"]["name"] == "payment-processor":
        assert sleep["seconds"] >= 3


def test_the_service_is_as_promised() -> None:
    one = objects("Deployment")["payment-processor"]
    assert one["spec"]["replicas"] == 3
    assert one["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    only = container(one)
    assert only["resources"] == {"requests": {"cpu": "200m", "memory": "256Mi"},
                                 "limits": {"cpu": "500m", "memory": "512Mi"}}  # fmt: skip
    assert only["readinessProbe"]["httpGet"]["path"] == "/readyz"  # asks the database
    assert only["livenessProbe"]["httpGet"]["path"] == "/healthz"  # does not
    frozen = only["livenessProbe"]
    assert frozen["periodSeconds"] * frozen["failureThreshold"] >= 60
    (spread,) = spec(one)["topologySpreadConstraints"]
    assert spread["topologyKey"] == "kubernetes.io/hostname"
    scaler = objects("HorizontalPodAutoscaler")["payment-processor-hpa"]["spec"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (3, 15)
    assert scaler["metrics"][0]["resource"]["target"]["averageUtilization"] == 70
    assert not (FOLDER / "base" / "hpa.yaml").exists()  # a run's replicas are what it asks for


def references(node: object) -> Iterator[tuple[str, str, str]]:
    """(kind, name, key) of every value by reference."""
    if isinstance(node, dict):
        for kind in ("secretKeyRef", "configMapKeyRef"):
            if kind in node:
                yield kind, node[kind]["name"], node[kind]["key"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def test_no_secret_stands_in_a_file_but_the_example() -> None:
    assert not objects("Secret")
    assert not objects("ConfigMap")
    for one in PODS:
        for variable in container(one).get("env", ()):
            hidden = re.search(r"SECRET|PASSWORD|TOKEN|DATABASE", variable["name"])
            assert not (hidden and "value" in variable), variable
        words = " ".join([*container(one)["command"], *container(one).get("args", ())])
        assert not re.search(r"\$\((\w*(SECRET|PASSWORD|TOKEN)\w*)\)", words)
    makers = [path for path in KUSTOMIZATIONS if "secretGenerator" in path.read_text()]
    assert [path.parent.name for path in makers] == ["local"]


def test_every_reference_is_to_a_key_that_the_example_has() -> None:
    (local,) = documents(FOLDER / "overlays" / "local" / "kustomization.yaml")
    made = {
        kind: {literal.partition("=")[0] for literal in local[generator][0]["literals"]}
        for kind, generator in (("secretKeyRef", "secretGenerator"),
                                ("configMapKeyRef", "configMapGenerator"))
    }  # fmt: skip
    assert made == {"secretKeyRef": SECRET_KEYS, "configMapKeyRef": CONFIG_KEYS}
    (doks,) = documents(FOLDER / "overlays" / "doks" / "kustomization.yaml")
    given = {literal.partition("=")[0] for literal in doks["configMapGenerator"][0]["literals"]}
    assert given == CONFIG_KEYS
    used: dict[str, set[str]] = {"secretKeyRef": set(), "configMapKeyRef": set()}
    for kind, name, key in references(PODS):
        assert name == "onceproof"
        used[kind].add(key)
    assert used == made


def test_every_selector_finds_its_pods() -> None:
    pods = [template(one)["metadata"]["labels"] for one in PODS]
    for one in PODS:
        if one["kind"] != "Pod":
            wanted = one["spec"]["selector"]["matchLabels"]
            assert wanted.items() <= template(one)["metadata"]["labels"].items()
    for name, one in objects("Service").items():
        (found,) = [pod for pod in PODS
                    if one["spec"]["selector"].items()
                    <= template(pod)["metadata"]["labels"].items()]  # fmt: skip
        ports = {port["name"] for port in container(found)["ports"]}
        assert {port["targetPort"] for port in one["spec"]["ports"]} <= ports, name
    for name, one in objects("NetworkPolicy").items():
        chosen = one["spec"]["podSelector"].get("matchLabels", {})
        assert any(chosen.items() <= labels.items() for labels in pods), name
    for one in OBJECTS:
        assert one["metadata"]["labels"]["app.kubernetes.io/part-of"] == "onceproof", named(one)


def test_the_wire_is_reached_without_a_proxy_in_between() -> None:
    assert objects("Service")["wire"]["spec"]["clusterIP"] == "None"


def arrows(kind: str) -> set[tuple[str, str, int]]:
    """(policy, peer, port) of every rule for pods of the same namespace."""
    word = {"egress": "to", "ingress": "from"}[kind]
    return {
        (name, next(iter(peer["podSelector"]["matchLabels"].values())), port["port"])
        for name, one in objects("NetworkPolicy").items()
        for rule in one["spec"].get(kind, ())
        for peer in rule.get(word, ())
        for port in rule["ports"]
    }


def test_only_the_wire_reaches_the_database() -> None:
    out = arrows("egress")
    assert out == {
        ("payment-processor", "wire", 5432), ("payment-processor", "witness", 8080),
        ("relay", "wire", 5432), ("relay", "witness", 8080), ("wire", "postgres", 5432),
        ("swarm", "payment-processor", 3000), ("swarm", "swarm-master", 5557),
    }  # fmt: skip
    assert {(target, who, port) for who, target, port in out} == arrows("ingress")
    closed = objects("NetworkPolicy")["default-deny"]["spec"]
    assert closed["podSelector"] == {"matchLabels": {"app.kubernetes.io/part-of": "onceproof"}}
    for one in PODS:  # each of ours, and nobody else's
        assert template(one)["metadata"]["labels"]["app.kubernetes.io/part-of"] == "onceproof"
    assert closed["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in closed


@pytest.mark.parametrize("path", KUSTOMIZATIONS, ids=lambda path: path.parent.name)
def test_a_kustomization_names_every_file_beside_it(path: Path) -> None:
    (one,) = documents(path)
    here = {other.name for other in path.parent.glob("*.yaml")} - {path.name}
    patches = {patch["path"] for patch in one.get("patches", ()) if "path" in patch}
    assert here == {name for name in one["resources"] if name.endswith(".yaml")} | patches
    for name in one["resources"]:
        assert (path.parent / name).exists()
    if path.parent.name in ("local", "doks"):
        assert one["generatorOptions"] == {"disableNameSuffixHash": True}


@pytest.mark.parametrize("one", PODS, ids=named)
def test_every_command_is_understood(one: Object) -> None:
    python, flag, module, *rest = container(one)["command"]
    assert (python, flag) == ("python", "-m")
    if module == "service":
        assert rest in (["web"], ["relay"])
        return
    arguments = [*rest, *container(one).get("args", ())]
    if module == "cluster.wire":
        for patch in documents(FOLDER / "overlays" / "doks" / "wire-tls.yaml"):
            arguments += [step["value"] for step in patch]
    name = f"{module}.__main__" if (ROOT / module.replace(".", "/")).is_dir() else module
    command: click.Command = importlib.import_module(name).main
    values = {"$(KEYS)": "honours", "$(UPSTREAM)": "postgres:5432"}
    for key, value in values.items():
        arguments = [argument.replace(key, value) for argument in arguments]
    with command.make_context(module, arguments):
        pass


def test_the_load_balancer_asks_the_pods() -> None:
    one = objects("Service")["payment-processor-public"]
    prefix = "service.beta.kubernetes.io/do-loadbalancer-"
    given = {
        key.removeprefix(prefix): value for key, value in one["metadata"]["annotations"].items()
    }
    assert all(isinstance(value, str) for value in given.values())  # a number is refused
    assert given == {
        "type": "REGIONAL", "protocol": "http", "redirect-http-to-https": "false",
        "override-health-check": "true", "healthcheck-port": "80",
        "healthcheck-protocol": "http", "healthcheck-path": "/healthz",
        "healthcheck-check-interval-seconds": "15", "healthcheck-response-timeout-seconds": "5",
        "healthcheck-unhealthy-threshold": "3", "healthcheck-healthy-threshold": "2",
    }  # fmt: skip
    assert one["spec"]["externalTrafficPolicy"] == "Local"
    assert [str(port["port"]) for port in one["spec"]["ports"]] == [given["healthcheck-port"]]


def test_the_namespace_says_that_it_may_be_shaken() -> None:
    labels = objects("Namespace")["onceproof"]["metadata"]["labels"]
    assert labels["onceproof.dev/chaos"] == "enabled"
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_the_image_takes_what_the_package_has_and_runs_as_nobody_special() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    code = [line for line in lines if line and not line.startswith("#")]
    assert code[0] == "ARG BASE_IMAGE=python:3.13-slim"
    assert [line for line in code if line.startswith("FROM")] == [
        "FROM ${BASE_IMAGE} AS build", "FROM ${BASE_IMAGE}",
    ]  # fmt: skip
    assert "USER 1000:1000" in code
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    allowed = (ROOT / ".dockerignore").read_text().splitlines()
    assert {f"!{name}" for name in (*packages, "pyproject.toml", "constraints.txt")} <= set(allowed)
    assert "*" in allowed  # all else stays out, secrets that lie about included
