"""What a scenario file may not say, and the sentence that it gets for it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cluster import faults
from results.errors import ClusterError, ConfigError
from scenarios import (
    Autoscale,
    Blind,
    Burst,
    ClockSkew,
    Crash,
    InTransaction,
    Mix,
    Rush,
    Scale,
    Scenario,
    Traffic,
)
from scenarios.engine.catalog import load_scenario, shipped
from scenarios.engine.config import OWN_CONFIG, KubernetesTable, load_config
from scenarios.engine.plan import ClusterTarget, RunPlan, fault_name, refuse_impossible


def only_in_clusters(name: str) -> bool:
    return load_scenario(name)[1].only_in_clusters


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: Traffic(orders=0), "Traffic.orders"),
        (lambda: Traffic(per_second=0), "Traffic.per_second"),
        (lambda: Traffic(create="befor"), "before"),
        (lambda: Burst(copies=0), "Burst.copies"),
        (lambda: Burst(ids="distnct"), "distinct"),
        (lambda: InTransaction("comit-dropped"), "commit-dropped"),
        (lambda: Scenario(title="t", replicas=0), "Scenario.replicas"),
        (lambda: Scenario(title="t", faults=[Crash(at=Blind(), times=0)]), "Crash.times"),
        (lambda: Mix(forged=1.5), "--forged"),
        (lambda: ClockSkew(seconds=9), "ClockSkew.seconds"),
        (lambda: Scale(to=0), "Scale.to"),
        (lambda: Autoscale(most=1), "Autoscale.most"),
        (lambda: Autoscale(cpu_percent=0), "Autoscale.cpu_percent"),
        (lambda: Autoscale(calm_seconds=-1), "Autoscale.calm_seconds"),
        (lambda: Rush(seconds=-1), "--rush-seconds"),
        (lambda: Rush(per_second=0), "--rush-rate"),
    ],
)
def test_an_impossible_value_is_named(make: Callable[[], Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        make()


@pytest.mark.parametrize("name", shipped())
def test_what_ships_can_be_loaded_and_its_faults_have_names(name: str) -> None:
    _, scenario = load_scenario(name)
    assert scenario.title
    for fault in scenario.faults:
        assert ":" in fault_name(fault)


@pytest.mark.parametrize(
    ("name", "kind"), [("oom_in_transaction", "oom"), ("clock_skew", "clock-skew")]
)
def test_a_fault_that_this_machine_cannot_have_is_refused_before_anything_starts(
    name: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(faults.NEEDS, kind, lambda: (False, "it takes a miracle"))
    plan = RunPlan(
        name=name, scenario=load_scenario(name)[1], config=load_config(OWN_CONFIG),
        strategy="insert_first", provider="honours", seed=1, runs=tmp_path / "runs",
    )  # fmt: skip
    with pytest.raises(ClusterError, match=f"{kind}: unavailable: it takes a miracle"):
        refuse_impossible(plan)
    assert not plan.runs.exists()


@pytest.mark.parametrize("name", [name for name in shipped() if only_in_clusters(name)])
def test_a_fault_of_clusters_is_refused_on_processes_before_anything_starts(
    name: str, tmp_path: Path
) -> None:
    plan = RunPlan(
        name=name, scenario=load_scenario(name)[1], config=load_config(OWN_CONFIG),
        strategy="insert_first", provider="honours", seed=1, runs=tmp_path / "runs",
    )  # fmt: skip
    with pytest.raises(ConfigError, match=f": only on Kubernetes.*run {name} --on kubernetes"):
        refuse_impossible(plan)
    assert not plan.runs.exists()


@pytest.mark.parametrize("commands", [{}, {"node_down": "off {node}"}, {"node_up": "on {node}"}])
def test_a_node_goes_down_only_by_commands_that_the_user_gives(
    commands: dict[str, str], tmp_path: Path
) -> None:
    target = ClusterTarget(context=None, namespace="chaos", image="image", **commands)
    plan = RunPlan(
        name="node_lost", scenario=load_scenario("node_lost")[1], config=load_config(OWN_CONFIG),
        strategy="insert_first", provider="honours", seed=1, runs=tmp_path, cluster=target,
    )  # fmt: skip
    with pytest.raises(ConfigError, match="--node-down COMMAND --node-up COMMAND"):
        refuse_impossible(plan)
    both = replace(target, node_down="off {node}", node_up="on {node}")
    refuse_impossible(replace(plan, cluster=both))


def test_of_a_deployment_of_the_users_neither_replicas_nor_secrets_are_changed(
    tmp_path: Path,
) -> None:
    target = ClusterTarget(context=None, namespace="chaos", image="image")
    theirs = KubernetesTable(deployment="shop", url="http://shop:3000")
    config = msgspec.structs.replace(load_config(OWN_CONFIG), kubernetes=theirs)
    for name, words in (
        ("autoscaled", "brings an autoscaler.*Run scaled_under_load"),
        ("secret_rotation", "changes the secret"),
    ):
        plan = RunPlan(
            name=name, scenario=load_scenario(name)[1], config=config, strategy="insert_first",
            provider="honours", seed=1, runs=tmp_path, cluster=target,
        )  # fmt: skip
        with pytest.raises(ConfigError, match=words):
            refuse_impossible(plan)
        refuse_impossible(replace(plan, config=load_config(OWN_CONFIG)))
