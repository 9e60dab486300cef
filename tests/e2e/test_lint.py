"""`onceproof lint` of every strategy that ships: silent on the right ones, and on no other."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
UNLOCKED = "read-then-write-without-lock"
DIFFERS = "dedupe-key-differs-between-copies"
APART = "claim-committed-apart-from-work"
IGNORED = "update-changed-no-row-and-was-ignored"
ARTICLE = {UNLOCKED, DIFFERS, IGNORED}
# docs/exactly-once.md says why; what needs two deliveries at once (a client that they share) shows
# in no trace of one.
FOUND = {
    "naive": {UNLOCKED, APART},
    "article": ARTICLE,
    "article_inline": ARTICLE | {"external-call-in-transaction"},
    "article_pool_object": ARTICLE | {APART},
    "article_shared_client": ARTICLE,
    "article_no_primary_key": ARTICLE | {"no-unique-key-behind-dedupe-read"},
    "dedupe_first": ARTICLE | {APART},
    "for_update": {"for-update-matched-no-row"},
    "optimistic": {"acknowledged-without-a-write"},
    "serializable": set(),
    "advisory_lock": set(),
    "function": set(),
    "group": set(),
    "insert_first": set(),
}


def lint(runs: Path, *arguments: str) -> tuple[int, Any]:
    command = [sys.executable, "-m", "scenarios.engine.cli", "lint", "--json", "--seed", "1"]
    done = subprocess.run(
        [*command, "--runs", str(runs), *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=280,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, json.loads(done.stdout)


@pytest.mark.timeout(300)
def test_the_right_ones_pass_and_the_others_are_told_what_is_wrong(tmp_path: Path) -> None:
    status, documents = lint(tmp_path, "--strategy", "all")

    assert status == 1
    found = {one["strategy"]: {each["rule"] for each in one["findings"]} for one in documents}
    assert found == FOUND


@pytest.mark.timeout(300)
def test_a_right_one_exits_with_0(tmp_path: Path) -> None:
    status, document = lint(tmp_path, "--strategy", "insert_first")

    assert status == 0
    assert document["findings"] == []


@pytest.mark.timeout(300)
def test_what_is_predicted_is_confirmed_with_a_schedule(tmp_path: Path) -> None:
    _, document = lint(tmp_path, "--strategy", "for_update", "--confirm")

    (finding,) = document["findings"]
    assert [(one["code"], one["said"]) for one in finding["predictions"]] == [
        ("A1", "confirmed"),
        ("A8", "confirmed"),
    ]
    assert all(Path(one["schedule"]).is_file() for one in finding["predictions"])
