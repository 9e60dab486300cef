"""The command line as a user types it: statuses, nearest names, one sentence for each mistake."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from results.errors import ClusterError, ConfigError, HarnessError
from results.records import FORMAT_VERSION
from results.run_folder import RunFolder
from scenarios.engine.exits import mapped
from tests.unit.results.world import manifest_of

ROOT = Path(__file__).resolve().parents[2]


WHOLE = '[ledger]\n[service]\nname = "x"\nwebhook = "/x"\nsecret_from = "S"\n'
ROLES = 'database_from = "D"\n[service.roles]\nweb = ["x"]\n'


def onceproof(
    *arguments: str, cwd: Path = ROOT, **variables: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "scenarios.engine.cli", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", **variables},
    )


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["lsit"], "list"),
        (["run", "distinct_id"], "distinct_ids"),
        (["run", "distinct_ids", "--strategy", "artcle"], "article"),
        (["run", "distinct_ids", "--sead", "1"], "--seed"),
        (["run", "./nowhere.py"], "no scenario file"),
        (["run", "distinct_ids", "--provider", "maybe"], "honours"),
    ],
)
def test_a_wrong_word_is_status_254_and_the_nearest_name(
    arguments: list[str], expected: str
) -> None:
    done = onceproof(*arguments)

    assert (done.returncode, "Traceback" in done.stderr) == (254, False)
    assert expected in done.stderr


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[service\n", "line 1"),
        ('[service]\nname = 3\n[ledger]\norders = ""\n', "line 2: service.name"),
        ('[service]\nname = "x"\nwebhok = "/"\n', "service.webhok"),
        (f'{WHOLE}ready = "ready"\n{ROLES}', "line 6: service.ready"),
        (f"{WHOLE}{ROLES}relay = []\n", "line 9: service.roles.relay"),
        ('[service]\n[service.roles]\nweb = "node x"\n', "line 3: service.roles.web"),
        ("", "service"),
    ],
)
def test_a_broken_config_names_file_line_key_and_expectation(
    tmp_path: Path, text: str, expected: str
) -> None:
    file = tmp_path / "onceproof.toml"
    file.write_text(text)

    done = onceproof("list", "--config", str(file))

    assert (done.returncode, "Traceback" in done.stderr) == (254, False)
    assert str(file) in done.stderr
    assert expected in done.stderr


@pytest.mark.parametrize(
    ("arguments", "variables", "expected"),
    [
        ([], {"ONCEPROOF_PG_BIN": "/nowhere/bin"}, "/nowhere/bin"),
        ([], {"ONCEPROOF_DATABASE_URL": "postgresql://me:hush@127.0.0.1:1/x"}, "127.0.0.1:1"),
    ],
)
def test_a_machine_that_cannot_run_it_is_status_255_and_one_sentence(
    tmp_path: Path, arguments: list[str], variables: dict[str, str], expected: str
) -> None:
    runs = ["--runs", str(tmp_path)]
    done = onceproof("run", "distinct_ids", *runs, *arguments, **variables)

    assert (done.returncode, "Traceback" in done.stderr) == (255, False)
    assert expected in done.stderr
    assert "hush" not in done.stderr + done.stdout
    debugged = onceproof("--debug", "run", "distinct_ids", *runs, *arguments, **variables)
    assert "Traceback" in debugged.stderr


@pytest.mark.parametrize(
    ("command", "url"),
    [
        ("run", "postgresql://me:hush@127.0.0.1:1/x"),
        ("doctor", "postgresql://127.0.0.1:1/x?password=hush"),
    ],
)
def test_a_password_on_the_command_line_is_refused(command: str, url: str) -> None:
    arguments = ["distinct_ids"] if command == "run" else []
    done = onceproof(command, *arguments, "--database-url", url)

    assert (done.returncode, "Traceback" in done.stderr) == (254, False)
    assert "ONCEPROOF_DATABASE_URL" in done.stderr
    assert "hush" not in done.stderr + done.stdout


def test_a_scenario_file_that_raises_is_named(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("1/0\n")

    done = onceproof("run", str(tmp_path / "mine.py"))

    assert done.returncode == 254
    assert "mine.py: ZeroDivisionError" in done.stderr


@pytest.mark.parametrize("command", ["check", "report", "compare"])
def test_a_run_of_a_newer_format_is_refused(tmp_path: Path, command: str) -> None:
    folder = RunFolder.create(tmp_path, manifest_of(format_version=FORMAT_VERSION + 1))
    runs = [str(folder.path)] * (2 if command == "compare" else 1)
    done = onceproof(command, *runs)

    assert (done.returncode, "Traceback" in done.stderr) == (254, False)
    assert f"has format {FORMAT_VERSION + 1}, newer than {FORMAT_VERSION}" in done.stderr
    assert "Judge it with the onceproof that wrote it" in done.stderr
    assert not folder.verdict.exists()


def test_list_is_json_where_a_program_reads_it() -> None:
    done = onceproof("list", "--json")

    assert done.returncode == 0
    listed = json.loads(done.stdout)
    assert {"distinct_ids", "kill_reply_lost", "ghost_pods"} <= listed["scenarios"].keys()
    assert {"ghost_pods", "node_drained"} <= set(listed["only_on_kubernetes"])
    assert not {"distinct_ids", "kill_reply_lost"} & set(listed["only_on_kubernetes"])


def test_list_tells_apart_what_only_a_cluster_can_have() -> None:
    here, there = onceproof("list").stdout.split("Only with --on kubernetes")

    assert "distinct_ids" in here and "ghost_pods" not in here
    assert "ghost_pods" in there and "distinct_ids" not in there


def test_what_only_a_cluster_can_have_is_a_wrong_usage_on_processes(tmp_path: Path) -> None:
    done = onceproof("run", "ghost_pods", "--runs", str(tmp_path))

    assert (done.returncode, "Traceback" in done.stderr) == (254, False)
    assert "ghost-pod: only on Kubernetes" in done.stderr
    assert "onceproof run ghost_pods --on kubernetes" in done.stderr


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ConfigError("x"), 254),
        (ClusterError("x"), 255),
        (HarnessError("x"), 255),
        (ZeroDivisionError(), 255),
        (KeyboardInterrupt(), 130),
        (ExceptionGroup("tasks", [ValueError(), ConfigError("x")]), 254),
    ],
)
def test_every_way_out_has_its_status(error: BaseException, status: int) -> None:
    def command() -> int:
        raise error

    assert mapped(command, debug=False) == status


@pytest.mark.parametrize("status", [0, 1, 2])
def test_a_verdict_is_its_own_status(status: int) -> None:
    assert mapped(lambda: status, debug=False) == status
