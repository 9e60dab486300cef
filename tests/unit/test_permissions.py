"""The table of permissions, without a cluster: what a Role holds, and how a refusal reads."""

import asyncio
from typing import cast

import pytest

from cluster.kube.capacity import quantity, rooms
from cluster.kube.gateway import ApiError, Gateway
from cluster.kube.permissions import needed, refusal, require_permitted, roles
from results.errors import ClusterError


class FakeGateway:
    """Allows all but the verbs that it is told."""

    namespace = "chaos"

    def __init__(self, denied: set[tuple[str, str]], *, there: bool = True) -> None:
        self.denied, self.there = denied, there

    async def get(self, kind: str, _name: str) -> dict[str, str] | None:
        if ("get", "namespaces") in self.denied:
            raise ApiError("refused", 403)
        return {"kind": kind} if self.there else None

    async def allowed(
        self, verb: str, resource: str, *, group: str, subresource: str, everywhere: bool
    ) -> bool:
        del group, everywhere
        return (verb, f"{resource}/{subresource}".rstrip("/")) not in self.denied


def required(denied: set[tuple[str, str]], faults: set[str], *, there: bool = True) -> None:
    gateway = cast("Gateway", FakeGateway(denied, there=there))
    asyncio.run(require_permitted(gateway, faults, "distinct_ids"))


@pytest.mark.parametrize("one", needed({"crash"}, make_namespace=False), ids=lambda one: one.words)
def test_a_verb_that_is_missing_is_named_before_anything_is_made(one: object) -> None:
    verb, resource = one.verb, one.resource  # type: ignore[attr-defined]
    with pytest.raises(ClusterError) as caught:
        required({(verb, resource)}, {"crash"})

    assert one.words in str(caught.value)  # type: ignore[attr-defined]
    assert "onceproof rbac distinct_ids --namespace chaos" in str(caught.value)


def test_what_is_not_needed_is_not_asked_for() -> None:
    required({("patch", "pods/ephemeralcontainers"), ("list", "events")}, {"graceful"})
    required({("create", "namespaces")}, {"crash"})
    with pytest.raises(ClusterError, match=r"create namespaces \(everywhere\).*--make-namespace"):
        required({("create", "namespaces")}, {"crash"}, there=False)


def test_a_role_holds_each_verb_that_is_asked_and_no_other() -> None:
    for make in (False, True):
        role = roles({"crash"}, "chaos", make_namespace=make)[1]
        held = {
            (verb, resource, group)
            for rule in role["rules"]
            for verb in rule["verbs"]
            for resource in rule["resources"]
            for group in rule["apiGroups"]
        }
        asked = needed({"crash"}, make_namespace=make)
        assert held == {(one.verb, one.resource, one.group) for one in asked}
        assert role["kind"] == ("ClusterRole" if make else "Role")


def test_a_refusal_is_one_sentence_and_what_to_do() -> None:
    words = refusal("chaos", needed(set(), make_namespace=False)[:1], "soak", there=True)
    assert words.startswith("In the namespace chaos you may not: get namespaces.")


def test_room_is_what_a_node_offers_less_what_its_pods_ask_for() -> None:
    assert [quantity(text) for text in ("200m", "256Mi", "4", "1k")] == [0.2, 2.0**28, 4, 1000]
    node = {
        "metadata": {"name": "a"}, "spec": {},
        "status": {"conditions": [{"type": "Ready", "status": "True"}],
                   "allocatable": {"cpu": "2", "memory": "1Gi"}},
    }  # fmt: skip
    asks = {"resources": {"requests": {"cpu": "500m", "memory": "256Mi"}}}
    pod = {"spec": {"nodeName": "a", "containers": [asks]}, "status": {"phase": "Running"}}
    ended = {**pod, "status": {"phase": "Succeeded"}}

    assert rooms([node], [pod, ended]) == {"a": (1.5, 0.75 * 2**30)}
    assert rooms([{**node, "spec": {"unschedulable": True}}], []) == {}
