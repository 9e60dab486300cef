"""The workflows of CI: what they call exists, with these options; what they may is little.

Nothing here runs a workflow. Its scripts are read as a shell would read them, and every command of
ours is parsed by the command line itself, so that a renamed option fails here and not on main.
"""

import os
import re
import shlex
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from results.errors import ConfigError
from scenarios.engine.catalog import load_scenario
from scenarios.engine.cells import Cell
from scenarios.engine.cli import cli, listed
from scenarios.engine.config import OWN_CONFIG, load_config
from scenarios.engine.expected import read_expected
from scenarios.engine.show import pick_strategy

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".github" / "workflows"
WORKFLOWS = sorted(FOLDER.glob("*.yml"))
KEYWORDS = {"if", "then", "else", "elif", "do", "while", "until", "!", "{", "time"}
WRITE = "write"


def read(path: Path) -> dict[Any, Any]:
    found = yaml.safe_load(path.read_text())
    assert isinstance(found, dict)
    return found


def jobs(path: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = read(path)["jobs"]
    return found


def steps(path: Path) -> Iterator[dict[str, Any]]:
    for job in jobs(path).values():
        yield from job.get("steps", ())


def commands(script: str) -> Iterator[list[str]]:
    """The simple commands of a script: a program and its arguments, without redirections."""
    for line in script.replace("\\\n", " ").splitlines():
        words = shlex.shlex(line, posix=True, punctuation_chars=True)
        words.whitespace_split = True
        command: list[str] = []
        for word in [*words, ";"]:
            if set(word) <= set("();|&<>"):
                if command:
                    yield command
                command = []
            elif command or not (word in KEYWORDS or re.fullmatch(r"\w+=.*", word)):
                command.append(word)


def all_commands() -> list[list[str]]:
    return [command for path in WORKFLOWS for step in steps(path)
            for command in commands(step.get("run", ""))]  # fmt: skip


def parsed(arguments: list[str]) -> tuple[str, dict[str, Any]]:
    """Which command of ours it is, and its values; click's UsageError if there is none."""
    assert arguments
    name, *rest = arguments
    assert name in cli.commands, f"onceproof {name}"
    with cli.commands[name].make_context(name, rest) as context:
        return name, context.params


def check(command: list[str]) -> str:
    """Refuse a command of ours that would fail; the name of what it calls, else its program."""
    program, *arguments = command
    if program == "make":
        targets = re.findall(r"^([\w./-]+)(?: [\w./-]+)*:", (ROOT / "Makefile").read_text(), re.M)
        called = [one for one in arguments if "=" not in one]  # the rest are variables
        assert set(called) <= set(targets), f"make {arguments}"
        return f"make {' '.join(arguments)}"
    if Path(program).name != "onceproof":
        return Path(program).name
    assert program == ".venv/bin/onceproof"
    name, values = parsed(arguments)
    if name == "matrix":
        config, table = load_config(OWN_CONFIG), read_expected()
        for strategy in listed(values["strategies"]):
            for scenario in listed(values["scenarios"]):
                for provider in listed(values["providers"]):
                    cell = Cell(strategy=pick_strategy(config, strategy), provider=provider,
                                scenario=load_scenario(scenario)[0], seed=1)  # fmt: skip
                    assert table.of(cell), f"nobody said what to expect of {cell.words}"
    return f"onceproof {name}"


def test_every_command_of_ours_exists_with_these_options() -> None:
    called = [check(command) for command in all_commands()]
    assert {"onceproof demo", "onceproof matrix", "onceproof publish", "make nightly",
            "make .venv/installed", "pytest"} <= set(called)  # fmt: skip


@pytest.mark.parametrize(
    "script",
    [
        ".venv/bin/onceproof",
        ".venv/bin/onceproof publsh x --site y",
        "true && .venv/bin/onceproof publish x",
        "if .venv/bin/onceproof publish x --sites y; then true; fi",
        "status=0; .venv/bin/onceproof matrix --jobs many || status=$?",
        "for n in 1; do\n  .venv/bin/onceproof matrix \\\n  --strategies nobody \\\n"
        "  --scenarios distinct_ids --providers honours\ndone",
        ".venv/bin/onceproof matrix --strategies article --scenarios no --providers honours",
        ".venv/bin/onceproof matrix --strategies article --scenarios soak --providers honours",
        "(make nightlies) > file",
        "onceproof list",  # of which environment?
    ],
)
def test_a_command_that_would_fail_is_found(script: str) -> None:
    with pytest.raises((click.ClickException, AssertionError, ConfigError)):
        for command in commands(script):
            check(command)


def test_the_commands_of_a_script_are_found() -> None:
    script = 'a=$(b -c \'%{d}\' "$E/f") || g=$?\nif ! h; then i | j >> "$K"; fi  # l\nm \\\n -n;o\n'
    found = list(commands(script))
    assert [command[0] for command in found if command[0] not in ("a=$", "fi", "$K")] == [
        "b", "h", "i", "j", "m", "o",
    ]  # fmt: skip
    assert ["b", "-c", "%{d}", "$E/f"] in found
    assert ["m", "-n"] in found


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_has_limits_and_little_power(path: Path) -> None:
    workflow = read(path)
    assert workflow["permissions"] == {"contents": "read"}
    for name, job in jobs(path).items():
        called = job.get("uses", "")
        assert called or 0 < job["timeout-minutes"] <= 180, name
        assert not called or (ROOT / called).is_file()
        given = job.get("permissions", {})
        if WRITE in given.values() and not called:  # then nothing of ours runs in it
            assert given == {"pages": "write", "id-token": "write"}
            assert [step["uses"] for step in job["steps"]] == ["actions/deploy-pages@v4"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_takes_known_actions_and_keeps_its_artifacts(path: Path) -> None:
    for step in steps(path):
        action = step.get("uses", "")
        assert not action or re.fullmatch(r"actions/[\w-]+@v\d+", action), action
        if action.startswith("actions/upload-artifact"):
            assert step["if"] == "always()"
        if "GITHUB_STEP_SUMMARY" in step.get("run", ""):
            assert step["if"] == "always()"
        assert "${{" not in step.get("run", ""), "what comes from outside goes through env"


def test_only_main_publishes_and_one_at_a_time() -> None:
    site = jobs(FOLDER / "ci.yml")["site"]
    assert site["needs"] == "test"
    assert site["if"] == "github.event_name == 'push' && github.ref == 'refs/heads/main'"
    assert site["concurrency"] == {"group": "site", "cancel-in-progress": False}
    assert read(FOLDER / "site.yml")[True] == "workflow_call"  # YAML 1.1 reads `on` as true


def script(name: str) -> str:
    (found,) = [step["run"] for step in steps(FOLDER / "site.yml") if step.get("name") == name]
    return str(found)


def shell(folder: Path, text: str, statuses: str, **variables: str) -> tuple[int, list[str]]:
    """Run a script as GitHub does, with a stand-in for our command; its status, and the calls."""
    stand_in = folder / ".venv" / "bin" / "onceproof"
    stand_in.parent.mkdir(parents=True)
    stand_in.write_text(
        '#!/bin/bash\necho "$1" >> called\nset -- ' + statuses + "\n"
        'n=$(wc -l < called); exit "${!n}"\n'
    )
    stand_in.chmod(0o755)
    done = subprocess.run(
        ["bash", "-e", "-c", text], cwd=folder, timeout=60, env={**os.environ, **variables}
    )
    called = folder / "called"
    return done.returncode, called.read_text().split() if called.exists() else []


@pytest.mark.parametrize(
    ("statuses", "status", "calls"),
    [("0", 0, 1), ("1 0", 1, 1), ("2 0", 0, 2), ("2 1", 1, 2), ("2 2 0", 2, 2), ("255 0", 255, 1)],
)
def test_only_what_proved_nothing_is_run_once_more(
    tmp_path: Path, statuses: str, status: int, calls: int
) -> None:
    assert shell(tmp_path, script("matrix"), statuses) == (status, ["matrix"] * calls)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize(("answer", "trend"), [(200, "lines"), (404, None), (302, None)])
def test_only_a_404_begins_a_new_trend(tmp_path: Path, answer: int, trend: str | None) -> None:
    class Site(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(answer)
            self.end_headers()
            self.wfile.write(b"lines" if self.path == "/site/trend.jsonl" else b"elsewhere")

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with HTTPServer(("127.0.0.1", 0), Site) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/site"
        status, called = shell(tmp_path, script("publish"), "0", BASE_URL=url, no_proxy="*")
        server.shutdown()
    assert (status, called) == ((1, []) if answer == 302 else (0, ["publish"]))
    if answer != 302:
        file = tmp_path / "site" / "trend.jsonl"
        assert (file.read_text() if file.exists() else None) == trend
