"""`python -m cluster.postgres_pod --data /data/postgres`: Postgres as the one process of a pod.

The first start makes the cluster (beside its place, then renamed: what exists is complete). Every
start writes the configuration, then becomes the server by exec: it is the container's process 1,
gets the signals that Kubernetes sends, and its death is the container's. A container that is
started again finds its data and recovers from its log, as after a power cut of one machine. The
stale postmaster.pid then names process 1, which is the new server itself: Postgres sees that.

It listens on all addresses of the pod. Everybody must know the password ($POSTGRES_PASSWORD, by
SCRAM); there is no other way in, not even from inside. The first start alone sets it.

Limits: data on an emptyDir outlives its container, not its pod. No TLS: it is for a namespace of
ours whose network policies say who may connect. Kubernetes' SIGTERM asks Postgres to wait for its
clients; the manifest sends it SIGINT first, which does not wait.
"""

import contextlib
import os
import secrets
import shutil
from pathlib import Path

import click

from cluster.postgres_binaries import Binaries, find_binaries
from cluster.postgres_settings import configuration
from results.errors import ClusterError, ConfigError, OnceproofError

SUPERUSER = "postgres"
CONNECTIONS_MAX = (
    400  # 15 replicas with pools of 8, relays, the ledger's readers, and as many again
)
_ACCESS = "host all all all scram-sha-256\n"
_INITDB_SECONDS = 120  # it syncs, on whatever disk the node has


def prepare(binaries: Binaries, data: Path, password: str, port: int) -> None:
    """Make `data` a cluster with this password unless it is one, and write its configuration."""
    if not password:
        raise ConfigError("POSTGRES_PASSWORD is not set: take it from the Secret, and start again")
    if not (data / "PG_VERSION").exists():
        _create(binaries, data, password)
    text = configuration(listen="*", port=port, connections_max=CONNECTIONS_MAX)
    (data / "postgresql.auto.conf").write_text(text, encoding="utf-8")
    (data / "pg_hba.conf").write_text(_ACCESS, encoding="ascii")


def become(binaries: Binaries, data: Path) -> None:
    """Replace this process by the server; returns never."""
    command = binaries.command("postgres", "-D", str(data))
    os.chdir(data)
    if binaries.user is not None and binaries.group is not None:
        os.setgroups([])
        os.setgid(binaries.group)
        os.setuid(binaries.user)
    os.execvpe(command[0], command, binaries.environment())


def _create(binaries: Binaries, data: Path, password: str) -> None:
    """Run initdb beside `data` and rename; what a start that died has left is removed."""
    making = data.with_name(f"{data.name}.making")
    secret = data.with_name(f"{data.name}.{secrets.token_hex(6)}")
    try:
        shutil.rmtree(making, ignore_errors=True)
        descriptor = os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(password)
        if binaries.user is not None:
            os.chown(secret, binaries.user, -1)
        binaries.run(
            "initdb",
            f"--pgdata={making}",
            f"--username={SUPERUSER}",
            f"--pwfile={secret}",
            "--auth=scram-sha-256",
            "--no-locale",
            "--encoding=UTF8",
            timeout_seconds=_INITDB_SECONDS,
        )
        making.rename(data)
    except OSError as error:
        raise ClusterError(
            f"no Postgres cluster could be made in {data}: {error}; "
            "mount a folder there that this user may write, with 200 MB of room"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            secret.unlink()


@click.command()
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    default="/data/postgres",
    show_default=True,
    help="The cluster's folder; the one above it must be writable.",
)
@click.option("--port", type=int, default=5432, show_default=True)
def main(data: Path, port: int) -> None:
    """Become a durable Postgres; the superuser's password is $POSTGRES_PASSWORD."""
    try:
        binaries = find_binaries()
        prepare(binaries, data.absolute(), os.environ.get("POSTGRES_PASSWORD", ""), port)
        become(binaries, data.absolute())
    except OnceproofError as error:
        raise click.ClickException(str(error)) from None


if __name__ == "__main__":
    main()
