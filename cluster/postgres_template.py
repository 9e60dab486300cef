"""A data directory that initdb made once, to be copied for every run.

initdb costs half a second, a copy a tenth of it. The template lies in the user's cache
(`$XDG_CACHE_HOME/onceproof` or `~/.cache/onceproof`), or in a folder of the temporary directory
where the home cannot be written. It is made beside its place and renamed, so that what exists is
complete, however many runs start at once. It is not synced to disk: a machine that loses power
loses a cache. Nothing of a run is ever written into it.
"""

import contextlib
import ctypes
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from cluster.postgres_binaries import Binaries
from results.errors import ClusterError

SUPERUSER = "onceproof"
_INITDB_SECONDS = 60
_IPC_RMID = 0
_LAYOUT = "1"  # raise it when initdb's options change


def data_parent(binaries: Binaries, create: Callable[[Path], object]) -> Path:
    """A new folder, made by `create`, that the server's user can reach and owns."""
    error: OSError | None = None
    for base in (Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")):
        if binaries.user is not None and not _open_to_all(base):
            continue
        folder = base / f"onceproof-postgres-{secrets.token_hex(6)}"
        try:
            create(folder)
        except OSError as refusal:
            error = refusal
            continue
        if binaries.user is not None:
            os.chown(folder, binaries.user, binaries.group or 0)
        return folder
    raise ClusterError(
        f"no temporary folder for Postgres ({error or 'none that nobody may enter'}): "
        "set TMPDIR to a folder that everybody may enter and write, and run again"
    )


def copy_template(binaries: Binaries, data: Path) -> None:
    """Fill `data` (which must not exist) with a fresh cluster that the server's user owns."""
    template = _template(binaries)
    shutil.copytree(template, data, symlinks=True)
    data.chmod(0o700)
    if binaries.user is not None:
        group = binaries.group or 0
        os.chown(data, binaries.user, group)
        for folder, folders, files in os.walk(data):
            for name in (*folders, *files):
                os.chown(Path(folder) / name, binaries.user, group, follow_symlinks=False)


def _template(binaries: Binaries) -> Path:
    cache = _cache_folder()
    target = cache / f"pg-{binaries.version}-{binaries.fingerprint}-{_LAYOUT}"
    if target.is_dir():
        return target
    parent = data_parent(binaries, lambda folder: folder.mkdir(mode=0o700))
    try:
        fresh = parent / "data"
        binaries.run(
            "initdb",
            f"--pgdata={fresh}",
            f"--username={SUPERUSER}",
            "--auth=trust",
            "--no-locale",
            "--encoding=UTF8",
            "--no-sync",
            timeout_seconds=_INITDB_SECONDS,
        )
        work = Path(tempfile.mkdtemp(prefix="making-", dir=cache))
        try:
            shutil.copytree(fresh, work / "data", symlinks=True)
            (work / "data").rename(target)
        except OSError:
            if not target.is_dir():  # another run was first: theirs is as good
                raise
        finally:
            shutil.rmtree(work, ignore_errors=True)
    except OSError as error:
        raise ClusterError(
            f"the Postgres template could not be made in {cache}: {error}; "
            "make room there or set XDG_CACHE_HOME to another folder, and run again"
        ) from error
    finally:
        shutil.rmtree(parent, ignore_errors=True)
    return target


def _cache_folder() -> Path:
    """The user's cache, or a folder of ours in the temporary directory."""
    wishes: list[Path] = []
    if os.environ.get("XDG_CACHE_HOME"):
        wishes.append(Path(os.environ["XDG_CACHE_HOME"]))
    else:
        home = os.environ.get("HOME", "")
        if home.startswith("/"):
            wishes.append(Path(home) / ".cache")
    wishes.append(Path(tempfile.gettempdir()) / f"onceproof-cache-{os.geteuid()}")
    for wish in wishes:
        folder = wish / "onceproof"
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError:
            continue
        # In a temporary directory anybody may have made the folder first: only ours will do.
        if folder.stat().st_uid == os.geteuid() and os.access(folder, os.W_OK | os.X_OK):
            return folder
    raise ClusterError(
        "no cache folder can be written: set XDG_CACHE_HOME to a folder of yours and run again"
    )


def _open_to_all(folder: Path) -> bool:
    """True when any user can enter this folder and all above it."""
    resolved = folder.resolve()
    return all(part.stat().st_mode & 0o001 for part in (resolved, *resolved.parents))


def release_shared_memory(data: Path) -> None:
    """Remove the System V segment (56 bytes) that a killed server cannot remove itself.

    postmaster.pid names it on its seventh line; a server that stopped has removed both. It must
    have the same key still and nobody attached: after a reboot its number may be another's. Only
    Linux tells; elsewhere the 56 bytes stay until the next reboot.
    """
    with contextlib.suppress(OSError, ValueError, IndexError):
        line = (data / "postmaster.pid").read_text(encoding="utf-8").splitlines()[6]
        key, identifier = (int(number) for number in line.split())
        for row in Path("/proc/sysvipc/shm").read_text(encoding="ascii").splitlines()[1:]:
            columns = row.split()
            if int(columns[0]) == key and int(columns[1]) == identifier and columns[6] == "0":
                ctypes.CDLL(None).shmctl(identifier, _IPC_RMID, None)
