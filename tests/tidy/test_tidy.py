"""The house rules that a machine can hold (CONTRIBUTING.md says why each is there)."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("service", "loadtests", "scenarios", "cluster", "results", "tests")
MODULES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
OURS = [path for path in MODULES if path.relative_to(ROOT).parts[0] != "tests"]
LINES_MAX, FUNCTION_LINES_MAX = 350, 70


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_a_module_is_short_and_its_functions_are_shorter(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= LINES_MAX

    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            assert lines <= FUNCTION_LINES_MAX, f"{node.name} has {lines} lines"


@pytest.mark.parametrize("path", OURS, ids=name)
def test_a_module_says_what_it_is_and_avoids_empty_names(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree), "a module opens with what it is, why so, and its limits"

    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            assert not re.search(r"Manager|Helper|Util", node.name)


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
        ["mypy"],
    ],
    ids=" ".join,
)
def test_the_linters_are_content(command: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, timeout=170
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_imports_run_one_way() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_lock_holds_names_and_versions_only() -> None:
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!_-]+", line), line


def test_no_file_names_a_machine_or_a_registry() -> None:
    # Spelled in parts, so that this file does not match itself.
    forbidden = re.compile(
        "|".join(["/" + "work/", "/" + "root/", "pypi" + r"\.org", "pythonhosted" + r"\.org"])
    )
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, timeout=30, check=True
    ).stdout.split()
    for entry in tracked:
        if entry.endswith((".png", ".svg", ".gz")) or entry == "LICENSE":
            continue
        path = ROOT / entry
        if path.is_file():
            found = forbidden.search(path.read_text(errors="replace"))
            assert found is None, f"{entry}: {found}"
