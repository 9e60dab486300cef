"""A Deployment of the user's, read and redirected and given back, on a played API server."""

import base64
import copy
import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from cluster.journal import Journal, read_journal
from cluster.kube.changes import Changes, left_changed
from cluster.kube.gateway import Gateway
from cluster.kube.kinds import path_of
from cluster.kube.manifests import RUN
from cluster.kube.theirs import BEFORE, OURS, REDIRECTED, UNDO, Theirs, find, give_back, redirect
from results.errors import ConfigError
from scenarios import Scenario
from scenarios.engine.config import OWN_CONFIG, KubernetesTable, load_config
from scenarios.engine.plan import RunPlan
from scenarios.engine.pod_theirs import find_theirs, settings_file
from tests.cluster.kube.fake_api import NAMESPACE, FakeApi

PASSWORD = "hunter2"
PLAIN = [{"name": "A", "value": "1"}, {"name": "DSN", "value": f"postgresql://u:{PASSWORD}@db/x"},
         {"name": "KEY", "value": "signs"}]  # fmt: skip
REFERRED = [{"name": "DSN", "valueFrom": {"secretKeyRef": {"name": "theirs", "key": "url"}}},
            {"name": "KEY", "valueFrom": {"configMapKeyRef": {"name": "plain", "key": "key"}}},
            {"name": "SHIP", "value": "http://witness:8080/shipments"}]  # fmt: skip
WHOLE = [{"secretRef": {"name": "theirs"}, "prefix": "MY_"}]


def put(api: FakeApi, env: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """The Deployment and what its variables refer to; the Deployment as it stands."""
    held = {
        key: base64.b64encode(value.encode()).decode()
        for key, value in {"url": f"postgresql://u:{PASSWORD}@db/x", "key": "signs"}.items()
    }
    api.put("Secret", {"kind": "Secret", "metadata": {"name": "theirs"}, "data": held})
    api.put("ConfigMap", {"metadata": {"name": "plain"}, "data": {"key": "signs"}})
    container = {"name": "web", **({"env": env} if env else {}), **more}
    return api.put("Deployment", {
        "kind": "Deployment", "metadata": {"name": "shop"},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "shop"}},
                 "template": {"metadata": {"labels": {"app": "shop"}},
                              "spec": {"containers": [{"name": "sidecar"}, container]}}},
    })  # fmt: skip


async def found(gateway: Gateway, database: str = "DSN", secret: str = "KEY") -> Theirs:
    return await find(
        gateway, "shop", container="web", url="http://shop", database_from=database,
        secret_from=secret, provider_from="SHIP",
    )  # fmt: skip


def now(api: FakeApi) -> dict[str, Any]:
    one = copy.deepcopy(api.objects[path_of("Deployment", NAMESPACE, "shop")])
    one["metadata"].pop("resourceVersion")
    if not one["metadata"].get("annotations", True):
        del one["metadata"]["annotations"]  # as a server does
    return one


@pytest.mark.parametrize(
    ("env", "more", "names"),
    [
        (PLAIN, {}, ("DSN", "KEY")),
        (REFERRED, {}, ("DSN", "KEY")),
        ([{"name": "KEY", "value": "signs"}], {"envFrom": WHOLE}, ("MY_url", "KEY")),
        ([], {"envFrom": WHOLE}, ("MY_url", "MY_key")),
    ],
    ids=["by value", "by reference", "from a whole Secret", "nothing by name"],
)
async def test_one_variable_leads_to_our_database_and_back(
    api: FakeApi, gateway: Gateway, journal: Journal, env: list[dict[str, Any]],
    more: dict[str, Any], names: tuple[str, str],
) -> None:  # fmt: skip
    put(api, env, **more)
    before = now(api)
    theirs = await found(gateway, *names)
    assert theirs.secret == "signs"
    assert bool(theirs.provider) == (env is REFERRED)
    changes = Changes(gateway, journal)

    changes.intend("Deployment", "shop", REDIRECTED, undo=UNDO)
    await redirect(gateway, theirs)

    container = now(api)["spec"]["template"]["spec"]["containers"][1]
    assert {"name": names[0], "valueFrom": OURS} in container["env"]
    others = [one for one in container["env"] if one["name"] != names[0]]
    assert others == [one for one in env if one["name"] != names[0]]
    with pytest.raises(ConfigError, match="onceproof heal"):
        await found(gateway, *names)  # no second run takes it
    assert PASSWORD not in journal.path.read_text()
    (left,) = left_changed(read_journal(journal.path))
    assert left.of == ("Deployment", "shop", REDIRECTED)

    await changes.restore_all()
    await give_back(gateway, "shop")  # a second time does no harm

    after = now(api)
    assert after["spec"]["template"]["spec"]["containers"][1].get("env", []) == env
    for one in (before, after):
        one["spec"]["template"]["spec"]["containers"][1].pop("env", None)
    assert after == before
    assert left_changed(read_journal(journal.path)) == []


def file_of(source: dict[str, Any], held: dict[str, Any], api: FakeApi) -> dict[str, Any]:
    """The Deployment with a volume `settings` from a source, which is there."""
    kind = "ConfigMap" if "configMap" in source else "Secret"
    api.put(kind, {"kind": kind, "metadata": {"name": "files"}, **held})
    one = put(api, [PLAIN[2]])
    one["spec"]["template"]["spec"]["volumes"] = [{"name": "other"}, {"name": "settings", **source}]
    return one


async def with_file(gateway: Gateway, settings: str = "settings/app.toml") -> Theirs:
    return await find(
        gateway, "shop", container="web", url="http://shop", database_from="", secret_from="KEY",
        provider_from="", settings=settings,
    )  # fmt: skip


AS_BASE64 = {"app.toml": base64.b64encode(b"old").decode(), "b": base64.b64encode(b"x").decode()}
ITEMS = [{"key": "app.toml", "path": "conf/app.toml"}]


@pytest.mark.parametrize(
    ("source", "held"),
    [
        ({"configMap": {"name": "files"}}, {"data": {"app.toml": "old", "b": "x"}}),
        ({"secret": {"secretName": "files", "items": ITEMS, "defaultMode": 256}},
         {"data": AS_BASE64}),
    ],
)  # fmt: skip
async def test_a_volume_leads_to_our_settings_file_and_back(
    api: FakeApi, gateway: Gateway, source: dict[str, Any], held: dict[str, Any]
) -> None:
    file_of(source, held, api)
    before = now(api)
    theirs = await with_file(gateway)
    assert theirs.settings is not None
    made = theirs.settings.secret("new", NAMESPACE, "r1")
    assert made["metadata"]["labels"][RUN] == "r1"
    assert made["data"] == {**AS_BASE64, "app.toml": base64.b64encode(b"new").decode()}

    await redirect(gateway, theirs)

    other, volume = now(api)["spec"]["template"]["spec"]["volumes"]
    assert other == {"name": "other"}
    assert volume["name"] == "settings"
    assert volume["secret"]["secretName"] == made["metadata"]["name"]
    kept = source.get("secret", {})
    assert volume["secret"].get("items") == kept.get("items")
    assert volume["secret"].get("defaultMode") == kept.get("defaultMode")
    assert now(api)["spec"]["template"]["spec"]["containers"][1]["env"] == [PLAIN[2]]

    await give_back(gateway, "shop")

    assert now(api) == before


@pytest.mark.parametrize(
    ("service", "kubernetes", "words"),
    [
        ({"settings": "app.j2"}, {}, "kubernetes.settings: expected VOLUME/FILE"),
        ({}, {"settings": "settings/app.toml"}, "both, or neither"),
        ({"database_from": None}, {}, "service.database_from"),
    ],
)
async def test_a_settings_file_is_described_in_two_places(
    gateway: Gateway, service: dict[str, Any], kubernetes: dict[str, Any], words: str
) -> None:
    own = load_config(OWN_CONFIG)
    config = replace(
        own, service=replace(own.service, **service),
        kubernetes=KubernetesTable(deployment="shop", url="http://shop", **kubernetes),
    )  # fmt: skip
    with pytest.raises(ConfigError, match=words):
        await find_theirs(config, gateway)


async def test_the_file_leads_to_the_runs_database(
    api: FakeApi, gateway: Gateway, tmp_path: Path
) -> None:
    file_of({"configMap": {"name": "files"}}, {"data": {"app.toml": "old"}}, api)
    (tmp_path / "app.j2").write_text("{{ database_host }} {{ port }} {{ secret }} {{ strategy }}")
    own = load_config(OWN_CONFIG)
    config = replace(own, folder=tmp_path, service=replace(own.service, settings="app.j2"))
    plan = RunPlan(
        name="t", scenario=Scenario(title="t"), config=config, strategy="article",
        provider="honours", seed=1, runs=tmp_path,
    )  # fmt: skip
    theirs = await with_file(gateway)

    (secret,) = settings_file(plan, theirs, "postgresql://u:p@wire:5432/x", NAMESPACE, "r1")

    assert base64.b64decode(secret["data"]["app.toml"]) == b"wire 80 signs article"
    assert settings_file(plan, await found_plain(api, gateway), "x", NAMESPACE, "r1") == []


async def found_plain(api: FakeApi, gateway: Gateway) -> Theirs:
    put(api, PLAIN)
    return await found(gateway)


async def test_a_volume_that_somebody_else_has_set_since_stays(
    api: FakeApi, gateway: Gateway
) -> None:
    file_of({"configMap": {"name": "files"}}, {"data": {"app.toml": "old"}}, api)
    await redirect(gateway, await with_file(gateway))
    changed = api.objects[path_of("Deployment", NAMESPACE, "shop")]
    theirs = {"name": "settings", "configMap": {"name": "newer"}}
    changed["spec"]["template"]["spec"]["volumes"][1] = theirs

    await give_back(gateway, "shop")

    assert now(api)["spec"]["template"]["spec"]["volumes"][1] == theirs
    assert BEFORE not in json.dumps(now(api))


@pytest.mark.parametrize(
    ("source", "settings", "words"),
    [
        ({"configMap": {"name": "files"}}, "settings/else", "holds app.toml, and no 'else'"),
        ({"configMap": {"name": "files"}}, "nothing/app.toml", "has no volume 'nothing'"),
        ({"emptyDir": {}}, "settings/app.toml", "one ConfigMap or one Secret"),
        ({"configMap": {"name": "files"}}, "settings", "and no ''"),
    ],
)
async def test_a_file_that_is_not_there_is_told(
    api: FakeApi, gateway: Gateway, source: dict[str, Any], settings: str, words: str
) -> None:
    file_of(source, {"data": {"app.toml": "old"}}, api)
    with pytest.raises(ConfigError, match=words):
        await with_file(gateway, settings)


async def test_what_somebody_else_has_set_since_stays(api: FakeApi, gateway: Gateway) -> None:
    put(api, PLAIN)
    await redirect(gateway, await found(gateway))
    changed = api.objects[path_of("Deployment", NAMESPACE, "shop")]
    changed["spec"]["template"]["spec"]["containers"][1]["env"][1] = {"name": "DSN", "value": "x"}

    await give_back(gateway, "shop")

    env = now(api)["spec"]["template"]["spec"]["containers"][1]["env"]
    assert env[1] == {"name": "DSN", "value": "x"}
    assert BEFORE not in json.dumps(now(api))


async def test_a_change_in_between_is_not_overwritten(api: FakeApi, gateway: Gateway) -> None:
    put(api, PLAIN)
    theirs = await found(gateway)
    api.moody("PATCH", "/shop", 422)

    await redirect(gateway, theirs)

    assert api.asked("PATCH", "/shop") == 2
    assert api.asked("GET", "/shop") == 3  # read anew before the second one


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda one: one["metadata"].update(name="other"), "is not there"),
        (lambda one: one["spec"]["selector"].update(matchExpressions=[{}]), "matchExpressions"),
        (lambda one: one["spec"]["template"]["spec"]["containers"][1].update(name="x"),
         "the containers sidecar, x"),
        (lambda one: one["spec"]["template"]["spec"]["containers"][1]["env"].pop(1),
         "no variable DSN"),
        (lambda one: one["spec"]["template"]["spec"]["containers"][1]["env"].pop(2),
         "no variable KEY"),
    ],
)  # fmt: skip
async def test_an_unfit_one_is_refused_before_anything_is_changed(
    api: FakeApi, gateway: Gateway, change: Any, words: str
) -> None:
    one = put(api, copy.deepcopy(PLAIN))
    api.objects.clear()
    change(one)
    api.put("Deployment", one)

    with pytest.raises(ConfigError, match=words):
        await found(gateway)
    assert not api.patched


def test_pods_are_seen_with_our_marks_and_others_not_at_all() -> None:
    theirs = Theirs(
        deployment="shop", container="web", variable="DSN", url="http://shop", replicas=2,
        selector={"app": "shop"}, secret="signs", provider="",
    )  # fmt: skip
    see = theirs.seen("r1")
    pod = {"metadata": {"name": "shop-1-a", "labels": {"app": "shop", "x": "y"}}, "spec": {}}

    seen = see(pod)

    assert seen is not None
    assert seen["metadata"]["labels"]["onceproof.dev/role"] == "web"
    assert seen["metadata"]["annotations"] == {"onceproof.dev/container": "web"}
    assert "onceproof.dev/role" not in pod["metadata"]["labels"]  # type: ignore[operator]
    assert see({"metadata": {"name": "b", "labels": {"app": "other"}}}) is None
    ours = {"metadata": {"name": "wire-1", "labels": {"onceproof.dev/run": "r1"}}}
    assert see(ours) is ours
