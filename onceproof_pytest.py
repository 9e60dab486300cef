"""Each `*.schedule.json` is a test: the schedule that once went wrong must not go wrong again.

`onceproof explore` writes such files. Kept beside a service's tests, pytest collects them: the
service is started, the schedule is played a few times (`onceproof replay --mended`), and the test
fails if any play breaks a promise. All of it happens in a process of its own, so nothing of ours
is imported here: a user's own package named `results` or `service` stays the user's.

Settings, in pytest's own configuration file: `onceproof_config` is the path of the service's
onceproof.toml (default: the one beside the schedule or above it, else the service that ships with
onceproof), `onceproof_times` how often each is played (default: 3).
"""

import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

SUFFIX = ".schedule.json"
SECONDS = 300.0


def pytest_addoption(parser: pytest.Parser) -> None:
    """Two settings of the configuration file."""
    parser.addini("onceproof_config", "onceproof.toml of the service under test", default="")
    parser.addini("onceproof_times", "how often a schedule is played", default="3")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> "ScheduleFile | None":
    """Every schedule below what pytest looks at."""
    if not file_path.name.endswith(SUFFIX):
        return None
    found: ScheduleFile = ScheduleFile.from_parent(parent, path=file_path)
    return found


class ScheduleFile(pytest.File):
    """One file, one test."""

    def collect(self) -> "Iterator[ScheduleItem]":
        """The schedule in it."""
        yield ScheduleItem.from_parent(self, name=self.path.name.removesuffix(SUFFIX))


class ScheduleError(Exception):
    """What the command said of a schedule that goes wrong, or cannot be played."""


class ScheduleItem(pytest.Item):
    """One schedule to be played."""

    def runtest(self) -> None:
        """Play it; ScheduleError when a promise is broken."""
        command = [program(), "replay", str(self.path), "--mended"]
        command += ["--times", self.config.getini("onceproof_times")]
        if config := self.service():
            command += ["--config", str(config)]
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS,
            check=False,
        )  # fmt: skip
        if done.returncode:
            said = done.stdout.strip() or done.stderr.strip()
            raise ScheduleError(f"{said}\n(exit status {done.returncode}: {' '.join(command)})")

    def service(self) -> Path | None:
        """The onceproof.toml that is set, or the nearest one; None: ours."""
        if given := self.config.getini("onceproof_config"):
            return self.config.rootpath / str(given)
        for folder in self.path.parents:
            if (folder / "onceproof.toml").is_file():
                return folder / "onceproof.toml"
            if folder == self.config.rootpath:
                break
        return None

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], *_: object) -> str:
        """The command's own words, without a traceback of ours."""
        if isinstance(excinfo.value, ScheduleError):
            return str(excinfo.value)
        return str(super().repr_failure(excinfo))

    def reportinfo(self) -> tuple[Path, None, str]:
        """As pytest names it."""
        return self.path, None, f"schedule {self.name}"


def program() -> str:
    """The command that was installed with this plugin."""
    beside = Path(sysconfig.get_path("scripts")) / "onceproof"
    return str(beside) if beside.is_file() else shutil.which("onceproof") or sys.argv[0]
