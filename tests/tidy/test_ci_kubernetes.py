"""What CI does around the tests on a cluster, with stand-ins for the cluster and all it calls."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
IMAGES = ["image onceproof .", "image onceproof-express tests/kubernetes/express"]
ONCE_MORE = "make test-kubernetes ONLY=--last-failed --last-failed-no-failures=none"
KUBECTL = """
case "$1" in
  get) [ "$2" = nodes ] || exit "$READY"
       echo '{"items": [{"status": {"images": [
         {"names": ["localhost/onceproof:latest"], "sizeBytes": 573770141}]}}]}' ;;
esac
"""
MAKE = """
set -- $MADE; count=$(grep -c "^make" "$CALLED"); shift $((count - 1)); exit "$1"
"""


class Ran(NamedTuple):
    status: int
    said: str
    called: list[str]  # of that which changes something


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    folder = tmp_path / "clone"
    (folder / ".ci").mkdir(parents=True)
    shutil.copy(ROOT / ".ci" / "kubernetes", folder / ".ci" / "kubernetes")
    stand_ins = {
        "bin/id": 'echo "$UID_HERE"', "bin/kubectl": KUBECTL, "bin/make": MAKE,
        "shared/kube/up": 'exit "$UP"', "shared/kube/down": "",
        "shared/kube/image": 'case "$1" in *express) exit "$EXPRESS" ;; *) exit "$BUILT" ;; esac',
    }  # fmt: skip
    for name, body in stand_ins.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'#!/bin/bash\necho "{path.name} $*" >> "$CALLED"\n{body}\n')
        path.chmod(0o755)
    return folder


def run(clone: Path, *, root: bool = True, ready: bool = False, **given: str) -> Ran:
    """What it came to; `given` are the statuses of what it calls."""
    parent = clone.parent
    file = parent / "called"
    answers = {"BUILT": "0", "EXPRESS": "0", "UP": "0", "MADE": "0 0", **given}
    done = subprocess.run(
        [".ci/kubernetes"], cwd=clone, capture_output=True, text=True, timeout=60,
        env={**os.environ, **answers, "PATH": f"{parent}/bin:{os.environ['PATH']}",
             "UID_HERE": "0" if root else "1000", "READY": str(int(not ready)),
             "CALLED": str(file)},
    )  # fmt: skip
    called = file.read_text().splitlines() if file.exists() else []
    words = [" ".join(line.split()).removesuffix(" --purge") for line in called]
    changing = [one for one in words if one.split()[0] not in ("id", "kubectl")]
    return Ran(done.returncode, done.stdout, changing)


def test_a_cluster_that_it_starts_it_ends(clone: Path) -> None:
    ran = run(clone)
    assert ran.status == 0
    assert ran.called == ["up", *IMAGES, "make test-kubernetes", "down"]
    assert "image onceproof: 573 MB" in ran.said


def test_also_when_the_image_is_not_built(clone: Path) -> None:
    ran = run(clone, BUILT="1")
    assert ran.status != 0
    assert ran.called == ["up", IMAGES[0], "down"]


def test_without_the_image_of_others_the_rest_is_tested(clone: Path) -> None:
    ran = run(clone, EXPRESS="1")
    assert ran.status == 0
    assert "will skip" in ran.said
    assert ran.called == ["up", *IMAGES, "make test-kubernetes", "down"]


def test_what_fails_once_is_run_once_more_and_what_fails_twice_has_failed(clone: Path) -> None:
    for made, fails in (("2 0", False), ("2 2", True)):
        ran = run(clone, ready=True, MADE=made)
        assert (ran.status != 0) == fails
        assert ran.called == ["up", *IMAGES, "make test-kubernetes", ONCE_MORE]
        (clone.parent / "called").unlink()


def test_a_cluster_that_has_died_is_replaced_for_the_second_time(clone: Path) -> None:
    ran = run(clone, MADE="2 0")  # the stand-in is never ready
    assert ran.status == 0
    assert ran.called == [
        "up", *IMAGES, "make test-kubernetes", "down", "up", *IMAGES, ONCE_MORE, "down",
    ]  # fmt: skip


def test_one_that_was_up_stays_up(clone: Path) -> None:
    ran = run(clone, ready=True)
    assert ran.status == 0
    assert "make test-kubernetes" in ran.called
    assert "down" not in ran.called


def test_where_it_does_not_start_that_is_said(clone: Path) -> None:
    ran = run(clone, UP="1")
    assert (ran.status, ran.called) == (0, ["up", "down"])
    assert "NOT TESTED" in ran.said


def test_where_it_cannot_be_started_that_is_said(clone: Path) -> None:
    ran = run(clone, root=False)
    assert (ran.status, ran.called) == (0, [])
    assert "NOT TESTED" in ran.said
    shutil.rmtree(clone.parent / "shared")
    ran = run(clone)
    assert (ran.status, ran.called) == (0, [])
    assert "NOT TESTED" in ran.said
