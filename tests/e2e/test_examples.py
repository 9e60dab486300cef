"""The examples in other languages, as their README says: guilty and right, nothing changed in them.

Each is copied and prepared as a user would, by the language's own tools; where these are missing
or reach no registry, its tests are skipped and say so.
"""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from results.run_folder import RunFolder

ROOT = Path(__file__).resolve().parents[2]
PREPARE = {
    "express": ("npm", "npm install --no-audit --no-fund"),
    "go": ("go", "go build -o bin/service ."),
    "django": (
        "python3",
        "python3 -m venv .venv && .venv/bin/pip install --quiet -r requirements.txt",
    ),
}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Examples that are ready, by name."""
    return {"in": tmp_path_factory.mktemp("examples")}


def ready(prepared: dict[str, Path], name: str) -> Path:
    """The example's folder, prepared once."""
    if name not in prepared:
        tool, command = PREPARE[name]
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed: examples/{name} is not tested")
        folder = prepared["in"] / name
        ignore = shutil.ignore_patterns("node_modules", "bin", ".venv")
        shutil.copytree(ROOT / "examples" / name, folder, ignore=ignore)
        done = subprocess.run(
            command, shell=True, cwd=folder, capture_output=True, text=True, timeout=150
        )
        if done.returncode:
            pytest.skip(f"{tool} could not prepare examples/{name}: {done.stderr[-300:]}")
        prepared[name] = folder
    return prepared[name]


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("name", PREPARE)
@pytest.mark.parametrize(
    ("strategy", "status", "codes"), [("article", 1, {"A1"}), ("fixed", 0, set())]
)
def test_an_example_is_told_apart_without_a_line_changed(
    prepared: dict[str, Path], tmp_path: Path, name: str, strategy: str, status: int,
    codes: set[str],
) -> None:  # fmt: skip
    config = ready(prepared, name) / "onceproof.toml"
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "scenarios.engine.cli", "run", "distinct_ids", "--config",
         str(config), "--strategy", strategy, "--seed", "1", "--runs", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, timeout=150,
    )  # fmt: skip
    assert done.returncode == status, done.stdout + done.stderr
    print(f"{name} {strategy}: {time.monotonic() - begun:.1f} s")
    verdict = json.loads(RunFolder.find(tmp_path).verdict.read_bytes())
    assert set(verdict["totals"]) == codes
