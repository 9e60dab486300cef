"""A Postgres that takes nobody without TLS and a password, as a managed one does: Debian's own.

The wheel's server has no TLS. Where Debian's `postgresql` is not installed, its tests skip.
"""

import getpass
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from cluster.foreign import MARKER_SQL
from cluster.ports import free_port

HBA = """
local all all trust
hostssl all old 127.0.0.1/32 md5
hostssl all all 127.0.0.1/32 scram-sha-256
"""
ROLES = f"""
SET password_encryption = 'scram-sha-256';
CREATE ROLE app LOGIN CREATEDB PASSWORD 'a&b/c d';
SET password_encryption = 'md5';
CREATE ROLE old LOGIN PASSWORD 'elderly';
CREATE DATABASE shop OWNER app;
\\connect shop
{MARKER_SQL}
GRANT SELECT ON public.onceproof_allowed TO app;
"""


@dataclass(frozen=True)
class Managed:
    """Where it listens, and the certificate that proves it as `localhost`."""

    port: int
    certificate: Path

    def url(self, user: str = "app", password: str = "a%26b%2Fc%20d", **query: str) -> str:
        given = {"sslmode": "verify-full", "sslrootcert": str(self.certificate)} | query
        asked = "&".join(f"{name}={value}" for name, value in given.items() if value)
        return f"postgresql://{user}:{password}@localhost:{self.port}/shop?{asked}"


def binaries() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not found:
        pytest.skip("Debian's postgresql is not installed: the wheel's server has no TLS")
    return found[-1].parent


@contextmanager
def managed_postgres() -> Iterator[Managed]:
    """Start it, with a user for SCRAM and one for md5."""
    tools = binaries()
    user = "nobody" if os.getuid() == 0 else getpass.getuser()
    folder = Path(tempfile.mkdtemp(prefix="onceproof-managed-", dir="/tmp"))
    try:
        if os.getuid() == 0:
            shutil.chown(folder, user)

        def done(*command: str, given: str | None = None) -> None:
            finished = subprocess.run(
                command, cwd=folder, user=user, input=given, capture_output=True, text=True,
                timeout=60,
            )  # fmt: skip
            assert finished.returncode == 0, finished.stderr

        data, port = folder / "data", free_port()
        done(f"{tools}/initdb", "-D", str(data), "-U", "boss", "--no-sync", "-A", "trust")
        done("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout",
             str(data / "server.key"), "-out", str(data / "server.crt"), "-subj", "/CN=localhost",
             "-addext", "subjectAltName=DNS:localhost")  # fmt: skip
        (data / "server.key").chmod(0o600)
        (data / "pg_hba.conf").write_text(HBA)
        certificate = folder / "ca.crt"
        shutil.copy(data / "server.crt", certificate)
        certificate.chmod(0o644)
        folder.chmod(0o755)
        server = subprocess.Popen(
            [f"{tools}/postgres", "-D", str(data), "-c", "ssl=on", "-c", f"port={port}", "-c",
             "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={folder}"],
            user=user, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            deadline = time.monotonic() + 20
            command = [f"{tools}/psql", "-h", str(folder), "-p", str(port), "-U", "boss", "-v",
                       "ON_ERROR_STOP=1", "-d", "postgres"]  # fmt: skip
            while subprocess.run([*command, "-c", "SELECT 1"], capture_output=True).returncode:
                assert time.monotonic() < deadline, "it never answered"
                time.sleep(0.05)
            done(*command, given=ROLES)
            yield Managed(port, certificate)
        finally:
            server.terminate()
            server.wait(20)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
