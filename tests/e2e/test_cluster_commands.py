"""The commands about a cluster where there is none: a sentence and a status, never a traceback."""

from pathlib import Path

import pytest
import yaml

from tests.e2e.test_cli import onceproof


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["preflight", "distinct_ids"], "No Kubernetes cluster was found"),
        (["preflight", "distinct_id"], "distinct_ids"),
        (["preflight", "distinct_ids", "--namespace", "default"], "never used for runs"),
        (["rbac", "distinct_ids", "--namespace", "kube-system"], "never used for runs"),
        (["up"], "No Kubernetes cluster was found"),
        (["down"], "Nothing that `onceproof up` made"),
        (["ui"], "Nothing that `onceproof up` made"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_without_a_cluster_it_is_status_254(
    arguments: list[str], expected: str, tmp_path: Path
) -> None:
    done = onceproof(*arguments, cwd=tmp_path, HOME=str(tmp_path))

    assert (done.returncode, "Traceback" in done.stderr) == (254, False), done.stderr
    assert expected in done.stderr


def test_a_role_is_printed_without_a_cluster(tmp_path: Path) -> None:
    done = onceproof("rbac", "kill_commit_dropped", "--namespace", "chaos", HOME=str(tmp_path))

    kinds = [one["kind"] for one in yaml.safe_load_all(done.stdout)]
    assert (done.returncode, kinds) == (0, ["ServiceAccount", "Role", "RoleBinding"])
