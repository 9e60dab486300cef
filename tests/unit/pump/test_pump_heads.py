"""The first lines of a request, as the transport makes them from a URL.

In a process of its own: what makes them imports gevent.
"""

import json
import subprocess
import sys

import pytest

from loadtests.pump.link import ROOT

MAKE = """
import json, sys
from geventhttpclient.url import URL
from loadtests.pump_transport import beginning, place
made = []
for url in json.loads(sys.argv[1]):
    to = place(URL(url))
    made.append([beginning(URL(url)), to.host, to.port, to.tls])
print(json.dumps(made))
"""
EXPECTED = {
    "http://localhost:3000/webhooks": ("/webhooks", "localhost:3000", "localhost", 3000, False),
    "https://a.example/base/w?x=1&y": ("/base/w?x=1&y", "a.example", "a.example", 443, True),
    "http://a.example:80/": ("/", "a.example", "a.example", 80, False),
    "http://[::1]:81/w": ("/w", "[::1]:81", "::1", 81, False),
    "https://[fd00::1]/w": ("/w", "[fd00::1]", "fd00::1", 443, True),
    "http://bücher.example/ä b\r\nX: y": ("/%C3%A4%20bX:%20y", "xn--bcher-kva.example",
                                         "bücher.example", 80, False),
    "http://localhost/a%20b": ("/a%20b", "localhost", "localhost", 80, False),
}  # fmt: skip


@pytest.fixture(scope="module")
def made() -> dict[str, list[object]]:
    done = subprocess.run(
        [sys.executable, "-c", MAKE, json.dumps(list(EXPECTED))], cwd=ROOT, check=True,
        capture_output=True, text=True,
    )  # fmt: skip
    return dict(zip(EXPECTED, json.loads(done.stdout), strict=True))


@pytest.mark.parametrize("url", EXPECTED)
def test_where_to(url: str, made: dict[str, list[object]]) -> None:
    path, host, *rest = EXPECTED[url]
    assert made[url] == [f"POST {path} HTTP/1.1\r\nHost: {host}\r\n", *rest]
