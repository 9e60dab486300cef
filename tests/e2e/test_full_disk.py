"""A run whose disk fills up while it goes on: ended in order, nothing left, nothing claimed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).resolve().parents[2]
FILLING = """
import pathlib, shutil
RUNS = pathlib.Path({runs!r})
def disk_usage(path):
    full = any(file.stat().st_size > 20_000 for file in RUNS.glob("*/history-*.jsonl"))
    return shutil._ntuple_diskusage(1 << 40, 0, (400 if full else 4_000) << 20)
shutil.disk_usage = disk_usage
"""


@pytest.mark.slow
def test_a_run_ends_before_the_disk_is_full(tmp_path: Path) -> None:
    runs, place = tmp_path / "runs", tmp_path / "site"
    place.mkdir()
    (place / "sitecustomize.py").write_text(FILLING.format(runs=str(runs)))
    done = subprocess.run(
        [sys.executable, "-m", "scenarios.engine.cli", "run", "distinct_ids", "--seed", "1",
         "--runs", str(runs)],
        cwd=ROOT, capture_output=True, text=True, timeout=150,
        env={**os.environ, "PYTHONPATH": f"{place}:{ROOT}"},
    )  # fmt: skip
    assert (done.returncode, "Traceback" in done.stderr) == (255, False), done.stderr
    assert "Only 400 MiB are free on the disk of" in done.stderr
    (folder,) = runs.glob("2*")
    assert json.loads((folder / "manifest.json").read_text())["status"] == "failed"
    assert not (folder / "report.html").exists()
    left = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("ONCEPROOF_RUN") == str(folder):
                left.append(process)
        except psutil.Error:
            continue
    assert not left
    checked = subprocess.run(
        [sys.executable, "-m", "scenarios.engine.cli", "check", str(folder)],
        cwd=ROOT, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert checked.returncode in (1, 2)  # what was found is found; nothing is called valid
