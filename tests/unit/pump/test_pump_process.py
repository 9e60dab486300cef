"""The pump as a process: its limits, its end, and what it must not know."""

import gc
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from loadtests.pump.connection import CLOSED, CONNECTING, READY, Connection
from loadtests.pump.link import ROOT
from loadtests.pump.poll import Poll
from loadtests.pump.targets import Target
from results.errors import HarnessError
from results.records import Completion, GeneratorEnd, Intent
from tests.unit.pump.hostile import Server, accept, pumping


def held(seconds: float) -> Server:
    def play(connection: socket.socket, number: int) -> bool:
        time.sleep(seconds)
        return accept(connection, number)

    return Server(play)


def test_beyond_what_may_be_in_flight_bursts_wait_or_are_shed_without_a_trace(
    tmp_path: Path,
) -> None:
    with (
        held(1.5).serving() as server,
        pumping(tmp_path / "h", [("127.0.0.1", server.port)], in_flight_max=4) as driver,
    ):
        driver.send(4)
        waits = driver.send(2)
        late = driver.send(2, latest_ns=time.monotonic_ns() + 300_000_000)
        driver.wait(8)
        assert server.connections <= 4
        assert {number for number, one in driver.results.items() if one.shed} == set(late)
        assert {driver.results[number].status for number in waits} == {200}
        records = driver.end()
        assert driver.ended is not None
        assert driver.ended.shed == 1
        assert driver.ended.late >= 1
    assert len([one for one in records if isinstance(one, Intent)]) == 6
    assert len([one for one in records if isinstance(one, Completion)]) == 6


def test_at_its_end_what_is_in_flight_is_answered_and_what_waits_is_not_begun(
    tmp_path: Path,
) -> None:
    with (
        held(0.5).serving() as server,
        pumping(tmp_path / "h", [("127.0.0.1", server.port)]) as driver,
    ):
        begun = driver.send(2)
        waiting = driver.send(2, due_ns=time.monotonic_ns() + 30_000_000_000)
        while len(server.requests) < 2:
            time.sleep(0.01)
        records = driver.end()
    assert {driver.results[number].status for number in begun} == {200}
    assert all(driver.results[number].shed for number in waiting)
    assert isinstance(records[-1], GeneratorEnd)
    assert len(records) == 2 + 2 + 1


def test_a_thousand_bursts_at_once_are_all_sent_once(tmp_path: Path) -> None:
    with (
        Server().serving() as server,
        pumping(tmp_path / "h", [("127.0.0.1", server.port)], in_flight_max=32) as driver,
    ):
        for _ in range(1_000):
            driver.send(2, body=b"x" * 6_000)
        assert {one.status for one in driver.wait(2_000)} == {200}
        assert len(set(server.requests)) == len(server.requests) == 2_000
        assert server.connections <= 32


CHILD = """
import sys, time
from pathlib import Path
from tests.unit.pump.hostile import pumping
with pumping(Path(sys.argv[1]), [("127.0.0.1", int(sys.argv[2]))]) as driver:
    driver.send(2)
    print(driver.pump.pid, flush=True)
    time.sleep(60)
"""


def test_it_dies_with_whoever_started_it_and_what_was_sent_is_on_file(tmp_path: Path) -> None:
    history = tmp_path / "h"
    with held(30).serving() as server:
        parent = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(history), str(server.port)], cwd=ROOT,
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            assert parent.stdout is not None
            pump = psutil.Process(int(parent.stdout.readline()))
            deadline = time.monotonic() + 20
            while len(server.requests) < 2 and time.monotonic() < deadline:
                time.sleep(0.01)
        finally:
            parent.kill()
            parent.wait()
            parent.stdout.close()
        psutil.wait_procs([pump], timeout=5)
        assert not pump.is_running() or pump.status() == psutil.STATUS_ZOMBIE
    assert history.read_bytes().count(b"intent") == 2


def test_it_is_ours_whatever_lies_where_it_was_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("loadtests.py", "results.py", "socket.py", "msgspec.py"):
        (tmp_path / name).write_text("raise SystemExit('another')")
    monkeypatch.chdir(tmp_path)
    with (
        Server().serving() as server,
        pumping(tmp_path / "h", [("127.0.0.1", server.port)]) as driver,
    ):
        assert driver.one().status == 200


def test_it_is_deaf_to_what_a_terminal_sends_to_both(tmp_path: Path) -> None:
    with (
        Server().serving() as server,
        pumping(tmp_path / "h", [("127.0.0.1", server.port)]) as driver,
    ):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(driver.pump.pid, number)
        assert driver.one().status == 200
        driver.end()


def test_whoever_hands_over_to_one_that_was_killed_is_told(tmp_path: Path) -> None:
    with pumping(tmp_path / "h", [("127.0.0.1", 9)]) as driver:
        os.kill(driver.pump.pid, signal.SIGKILL)
        assert list(driver.pump.hear()) == []
        with pytest.raises(HarnessError, match="gone"):
            for _ in range(10):
                driver.send()


def test_one_that_cannot_write_its_history_does_not_begin(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match="pump"), pumping(tmp_path / "no" / "h", []):
        pytest.fail("it began")


def test_it_knows_no_secret_and_no_locust(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_SECRET", "hush-hush")
    with pumping(tmp_path / "h", [], environment=["THE_SECRET"]) as driver:
        told = Path(f"/proc/{driver.pump.pid}/environ").read_bytes()
        told += Path(f"/proc/{driver.pump.pid}/cmdline").read_bytes()
        libraries = Path(f"/proc/{driver.pump.pid}/maps").read_text()
    assert b"hush" not in told
    assert "gevent" not in libraries
    imported = subprocess.run(
        [sys.executable, "-c", "import sys, loadtests.pump.__main__; print(*sys.modules)"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    assert not {"locust", "gevent", "geventhttpclient", "aiohttp", "jinja2"} & set(imported)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    key, file = folder / "key.pem", folder / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout",
               str(key), "-out", str(file), "-subj", "/CN=localhost", "-addext",
               "subjectAltName=DNS:localhost"]  # fmt: skip
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=60)
    except FileNotFoundError:
        pytest.skip("openssl is not installed: it makes the certificate of this test")
    return file, key


def secure(certificate: tuple[Path, Path]) -> Server:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return Server(tls=context)


def test_tls_is_spoken_with_whom_it_knows(
    certificate: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    with (
        secure(certificate).serving() as server,
        pumping(tmp_path / "h", [("localhost", server.port)], tls=True) as driver,
    ):
        for _ in range(3):
            driver.send(2, body=b"x" * 100_000)
            driver.wait(len(driver.results) + 2)
        assert {one.status for one in driver.results.values()} == {200}
        assert len(set(server.requests)) == 6
        assert server.connections == 2


@pytest.mark.parametrize("known", [True, False])
def test_tls_sends_nothing_to_whom_it_cannot_verify(
    certificate: tuple[Path, Path], known: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if known:  # the authority, but the certificate is for another name
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    host = "127.0.0.1" if known else "localhost"
    with (
        secure(certificate).serving() as server,
        pumping(tmp_path / "h", [(host, server.port)], tls=True) as driver,
    ):
        result = driver.one()
        assert (result.sent_ns, result.status) == (None, None)
        assert "CertVerification" in (result.error or "")
        assert not server.requests


def test_names_and_both_families_lead_there(tmp_path: Path) -> None:
    for host in ("127.0.0.1", "localhost", "::1"):
        if host == "::1" and not socket.has_dualstack_ipv6():
            continue
        with (
            Server(host=host.replace("localhost", "127.0.0.1")).serving() as server,
            pumping(tmp_path / host, [(host, server.port)]) as driver,
        ):
            assert driver.one().status == driver.one().status == 200


def test_what_fails_leaves_no_garbage_to_look_for() -> None:
    """The pump looks for it only when nothing is due, which may be never."""
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        target = Target("a.name", 80, None, [(socket.AF_INET, unheard.getsockname())])
        poll = Poll()
        gc.collect()
        gc.disable()
        try:
            for _ in range(5):
                connection = Connection(target, poll)
                with pytest.raises(ConnectionRefusedError):
                    while poll.wait(1.0):
                        connection.advance()
                del connection
                poll.wait(0)
            gc.set_debug(gc.DEBUG_SAVEALL)
            gc.collect()
            found = [one for one in gc.garbage if isinstance(one, Connection)]
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()
    assert not found


def test_an_address_that_refuses_gives_way_to_the_next_one_which_is_kept() -> None:
    with socket.socket() as unheard, socket.create_server(("127.0.0.1", 0)) as server:
        unheard.bind(("127.0.0.1", 0))
        refuses, takes = unheard.getsockname(), server.getsockname()
        target = Target("a.name", 80, None, [(socket.AF_INET, one) for one in (refuses, takes)])
        poll = Poll()
        connection = Connection(target, poll)
        deadline = time.monotonic() + 5
        while connection.state == CONNECTING and time.monotonic() < deadline:
            for _ in poll.wait(0.1):
                connection.advance()
        assert connection.state == READY
        assert connection.socket.getpeername() == takes
        assert [address for _, address in target.addresses] == [takes, refuses]
        connection.close()
        target.addresses = [(socket.AF_INET, refuses)]
        refused = Connection(target, poll)
        with pytest.raises(ConnectionRefusedError):
            while time.monotonic() < deadline:
                for fd, _ in poll.wait(0.1):
                    assert poll.by_fd[fd] is refused
                    refused.advance()
        assert refused.state == CLOSED
        poll.wait(0)
