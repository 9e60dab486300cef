"""What CI does around the tests on a cluster, with stand-ins for the cluster and all it calls."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
IMAGES = ["image onceproof .", "image onceproof-express tests/kubernetes/express"]
KUBECTL = """
case "$1" in
  get) [ "$2" = nodes ] || exit "$READY"
       echo '{"items": [{"status": {"images": [
         {"names": ["localhost/onceproof:latest"], "sizeBytes": 573770141}]}}]}' ;;
esac
"""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    folder = tmp_path / "clone"
    (folder / ".ci").mkdir(parents=True)
    shutil.copy(ROOT / ".ci" / "kubernetes", folder / ".ci" / "kubernetes")
    stand_ins = {
        "bin/id": 'echo "$UID_HERE"', "bin/kubectl": KUBECTL, "bin/make": 'exit "$MADE"',
        "shared/kube/up": "", "shared/kube/down": "", "shared/kube/image": 'exit "$BUILT"',
    }  # fmt: skip
    for name, body in stand_ins.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'#!/bin/bash\necho "{path.name} $*" >> "{tmp_path}/called"\n{body}\n')
        path.chmod(0o755)
    return folder


def run(
    clone: Path, *, root: bool = True, ready: bool = False, built: int = 0, made: int = 0
) -> tuple[int, str, list[str]]:
    """The status, what was said, and what was called of that which changes something."""
    parent = clone.parent
    done = subprocess.run(
        [".ci/kubernetes"], cwd=clone, capture_output=True, text=True, timeout=60,
        env={**os.environ, "PATH": f"{parent}/bin:{os.environ['PATH']}", "BUILT": str(built),
             "UID_HERE": "0" if root else "1000", "READY": str(int(not ready)), "MADE": str(made)},
    )  # fmt: skip
    file = parent / "called"
    called = file.read_text().splitlines() if file.exists() else []
    words = [" ".join(line.split()) for line in called]
    return done.returncode, done.stdout, [one for one in words if one.split()[0] not in
                                          ("id", "kubectl")]  # fmt: skip


def test_a_cluster_that_it_starts_it_ends(clone: Path) -> None:
    status, said, called = run(clone)
    assert status == 0
    assert called == ["up", *IMAGES, "make test-kubernetes", "down"]
    assert "image onceproof: 573 MB" in said


@pytest.mark.parametrize(("built", "made"), [(1, 0), (0, 2)])
def test_also_when_something_fails(clone: Path, built: int, made: int) -> None:
    status, _, called = run(clone, built=built, made=made)
    assert status != 0
    assert called[-1] == "down"
    assert ("make test-kubernetes" in called) == (not built)


def test_one_that_was_up_stays_up(clone: Path) -> None:
    status, _, called = run(clone, ready=True)
    assert status == 0
    assert "make test-kubernetes" in called
    assert "down" not in called


def test_where_it_cannot_be_started_that_is_said(clone: Path) -> None:
    status, said, called = run(clone, root=False)
    assert (status, called) == (0, [])
    assert "NOT TESTED" in said
    shutil.rmtree(clone.parent / "shared")
    status, said, called = run(clone)
    assert (status, called) == (0, [])
    assert "NOT TESTED" in said
