"""Runs of the past are judged as they were, whatever has changed since."""

import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest

from results.checker import judge
from tests.store_run import STORED, essence, unpack

RUNS = sorted(path.name for path in STORED.iterdir() if path.is_dir() and path.name[0] == "f")


def test_there_is_a_valid_run_with_crashes_and_an_invalid_one() -> None:
    expected = {name: json.loads((STORED / name / "expected.json").read_text()) for name in RUNS}
    verdicts = {one["validity"] for one in expected.values()}
    assert {"valid", "invalid"} <= verdicts
    proved = [count["evidenced"] for one in expected.values() if one["validity"] == "valid"
              for count in one["coverage"]["faults"].values()]  # fmt: skip
    assert sum(proved) >= 3


@pytest.mark.parametrize("name", RUNS)
def test_a_stored_run_is_judged_as_it_was(tmp_path: Path, name: str) -> None:
    expected = json.loads((STORED / name / "expected.json").read_text())
    found = essence(judge(unpack(STORED / name, tmp_path / "run")))
    assert found.keys() == expected.keys()
    for key, was in expected.items():
        assert part(found[key], was) == was, key


def part(found: Any, was: Any) -> Any:
    """What was known then: a later onceproof may measure more."""
    if isinstance(was, dict) and isinstance(found, dict):
        return {key: part(found.get(key), value) for key, value in was.items()}
    return found


@pytest.mark.parametrize("name", RUNS)
def test_a_stored_run_is_small_and_names_no_machine_and_no_secret(name: str) -> None:
    files = sorted((STORED / name).glob("*.gz"))
    assert sum(path.stat().st_size for path in files) < 300_000
    for path in files:
        content = gzip.decompress(path.read_bytes()).decode()
        assert not re.search(r'"/', content), "a path"
        assert not re.search(r"password|secret|token", content, re.IGNORECASE)
        made_here = re.sub(r'"call_id": "[0-9a-f]{32}"', "", content)
        assert not re.search(r"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])", made_here), "a secret"
