"""What an answer says, however it is cut; what can be read in two ways is no answer."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as some

from loadtests.pump.response import BadResponseError, Response

OK = b"HTTP/1.1 200 OK\r\n"
GOOD = {
    "a length": (OK + b"Content-Length: 5\r\n\r\nhello", 200, True),
    "the same length twice": (OK + b"Content-Length: 5, 5\r\nContent-Length:5\r\n\r\nhello", 200,
                              True),
    "no reason": (b"HTTP/1.1 200\r\ncontent-length:0\r\n\r\n", 200, True),
    "an empty reason": (b"HTTP/1.1 503 \r\ncontent-length: 0 \r\n\r\n", 503, True),
    "no content": (b"HTTP/1.1 204 No Content\r\nX: y\r\n\r\n", 204, True),
    "not modified, with a length": (b"HTTP/1.1 304 -\r\nContent-Length: 9\r\n\r\n", 304, True),
    "an old server": (b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n.", 200, False),
    "a last word": (OK + b"Connection: Keep-Alive, Close\r\nContent-Length: 0\r\n\r\n", 200,
                    False),
    "interim answers": (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n"
                        b"\r\nHTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}", 201, True),
    "chunks": (OK + b"Transfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\nA;a=\"b\"\r\n0123456789\r\n"
               b"0\r\n\r\n", 200, True),
    "a trailer": (OK + b"Transfer-Encoding: chunked\r\n\r\n000\r\nX: y\r\nZ: \r\n\r\n", 200, True),
    "bytes behind": (OK + b"Content-Length: 0\r\n\r\nmore", 200, False),
    "bytes behind chunks": (OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n!", 200, False),
}  # fmt: skip
BAD = {
    "another protocol": b"SSH-2.0-OpenSSH_9\r\n\r\n",
    "HTTP/2": b"HTTP/2 200\r\n\r\n",
    "a status of two digits": b"HTTP/1.1 99 \r\n\r\n",
    "a status of four digits": b"HTTP/1.1 2000 OK\r\n\r\n",
    "a status without an end": b"HTTP/1.1 200OK\r\n\r\n",
    "a folded field": OK + b"A: b\r\n c\r\n\r\n",
    "a space before the colon": OK + b"Content-Length : 0\r\n\r\n",
    "a bare line feed": OK + b"A: b\nContent-Length: 0\r\n\r\n",
    "no colon": OK + b"nothing\r\n\r\n",
    "a zero byte": OK + b"A: \x00\r\n\r\n",
    "two lengths": OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n..",
    "a length with a sign": OK + b"Content-Length: +1\r\n\r\n.",
    "an empty length": OK + b"Content-Length: \r\n\r\n",
    "a length and chunks": OK + b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "another coding": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "no size": OK + b"Transfer-Encoding: chunked\r\n\r\nx\r\n",
    "a size with a sign": OK + b"Transfer-Encoding: chunked\r\n\r\n+1\r\n.\r\n",
    "a chunk that is longer": OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
    "an endless chunk line": OK + b"Transfer-Encoding: chunked\r\n\r\n1;" + b"a" * 5_000,
    "an endless head": OK + b"A: " + b"a" * 70_000,
    "an endless trailer": OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"A: b\r\n" * 20_000,
    "an upgrade": b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    "interim answers without end": b"HTTP/1.1 100 \r\n\r\n" * 17,
}


@pytest.mark.parametrize("name", GOOD)
@given(cuts=some.sets(some.integers(0, 250), max_size=12))
def test_an_answer_is_complete_at_its_last_byte_however_it_is_cut(
    name: str, cuts: set[int]
) -> None:
    raw, status, reusable = GOOD[name]
    behind = {"bytes behind": 4, "bytes behind chunks": 1}.get(name, 0)
    end = len(raw) - behind
    edges = sorted({0, len(raw), *(cut for cut in cuts if cut < end)})
    response = Response()
    said = [response.feed(raw[a:b]) for a, b in itertools.pairwise(edges)]
    assert said == [False] * (len(said) - 1) + [True]
    assert (response.status, response.reusable) == (status, reusable)


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("step", [1, 7, 1_000_000])
def test_what_is_malformed_or_ambiguous_is_no_answer(name: str, step: int) -> None:
    raw, response = BAD[name], Response()
    with pytest.raises(BadResponseError):
        for at in range(0, len(raw), step):
            assert not response.feed(raw[at : at + step])
        pytest.fail("it was taken for a beginning")


@pytest.mark.parametrize("name", GOOD)
def test_the_end_of_a_connection_completes_no_answer_that_told_its_length(name: str) -> None:
    raw, _, _ = GOOD[name]
    for cut in range(1, len(raw)):
        response = Response()
        if not response.feed(raw[:cut]):
            assert not response.end()


def test_without_a_length_the_end_of_the_connection_is_that_of_the_answer() -> None:
    response = Response()
    assert not response.feed(OK + b"\r\nhel")
    assert not response.feed(b"lo")
    assert response.end()
    assert (response.status, response.reusable) == (200, False)
