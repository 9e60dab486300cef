"""A service that knows no TLS, on a database that takes nobody without it and a SCRAM password."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from loadtests.swarm import ROOT
from results.run_folder import RunFolder
from scenarios.engine.checkup import check_up
from scenarios.engine.config import load_config
from tests.e2e.stranger import write_stranger
from tests.e2e.test_own_service import SCENARIO
from tests.managed import managed_postgres


async def test_the_doctor_tries_the_service_there(tmp_path: Path) -> None:
    config = write_stranger(tmp_path / "stranger")
    with managed_postgres() as server:
        found = await check_up(load_config(config), "right", server.url())
    assert all(ok for _, ok, _ in found), found
    assert found[-1][0] == "again"


@pytest.mark.slow
@pytest.mark.parametrize(("how", "status", "codes"), [("right", 0, set()), ("twice", 1, {"A1"})])
def test_it_is_judged_by_way_of_the_wires_own_login(
    tmp_path: Path, how: str, status: int, codes: set[str]
) -> None:
    config = write_stranger(tmp_path / "stranger")
    config.write_text(config.read_text().replace("[ledger]", 'twice = "a fresh key"\n[ledger]'))
    (tmp_path / "few.py").write_text(SCENARIO)
    with managed_postgres() as server:
        done = subprocess.run(
            [sys.executable, "-m", "scenarios.engine.cli", "run", str(tmp_path / "few.py"),
             "--config", str(config), "--strategy", how, "--seed", "3", "--runs",
             str(tmp_path / "runs")],
            cwd=ROOT, capture_output=True, text=True, timeout=120,
            env={**os.environ, "ONCEPROOF_DATABASE_URL": server.url()},
        )  # fmt: skip
    assert done.returncode == status, done.stdout + done.stderr
    folder = RunFolder.find(tmp_path / "runs")
    assert set(json.loads(folder.verdict.read_bytes())["totals"]) == codes
    password = "a&b/c d"
    told = [done.stdout, done.stderr, *(
        path.read_text(errors="replace") for path in folder.path.rglob("*") if path.is_file()
    )]  # fmt: skip
    assert not any(password in text or "a%26b%2Fc%20d" in text for text in told)
