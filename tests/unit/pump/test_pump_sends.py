"""The pump against a server that does everything an answer can do wrong, and more."""

import socket
import threading
import time
from pathlib import Path

import pytest

from results.records import Completion, GeneratorEnd, Intent, Outcome
from tests.unit.pump.hostile import ANSWER, Server, accept, pumping

OK = b"HTTP/1.1 200 OK\r\n"


def by_attempt(records: list[Intent | Completion | GeneratorEnd]) -> dict[str, Completion]:
    return {one.attempt_id: one for one in records if isinstance(one, Completion)}


def slowly(data: bytes, connection: socket.socket) -> None:
    for at in range(len(data)):
        connection.sendall(data[at : at + 1])
        time.sleep(0.002)


@pytest.mark.parametrize(
    ("data", "stays"),
    [
        (ANSWER, True),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", True),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + ANSWER, True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", True),
        (OK + b"\r\nto the end", False),
        (OK + b"Connection: close\r\nContent-Length: 1\r\n\r\n.", False),
    ],
)
def test_answers_in_pieces(data: bytes, stays: bool, tmp_path: Path) -> None:
    def play(connection: socket.socket, _number: int) -> bool:
        slowly(data, connection)
        return stays

    with (
        Server(play).serving() as server,
        pumping(tmp_path / "h", [("127.0.0.1", server.port)]) as driver,
    ):
        for _ in range(3):
            result = driver.one()
            assert result.status == int(data[9:12]) or result.status == 200
            assert result.error is None
        assert server.connections == (1 if stays else 3)
        assert len(server.requests) == 3
        records = driver.end()
    assert isinstance(records[-1], GeneratorEnd)
    assert (records[-1].planned_orders, records[-1].sent_orders) == (3, 2)
    assert {one.outcome for one in by_attempt(records).values()} == {Outcome.OK}


@pytest.mark.parametrize("first", [b"", b"HTTP/1.1 20", OK + b"Content-Length: 9\r\n\r\n1234",
                                   OK + b"Transfer-Encoding: chunked\r\n\r\n9\r\nabc"])  # fmt: skip
@pytest.mark.parametrize("reset", [True, False])
def test_who_reads_and_hangs_up_was_sent_to_once(first: bytes, reset: bool, tmp_path: Path) -> None:
    """On a reused connection, too: an idle one that dies is no reason to send again."""

    def play(connection: socket.socket, number: int) -> bool:
        if number != 2:
            return accept(connection, number)
        connection.sendall(first)
        if reset:
            time.sleep(0.05)  # or it would overtake what was written
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        return False

    with (
        Server(play).serving() as server,
        pumping(tmp_path / "h", [("127.0.0.1", server.port)]) as driver,
    ):
        assert driver.one().status == 200
        lost = driver.one()
        assert (lost.status, lost.sent_ns is None) == (None, False)
        assert lost.error
        assert driver.one().status == 200
        assert server.connections == 2
        assert len(server.requests) == 3
        completions = by_attempt(driver.end())
    assert [one.outcome for one in completions.values()] == [Outcome.OK, Outcome.INFO, Outcome.OK]


def test_a_connection_that_was_closed_while_idle_is_not_used(tmp_path: Path) -> None:
    def play(connection: socket.socket, number: int) -> bool:
        accept(connection, number)
        if number == 2:
            connection.sendall(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
            return True  # an answer to nothing: what follows would be taken for the next one
        return number != 1

    with (
        Server(play).serving() as server,
        pumping(tmp_path / "h", [("127.0.0.1", server.port)]) as driver,
    ):
        for _ in range(3):
            result = driver.one(due_ns=time.monotonic_ns() + 700_000_000)
            assert result.status == 200
        assert len(server.requests) == 3
        assert server.connections == 3


def test_one_that_dies_after_it_was_reserved_is_replaced_before_anything_is_sent(
    tmp_path: Path,
) -> None:
    kept: list[socket.socket] = []

    def play(connection: socket.socket, number: int) -> bool:
        kept.append(connection)
        return accept(connection, number)

    with (
        Server(play).serving() as server,
        pumping(tmp_path / "h", [("127.0.0.1", server.port)]) as driver,
    ):
        driver.one()
        driver.send(due_ns=time.monotonic_ns() + 2_000_000_000)
        time.sleep(0.1)
        kept[0].shutdown(socket.SHUT_RDWR)
        assert [one.status for one in driver.wait(2)] == [200, 200]
        assert len(server.requests) == 2


def test_a_refusal_has_sent_nothing(tmp_path: Path) -> None:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        with pumping(tmp_path / "h", [unheard.getsockname()]) as driver:
            driver.send(3)
            for one in driver.wait(3):
                assert (one.sent_ns, one.status) == (None, None)
                assert "ConnectionRefused" in (one.error or "")
            completions = by_attempt(driver.end())
    assert {one.outcome for one in completions.values()} == {Outcome.FAIL}


def test_a_name_that_leads_nowhere_has_sent_nothing(tmp_path: Path) -> None:
    with pumping(tmp_path / "h", [("nowhere.invalid", 80)]) as driver:
        result = driver.one()
        assert result.sent_ns is None
        assert "gaierror" in (result.error or "")


def test_who_does_not_take_a_connection_within_its_time_was_sent_nothing(tmp_path: Path) -> None:
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for one in (first, second):  # as many as it has places for
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        with pumping(tmp_path / "h", [full.getsockname()], connect_seconds=0.4) as driver:
            began = time.monotonic()
            result = driver.one()
            assert 0.3 < time.monotonic() - began < 4.5
            assert (result.sent_ns, result.status) == (None, None)
            assert "no connection within 0.4 s" in (result.error or "")


@pytest.mark.parametrize("trickle", [True, False])
def test_the_time_is_for_the_whole_answer(trickle: bool, tmp_path: Path) -> None:
    released = threading.Event()

    def play(connection: socket.socket, _number: int) -> bool:
        connection.sendall(OK + b"Content-Length: 1000\r\n\r\n" if trickle else b"")
        while not released.wait(0.05):
            connection.sendall(b"." if trickle else b"")
        return False

    with (
        Server(play).serving() as server,
        pumping(tmp_path / "h", [("127.0.0.1", server.port)], total_seconds=0.6) as driver,
    ):
        result = driver.one()
        released.set()
        assert result.sent_ns is not None
        assert result.status is None
        assert "0.6 s" in (result.error or "")
        assert 0.5 < (result.done_ns - result.sent_ns) / 1e9 < 4.5


def test_a_long_body_is_sent_as_it_is_taken_and_an_early_answer_is_heard(tmp_path: Path) -> None:
    body = b"x" * (8 << 20)

    def play(connection: socket.socket, number: int) -> bool:
        if number == 1:
            return accept(connection, number)
        return False

    refusing = Server(play)
    with (
        refusing.serving() as server,
        socket.create_server(("127.0.0.1", 0)) as early,
        pumping(
            tmp_path / "h", [("127.0.0.1", server.port), early.getsockname()], total_seconds=60
        ) as driver,
    ):  # fmt: skip
        assert driver.one(body=body).status == 200
        assert server.requests[0].endswith(body)
        driver.send(body=body, target=1)
        with early.accept()[0] as connection:
            connection.recv(1_000)
            connection.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
            assert driver.wait(2)[1].status == 413


def test_copies_leave_at_their_time_over_connections_of_their_own(tmp_path: Path) -> None:
    history = tmp_path / "h"
    intended: list[bool] = []

    def play(connection: socket.socket, number: int) -> bool:
        intended.append(b"a.7.1" in history.read_bytes())
        return accept(connection, number)

    with (
        Server(play).serving() as server,
        pumping(history, [("127.0.0.1", server.port)]) as driver,
    ):
        due_ns = time.monotonic_ns() + 2_000_000_000
        driver.send(8, due_ns=due_ns)
        while server.connections < 8 and time.monotonic_ns() < due_ns:
            time.sleep(0.01)
        assert time.monotonic_ns() < due_ns, "they are there before their time"
        assert not server.requests
        results = driver.wait(8)
        assert all(one.sent_ns is not None and one.sent_ns >= due_ns for one in results)
        records = driver.end()
    assert intended == [True] * 8
    assert [type(one) for one in records[:8]] == [Intent] * 8


def test_the_last_bytes_come_by_themselves(tmp_path: Path) -> None:
    arrived: list[int] = []

    def play(connection: socket.socket, number: int) -> bool:
        arrived.append(time.monotonic_ns())
        return accept(connection, number)

    with (
        Server(play).serving() as server,
        pumping(tmp_path / "h", [("127.0.0.1", server.port)]) as driver,
    ):
        ahead: list[bool] = []  # a busy machine may wake the pump after both of its times
        while len(ahead) < 2 or (len(ahead) < 60 and not any(ahead)):  # over used connections, too
            due_ns = time.monotonic_ns() + 200_000_000
            driver.send(4, due_ns=due_ns, last_byte=True, body=b"z" * 5_000)
            results = driver.wait(len(driver.results) + 4)[-4:]
            assert {one.status for one in results} == {200}
            ahead.append(all(one.sent_ns is not None and one.sent_ns < due_ns for one in results))
            assert all(at >= due_ns for at in arrived[-4:])
        assert any(ahead)
        assert server.connections == 4
        assert all(one.endswith(b"z" * 5_000) for one in server.requests)
