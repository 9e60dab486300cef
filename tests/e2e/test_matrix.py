"""The matrix as a user runs it: killed, interrupted, gone on; its runs checked and compared."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from scenarios.engine.config import OWN_CONFIG

ROOT = Path(__file__).resolve().parents[2]
SCENARIO = (
    "from scenarios import Scenario, Thresholds, Traffic\n"
    "scenario = Scenario(title='tiny', traffic=Traffic(orders=40, per_second=40),\n"
    "    needs=Thresholds(overlapping_groups=1, lateness_p99_ms=None))\n"
)


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    """Two cells, of a service that nobody expects anything else of but to be right."""
    config = tmp_path / "service" / "onceproof.toml"
    config.parent.mkdir()
    config.write_text(OWN_CONFIG.read_text())
    (tmp_path / "tiny.py").write_text(SCENARIO)
    return [
        sys.executable, "-m", "scenarios.engine.cli", "matrix", "--strategies",
        "article,insert_first", "--scenarios", str(tmp_path / "tiny.py"), "--providers", "honours",
        "--config", str(config), "--runs", str(tmp_path / "runs"), "--jobs", "1", "--keep",
    ]  # fmt: skip


def of_the_matrix(folder: Path) -> list[int]:
    """The processes that a matrix started, and those that work for one of its runs."""
    found = []
    for process in psutil.process_iter():
        try:
            variables = process.environ()
        except psutil.Error:
            continue
        if any(str(folder) in variables.get(name, "") for name in
               ("ONCEPROOF_MATRIX", "ONCEPROOF_RUN")):  # fmt: skip
            found.append(process.pid)
    return found


def begun(arguments: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        arguments, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def ended(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, timeout=120)


def wait_for(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.timeout(420)
def test_a_killed_matrix_goes_on_and_its_runs_can_be_compared(
    tmp_path: Path, arguments: list[str]
) -> None:
    runs = tmp_path / "runs"

    def finished() -> list[str]:
        return [line for file in runs.glob("matrix-*/cells.jsonl")
                for line in file.read_text().splitlines()]  # fmt: skip

    def second_is_sending() -> bool:
        return bool(list(runs.glob("matrix-*/slot-0/*-insert_first-1/history-*.jsonl")))

    first = begun(arguments)
    try:
        wait_for(lambda: len(finished()) == 1 and second_is_sending(), 120)
    finally:
        first.kill()
        first.wait(10)
    assert of_the_matrix(runs)  # the second cell's run lost its parent and goes on
    (guilty,) = finished()

    again = ended(*arguments)

    (folder,) = runs.glob("matrix-*")
    assert again.returncode == 1, again.stderr[-2000:]
    assert finished()[0] == guilty
    assert len(finished()) == 2
    assert "ran 1 of the cells" in again.stderr
    assert not of_the_matrix(runs)
    assert "2 cells: 1 as expected, 1 differs" in again.stdout
    assert "≠ article × tiny (honours, seed 1): expected valid; invalid instead of valid" in (
        again.stdout
    )
    wrong, right = json.loads((folder / "matrix.json").read_text())["cells"]
    assert str(Path(wrong["report"])) in again.stdout
    assert Path(wrong["report"]).is_file()
    assert len(list(folder.glob("slot-0/2*"))) == 2  # what was interrupted is removed
    for name in ("matrix.md", "matrix.png", "matrix.svg", "price.png", "price.json"):
        assert (folder / name).stat().st_size > 100

    left, other = str(Path(wrong["report"]).parent), str(Path(right["report"]).parent)
    cli = (sys.executable, "-m", "scenarios.engine.cli")
    assert ended(*cli, "compare", left, left).returncode == 0
    unlike = ended(*cli, "compare", left, other, "--json")
    assert unlike.returncode == 2
    assert "strategies differ" in " ".join(json.loads(unlike.stdout)["obstacles"])
    assert ended(*cli, "check", other, "--slo", "max<60s").returncode == 0
    slow = ended(*cli, "check", other, "--slo", "p50<1s", "--slo", "p50<0.001ms")
    assert slow.returncode == 3
    assert "p50<0.001ms missed" in slow.stdout
    assert ended(*cli, "check", other, "--slo", "p50=1s").returncode == 254


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_the_runs_of_a_matrix(
    tmp_path: Path, arguments: list[str], number: signal.Signals
) -> None:
    runs = tmp_path / "runs"
    matrix = begun(arguments)
    wait_for(lambda: bool(list(runs.glob("matrix-*/slot-0/*/history-*.jsonl"))), 120)
    assert of_the_matrix(runs)
    matrix.send_signal(number)
    _, errors = matrix.communicate(timeout=60)

    assert matrix.returncode == 130, errors
    assert not of_the_matrix(runs)
    (manifest,) = runs.glob("matrix-*/slot-0/2*/manifest.json")
    assert json.loads(manifest.read_text())["status"] == "interrupted"
    assert not list(runs.glob("matrix-*/cells.jsonl"))


def test_an_unknown_provider_is_a_usage_error(arguments: list[str]) -> None:
    done = ended(*arguments, "--providers", "maybe")
    assert done.returncode == 254
    assert "honours" in done.stderr
