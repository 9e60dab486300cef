"""node-postgres and pgx see no difference: one mixed workload, with the wire between and without.

Skipped, and said, where their language or its registry is not there.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cluster.wire.conftest import Bench

DRIVERS = Path(__file__).with_name("drivers")
PREPARE = {"node": ("npm", "npm install --no-audit --no-fund --no-save pg@8"),
           "pgx": ("go", "go build -o workload .")}  # fmt: skip
RUN = {"node": ["node", "workload.js"], "pgx": ["./workload"]}


@pytest.fixture(scope="module", params=sorted(RUN))
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a driver's workload, ready to run."""
    name = str(request.param)
    tool, command = PREPARE[name]
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed: {name} is not tested")
    folder = tmp_path_factory.mktemp("driver") / name
    shutil.copytree(DRIVERS / name, folder)
    done = subprocess.run(
        command, shell=True, cwd=folder, capture_output=True, text=True, timeout=150
    )
    if done.returncode:
        pytest.skip(f"{tool} could not prepare {name}: {done.stderr[-300:]}")
    return folder


def told(folder: Path, dsn: str) -> str:
    done = subprocess.run(
        RUN[folder.name], cwd=folder, capture_output=True, text=True, timeout=60,
        env={**os.environ, "DATABASE_URL": dsn},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.timeout(300)
async def test_a_mixed_workload_gets_the_same_answers(bench: Bench, program: Path) -> None:
    directly, through = told(program, bench.dsn()), told(program, bench.dsn("web-0"))
    assert through == directly
    assert len(json.loads(directly)) > 60
    await bench.wire.flush()
    assert sum(trace.__class__.__name__ == "StatementTrace" for trace in bench.traces()) > 60
