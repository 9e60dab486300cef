"""Finds scenarios: those that ship with onceproof, and a user's own by path.

A scenario file is a Python module with one name in it, `scenario`. An unknown name is answered
with the nearest ones.
"""

import ast
import difflib
import importlib.util
import sys
from collections.abc import Iterable
from pathlib import Path

from results.errors import ConfigError
from scenarios.engine.scenario import Scenario

FOLDER = Path(__file__).resolve().parents[1]


def shipped() -> dict[str, Path]:
    """Name to file of every scenario that ships with onceproof."""
    return {
        path.stem: path for path in sorted(FOLDER.glob("*.py")) if not path.stem.startswith("_")
    }


def first_line(path: Path) -> str:
    """What a scenario file says of itself in its first line."""
    return (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0]


def load_scenario(given: str) -> tuple[str, Scenario]:
    """The scenario of this name or path; ConfigError with the nearest names if there is none."""
    path = Path(given) if given.endswith(".py") else shipped().get(given.replace("-", "_"))
    if path is None:
        raise unknown("scenario", given, shipped())
    if not path.is_file():
        raise ConfigError(f"There is no scenario file {path}. `onceproof list` shows what ships.")
    spec = importlib.util.spec_from_file_location(f"onceproof_scenario_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ConfigError(f"{path}: {type(error).__name__}: {error}") from error
    scenario = getattr(module, "scenario", None)
    if not isinstance(scenario, Scenario):
        raise ConfigError(f"{path}: expected a name `scenario` that holds a Scenario(...).")
    return path.stem, scenario


def unknown(what: str, given: str, known: Iterable[str]) -> ConfigError:
    """An error that names what is nearest to the wrong name."""
    names = sorted(known)
    near = difflib.get_close_matches(given, names, n=3, cutoff=0.4) or names
    return ConfigError(f"There is no {what} {given!r}. Did you mean {', '.join(near)}?")
