"""`onceproof serve`, as a browser and as somebody who should not read it meet it."""

import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.store_run import STORED, unpack


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two stored runs, one of them without its verdict, a matrix's picture, and a way out."""
    tmp_path = tmp_path_factory.mktemp("serve")
    folder = tmp_path / "runs"
    folder.mkdir()
    names = sorted(path.name for path in STORED.glob("f*"))[:2]
    for name in names:
        unpack(STORED / name, folder / name)
    judged = folder / names[0]
    done = subprocess.run(
        [sys.executable, "-m", "scenarios.engine.cli", "report", str(judged)],
        capture_output=True, timeout=120,
    )  # fmt: skip
    assert (judged / "report.html").is_file(), done.stderr
    (folder / names[1] / "verdict.json").unlink(missing_ok=True)
    (folder / "matrix-1").mkdir()
    (folder / "matrix-1" / "matrix.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    (tmp_path / "secret.json").write_text("{}")
    (judged / "out.json").symlink_to(tmp_path / "secret.json")
    (judged / "odd.bin").write_bytes(b"x")
    (folder / "<b>bold").mkdir()
    return folder


@pytest.fixture(scope="module")
def port(runs: Path) -> Iterator[int]:
    server = subprocess.Popen(
        [sys.executable, "-m", "scenarios.engine.cli", "serve", "--port", "0", "--runs", str(runs)],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert server.stderr is not None
    overdue = threading.Timer(60, server.kill)  # a line that never comes fails, and does not hang
    overdue.start()
    found = re.search(r"http://127\.0\.0\.1:(\d+)", server.stderr.readline())
    overdue.cancel()
    assert found
    try:
        yield int(found[1])
    finally:
        server.send_signal(signal.SIGINT)
        begun = time.monotonic()
        assert server.wait(timeout=10) == 130
        assert time.monotonic() - begun < 5


def get(port: int, path: str, host: str = "127.0.0.1") -> tuple[int, str]:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path, headers={"Host": f"{host}:{port}"})
    answer = connection.getresponse()
    body = answer.read().decode("utf-8", "replace")
    connection.close()
    return answer.status, body


def test_runs_are_listed_with_their_verdicts_and_reports(port: int, runs: Path) -> None:
    status, page = get(port, "/")
    assert status == 200
    judged = next(path.parent for path in runs.glob("*/report.html"))
    assert f'href="runs/{judged.name}/report.html"' in page
    assert 'src="runs/matrix-1/matrix.svg"' in page
    assert "no verdict" in page
    assert page.count('class="pill') == 2
    status, report = get(port, f"/runs/{judged.name}/report.html")
    assert status == 200
    assert report == (judged / "report.html").read_text()


def test_only_files_of_runs_and_only_for_this_machine(port: int, runs: Path) -> None:
    judged = next(path.parent for path in runs.glob("*/report.html")).name
    for path in (
        "/runs/../secret.json", "/runs/..%2fsecret.json", f"/runs/{judged}/out.json",
        f"/runs/{judged}/odd.bin", f"/runs/{judged}", "/runs/none.json", "/secret.json",
    ):  # fmt: skip
        assert get(port, path)[0] == 404, path
    for path in ("/", f"/runs/{judged}/report.html"):
        assert get(port, path, host="somewhere.example")[0] == 403
        assert get(port, path, host="localhost")[0] == 200


def test_a_taken_port_says_what_to_do(port: int, runs: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "scenarios.engine.cli", "serve", "--port", str(port),
         "--runs", str(runs)],
        capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert done.returncode == 255
    assert "Choose another --port" in done.stderr
