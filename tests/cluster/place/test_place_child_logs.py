"""What children say: bounded, and without the secrets that a service tells of itself."""

import asyncio
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from cluster import child_logs
from cluster.child_logs import ChildLogs
from cluster.foreign import passwords
from cluster.journal import Journal
from cluster.processes import Processes, ProcessSpec
from results.errors import ClusterError
from scenarios.engine.config import OWN_CONFIG, load_config
from scenarios.engine.stand import apply_schema

DSN = "postgresql://me:hu%2Fsh@127.0.0.1:5432/x"
SECRETS = ("0123456789abcdef", "", "x", *passwords(DSN))
TELLS = "import os; print('connecting to', os.environ['TOLD'], 'x', flush=True); os._exit(1)"


def test_secrets_are_blotted_out_of_every_log(tmp_path: Path) -> None:
    logs = ChildLogs(tmp_path, SECRETS)
    with logs.open("web-0") as file:
        file.write(f"x {DSN} hu/sh\n0123456789abcdef0123456789abcdef\xff\n".encode("latin-1"))
    (tmp_path / "locust.log").write_text("signed with 0123456789abcdef")
    (tmp_path / "clean.log").write_text("nothing here")
    before_ns = (tmp_path / "clean.log").stat().st_mtime_ns
    logs.blot()
    assert logs.path("web-0").read_bytes() == (
        "x postgresql://me:‹secret›@127.0.0.1:5432/x ‹secret›\n‹secret›‹secret›".encode()
        + b"\xff\n"
    )
    assert (tmp_path / "locust.log").read_text() == "signed with ‹secret›"
    assert (tmp_path / "clean.log").stat().st_mtime_ns == before_ns


@pytest.mark.parametrize("cut", range(0, 40, 3))
def test_last_words_never_begin_within_a_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: int
) -> None:
    monkeypatch.setattr(child_logs, "_LAST_BYTES", 60)
    logs = ChildLogs(tmp_path, ["0123456789abcdef"])
    end = "\nthe disk is on fire\n"
    logs.path("web-0").write_text("y" * 50 + "0123456789abcdef" + "z" * cut + end)
    said = logs.last_words("web-0")
    assert said.endswith("the disk is on fire")
    assert "cdef" not in said


async def test_every_log_of_the_folder_is_bounded_whoever_writes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child_logs, "_LIMIT_BYTES", 1_000)
    monkeypatch.setattr(child_logs, "_CHECK_SECONDS", 0.01)
    logs = ChildLogs(tmp_path)
    bounding = asyncio.create_task(logs.bound())
    try:
        with (tmp_path / "wire.log").open("ab", buffering=0) as strangers, logs.open("a") as ours:
            strangers.write(b"." * 1_001)
            ours.write(b"." * 1_000)
            ours.flush()
            async with asyncio.timeout(10):
                while (tmp_path / "wire.log").stat().st_size:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            strangers.write(b"again")
        assert (tmp_path / "wire.log").read_bytes() == b"again"
        assert logs.path("a").stat().st_size == 1_000
    finally:
        bounding.cancel()


async def test_the_last_words_in_an_error_have_no_secret(journal: Journal, tmp_path: Path) -> None:
    processes = Processes(
        journal=journal, log_folder=tmp_path, ready_seconds=1.0, secrets=passwords(DSN)
    )
    talker = ProcessSpec(
        name="web-0", role="web", command=(sys.executable, "-Sc", TELLS),
        environment={"TOLD": DSN}, url="http://127.0.0.1:9", ready_path="/",
    )  # fmt: skip
    assert "hu%2Fsh" not in repr(talker)
    try:
        with pytest.raises(ClusterError, match="me:‹secret›@127") as caught:
            await processes.start(talker)
    finally:
        await processes.stop_all()
    assert "hu%2Fsh" not in str(caught.value)


async def test_a_schema_command_that_fails_tells_no_secret(
    journal: Journal, tmp_path: Path
) -> None:
    own = load_config(OWN_CONFIG)
    command = ("{python}", "-Sc", TELLS.replace("TOLD", own.service.database_from))
    config = replace(own, service=replace(own.service, schema=command))
    logs = ChildLogs(tmp_path, passwords(DSN))
    with pytest.raises(ClusterError, match="connecting to postgresql://me:‹secret›@") as caught:
        await apply_schema(config, DSN, journal, logs)
    assert "hu%2Fsh" not in str(caught.value)
