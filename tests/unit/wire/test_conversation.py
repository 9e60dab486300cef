"""What a connection's end says of the transaction that ended with it."""

import pytest

from cluster.wire.conversation import Conversation


def sent(talk: Conversation, sql: str) -> None:
    flight = talk.flight()
    flight.sql.append(sql)
    talk.forwarded(flight)
    talk.current = None


def answered(talk: Conversation, tag: str, state: str) -> None:
    talk.read_answer(ord("C"), tag.encode() + b"\0")
    flight = talk.answered(state, 1)
    assert flight is not None
    talk.finished(flight)


@pytest.mark.parametrize(("tag", "wrote"), [("INSERT 0 1", True), ("INSERT 0 0", False)])
def test_an_open_transaction_has_written_if_rows_were_counted(tag: str, wrote: bool) -> None:
    talk = Conversation("web-0", 1, "")
    sent(talk, "BEGIN")
    answered(talk, "BEGIN", "T")
    sent(talk, "INSERT INTO orders VALUES ($1)")
    assert not talk.connection_trace("client-eof", 1).wrote
    answered(talk, tag, "T")
    assert talk.connection_trace("client-eof", 2).wrote is wrote


@pytest.mark.parametrize("end", ["COMMIT", "ROLLBACK"])
def test_a_transaction_whose_end_is_under_way_may_be_over_already(end: str) -> None:
    talk = Conversation("web-0", 1, "")
    sent(talk, "BEGIN")
    answered(talk, "BEGIN", "T")
    sent(talk, "UPDATE orders SET status = $1")
    answered(talk, "UPDATE 1", "T")
    assert talk.connection_trace("client-eof", 1).wrote
    sent(talk, end)
    assert talk.state == "T"
    assert not talk.connection_trace("client-eof", 2).wrote
    answered(talk, end, "I")
    sent(talk, "BEGIN")
    answered(talk, "BEGIN", "T")
    assert not talk.connection_trace("client-eof", 3).wrote
