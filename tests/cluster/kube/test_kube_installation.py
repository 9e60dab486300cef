"""What a run puts into a namespace, what it refuses to touch, and how all of it goes."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from cluster import heal as heal_module
from cluster.journal import Journal, read_journal
from cluster.kube import heal as kube_heal
from cluster.kube import manifests
from cluster.kube.gateway import ApiError, Gateway
from cluster.kube.installation import Installation, remove_run
from cluster.kube.kinds import path_of
from results.errors import ClusterError, ConfigError
from results.footprint import Deployed, Undeployed
from tests.cluster.kube.conftest import Pod
from tests.cluster.kube.fake_api import NAMESPACE, FakeApi

CHAOS = {"onceproof.dev/chaos": "enabled"}
OURS = {"onceproof.dev/run": "r1"}


def namespace(api: FakeApi, labels: dict[str, str] | None = None) -> dict[str, Any]:
    labels = CHAOS if labels is None else labels
    return api.put("Namespace", {"metadata": {"name": NAMESPACE, "labels": labels}})


def config_map(name: str, labels: dict[str, str]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": labels}}


def kinds(journal: Journal) -> list[type]:
    return [type(record) for record in read_journal(journal.path)]


@pytest.mark.parametrize("name", ["default", "kube-system", "kube-anything"])
async def test_reserved_namespaces_are_refused(api: FakeApi, journal: Journal, name: str) -> None:
    async with api.gateway(name) as gateway:
        with pytest.raises(ConfigError, match=f"{name} is never used"):
            await Installation(gateway, "r1", journal).claim()
    assert not api.calls
    assert not kinds(journal)


@pytest.mark.parametrize("labels", [{}, {"onceproof.dev/chaos": "disabled"}])
async def test_a_namespace_that_does_not_say_so_is_refused(
    api: FakeApi, gateway: Gateway, journal: Journal, labels: dict[str, str]
) -> None:
    namespace(api, labels)
    with pytest.raises(ConfigError, match=f"kubectl label namespace {NAMESPACE}"):
        await Installation(gateway, "r1", journal).claim()
    assert not kinds(journal)


async def test_a_namespace_that_is_being_deleted_is_refused(
    api: FakeApi, gateway: Gateway, journal: Journal
) -> None:
    namespace(api)["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    with pytest.raises(ConfigError, match="is being deleted"):
        await Installation(gateway, "r1", journal).claim()


async def test_the_lease_keeps_a_second_run_out(
    api: FakeApi, gateway: Gateway, journal: Journal
) -> None:
    namespace(api)
    await Installation(gateway, "r1", journal).claim()
    with pytest.raises(ClusterError, match=r"Another run \(r1\) works in the namespace"):
        await Installation(gateway, "r2", journal).claim()
    lease = await gateway.get("Lease", "onceproof")
    assert lease is not None
    assert lease["spec"]["holderIdentity"] == "r1"


async def test_a_namespace_that_is_made_is_deleted_again(
    api: FakeApi, gateway: Gateway, journal: Journal
) -> None:
    installation = Installation(gateway, "r1", journal)
    await installation.claim()
    made = await gateway.get("Namespace", NAMESPACE)
    assert made is not None
    assert made["metadata"]["labels"] == CHAOS | OURS | {"app.kubernetes.io/part-of": "onceproof"}
    await installation.remove()
    assert not api.objects
    assert kinds(journal) == [Deployed, Undeployed]


async def test_a_namespace_that_was_there_stays(
    api: FakeApi, gateway: Gateway, journal: Journal
) -> None:
    namespace(api)
    api.put("ConfigMap", config_map("decoy", {"onceproof.dev/run": "r2"}))
    before = dict(api.objects)
    installation = Installation(gateway, "r1", journal)
    await installation.claim()
    await installation.apply([config_map("onceproof", OURS)])
    await installation.remove()
    assert api.objects == before


async def test_a_namespace_that_somebody_else_makes_at_once_is_not_deleted(
    api: FakeApi, gateway: Gateway, journal: Journal
) -> None:
    api.moody("GET", f"/namespaces/{NAMESPACE}", 404)  # it was not there when we looked
    theirs = namespace(api)
    with pytest.raises(ApiError, match="already exists"):
        await Installation(gateway, "r1", journal).claim()
    assert api.objects == {path_of("Namespace", "", NAMESPACE): theirs}
    assert kinds(journal) == [Deployed, Undeployed]


async def test_a_namespace_made_anew_since_is_not_healed_away(
    api: FakeApi, gateway: Gateway
) -> None:
    theirs = namespace(api)
    assert await remove_run(gateway, "r1", made_namespace=True) == []
    assert api.objects == {path_of("Namespace", "", NAMESPACE): theirs}


async def test_what_cannot_be_removed_after_a_failed_claim_stays_in_the_journal(
    api: FakeApi, gateway: Gateway, journal: Journal
) -> None:
    namespace(api)
    api.moody("POST", "/leases", 403)
    api.moody("GET", "/deployments", 403)
    with pytest.raises(ApiError, match=r"POST .*/leases: 403"):
        await Installation(gateway, "r1", journal).claim()
    assert kinds(journal) == [Deployed]


async def test_objects_of_another_owner_are_not_replaced(
    api: FakeApi, gateway: Gateway, journal: Journal
) -> None:
    namespace(api)
    api.put("ConfigMap", config_map("theirs", {"onceproof.dev/run": "r2"}))
    api.put("ConfigMap", config_map("nobodys", {}))
    installation = Installation(gateway, "r1", journal)
    wanted = [config_map(name, OURS) for name in ("theirs", "nobodys", "mine")]
    with pytest.raises(ConfigError, match="ConfigMap theirs, ConfigMap nobodys already"):
        await installation.apply(wanted)
    assert await gateway.get("ConfigMap", "mine") is None
    api.put("ConfigMap", config_map("mine", OURS))
    await installation.apply([config_map("mine", OURS)])  # our own may be applied again


async def test_a_failed_object_leaves_no_other_on_its_way(
    api: FakeApi, gateway: Gateway, journal: Journal
) -> None:
    namespace(api)
    api.moody("PATCH", "/configmaps/first", 422)
    api.moody("PATCH", "/configmaps/second", (429, {"Retry-After": "1"}))
    with pytest.raises(ApiError, match="422"):
        await Installation(gateway, "r1", journal).apply(
            [config_map("first", OURS), config_map("second", OURS)]
        )
    assert await gateway.get("ConfigMap", "second") is not None  # it had come to its end


async def test_a_pod_made_in_the_last_moment_goes_too(
    api: FakeApi, gateway: Gateway, pod: Pod
) -> None:
    namespace(api)
    api.put("Deployment", {"metadata": {"name": "web", "labels": OURS}})
    for name in ("web-1", "web-2"):
        api.put("Pod", pod(name))
    api.put("Pod", pod("another's") | {"metadata": {"name": "another's", "labels": {}}})
    late = [pod("web-3"), pod("web-4")]

    def controller(path: str) -> None:
        if "/pods/web" in path and late:
            api.put("Pod", late.pop())

    api.on_delete = controller
    removed = await remove_run(gateway, "r1", made_namespace=False)
    pods = [name for name in removed if name.startswith("Pod ")]
    assert sorted(pods) == ["Pod web-1", "Pod web-2", "Pod web-3", "Pod web-4"]
    left = {path.rpartition("/")[2] for path in api.objects}
    assert left == {NAMESPACE, "another's"}
    assert {
        options.get("gracePeriodSeconds") for path, options in api.deleted if "/pods/" in path
    } == {1}


async def test_every_kind_that_ships_is_removed_by_its_label(
    api: FakeApi, gateway: Gateway
) -> None:
    for folder in ("base", "swarm", "hpa"):
        shipped = (
            one
            for one in manifests.load(manifests.FOLDER / folder)
            if one["kind"] not in ("Namespace", "Kustomization")
        )
        for manifest in manifests.for_run(
            shipped, namespace=NAMESPACE, run="r1", image="image", replicas=3
        ):
            api.put(manifest["kind"], manifest)
    for manifest in manifests.settings(NAMESPACE, "r1", {}, {}):
        api.put(manifest["kind"], manifest)
    assert len(api.objects) > 10
    await remove_run(gateway, "r1", made_namespace=False)
    assert not api.objects


@pytest.mark.parametrize("what", ["object", "namespace"])
async def test_what_is_stuck_in_terminating_is_said(
    api: FakeApi, gateway: Gateway, what: str
) -> None:
    if what == "namespace":
        namespace(api, CHAOS | OURS)
        api.finalized.add(path_of("Namespace", "", NAMESPACE))
    else:
        api.put("Service", {"metadata": {"name": "web", "labels": OURS}})
        api.finalized.add(path_of("Service", NAMESPACE, "web"))
    with pytest.raises(ClusterError, match=r"did not go within .*a finalizer"):
        await remove_run(gateway, "r1", made_namespace=True)


def test_manifests_of_a_run() -> None:
    shipped = manifests.load(manifests.FOLDER / "base")
    before = repr(shipped)
    own = list(
        manifests.for_run(shipped, namespace="n", run="r1", image="registry/image:1", replicas=7)
    )
    assert repr(shipped) == before
    for manifest in own:
        assert manifest["metadata"]["namespace"] == "n"
        assert manifest["metadata"]["labels"]["onceproof.dev/run"] == "r1"
        template = manifest.get("spec", {}).get("template")
        if template is None:
            continue
        assert template["metadata"]["labels"]["onceproof.dev/run"] == "r1"
        images = {one["image"] for one in template["spec"]["containers"]}
        assert images == {"registry/image:1"}
        # A selector cannot be changed afterwards, and must not tell runs apart.
        assert "onceproof.dev/run" not in str(manifest["spec"]["selector"])
    replicas = {one["metadata"]["name"]: one["spec"].get("replicas") for one in own
                if one["kind"] == "Deployment"}  # fmt: skip
    assert replicas["payment-processor"] == 7
    assert replicas["wire"] == 1


# ---------------------------------------------------------------------- heal


def deployed(journal: Journal, run: str, context: str = "fake", *, made: bool = False) -> None:
    journal.append(
        Deployed(context=context, namespace=NAMESPACE, run=run, made_namespace=made, at_ns=1)
    )


async def test_what_was_deployed_and_not_removed_is_healed(
    api: FakeApi, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def found(context: str | None) -> Any:
        assert context == "fake"
        return api.access

    monkeypatch.setattr("cluster.kube.gateway.find_access", found)
    namespace(api)
    api.put("ConfigMap", config_map("one", OURS))
    api.put("ConfigMap", config_map("two", {"onceproof.dev/run": "r2"}))
    deployed(journal, "r2")
    journal.append(Undeployed(run="r2", at_ns=2))
    deployed(journal, "r1")
    report = await heal_module.heal(journal.path.parent.parent, run=None)
    assert report.removed == [f"ConfigMap one (namespace {NAMESPACE} of fake)"]
    assert report.healed
    left = {path.rpartition("/")[2] for path in api.objects}
    assert left == {NAMESPACE, "two"}  # what is said to have gone is not looked for
    api.calls.clear()
    again = await heal_module.heal(journal.path.parent.parent, run=None)
    assert (again.removed, again.wrong, api.calls) == ([], [], [])


@pytest.mark.parametrize("config", ["unknown context", "none", "broken", "certificate"])
async def test_a_cluster_that_is_not_found_is_reported_and_nothing_raised(
    api: FakeApi, journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: str
) -> None:
    file = tmp_path / "kubeconfig"
    texts = {
        "unknown context": kubeconfig("https://127.0.0.1:1", context="another"),
        "none": None,
        "broken": "clusters: {a: [}",
        "certificate": kubeconfig("https://127.0.0.1:1", authority="bm8gY2VydGlmaWNhdGU="),
    }
    if text := texts[config]:
        file.write_text(text)
    monkeypatch.setenv("KUBECONFIG", str(file))
    deployed(journal, "r1")
    report = await heal_module.heal(journal.path.parent.parent, run=None)
    assert not report.healed
    (wrong,) = report.wrong
    assert f"objects of run r1 in namespace {NAMESPACE} of fake" in wrong
    assert kinds(journal) == [Deployed]  # so that another heal tries again


async def test_a_cluster_that_does_not_answer_is_reported(
    api: FakeApi, journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cluster.kube.gateway.CALL_SECONDS", 0.3)
    file = tmp_path / "kubeconfig"
    file.write_text(kubeconfig("http://127.0.0.1:1"))
    monkeypatch.setenv("KUBECONFIG", str(file))
    deployed(journal, "r1")
    removed, wrong = await kube_heal.remove_left_behind(
        kube_heal.left_behind(read_journal(journal.path))[0], journal
    )
    assert removed == []
    assert "did not answer GET /version" in wrong


def kubeconfig(server: str, context: str = "fake", authority: str = "") -> str:
    data = f", certificate-authority-data: {authority}" if authority else ""
    return (
        f"apiVersion: v1\nkind: Config\ncurrent-context: {context}\n"
        f"clusters: [{{name: c, cluster: {{server: '{server}'{data}}}}}]\n"
        f"contexts: [{{name: {context}, context: {{cluster: c, user: u}}}}]\n"
        "users: [{name: u, user: {}}]\n"
    )


async def test_removals_of_two_runs_do_not_meet(api: FakeApi, gateway: Gateway) -> None:
    for run in ("r1", "r2"):
        for number in range(3):
            api.put(
                "ConfigMap", config_map(f"{run}-{number}", {"onceproof.dev/run": run})
            )  # fmt: skip
    removed = await asyncio.gather(
        *(remove_run(gateway, run, made_namespace=False) for run in ("r1", "r2"))
    )
    assert [len(names) for names in removed] == [3, 3]
