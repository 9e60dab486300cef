"""The history holds what was about to be sent, whatever happens to its writer."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from loadtests import recorder
from loadtests.recorder import Recorder, outcome_of
from results.records import Completion, GeneratorEnd, Intent, Outcome

READER = msgspec.json.Decoder(Intent | Completion | GeneratorEnd)
ROOT = Path(__file__).resolve().parents[3]
CHILD = """
import sys
from pathlib import Path
from loadtests.recorder import Recorder
from tests.unit.traffic.test_recorder import intent
recorder = Recorder(Path(sys.argv[1]))
recorder.intend([intent(f"a.{copy}.1") for copy in range(50)])
sys.stdout.write("sent\\n")
sys.stdout.flush()
sys.stdin.read()
"""


def intent(attempt_id: str) -> Intent:
    return Intent(
        attempt_id=attempt_id, group_id="g", shop="s", order_id=1, topic="orders/paid",
        webhook_id="w", event_id="e", copy=0, attempt=1, authentic=True, target="web-0",
        lines=(), intended_ns=1,
    )  # fmt: skip


def test_a_history_says_when_it_is_full_and_records_what_is_under_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "HISTORY_MAX_BYTES", 500)
    kept = Recorder(tmp_path / "history")
    kept.intend([intent("a.0.1")])
    assert not kept.full
    kept.intend([intent("a.1.1"), intent("a.2.1")])
    assert kept.full
    kept.complete("a.0.1", sent_ns=1, status=None, error="x" * 10_000)
    lines = (tmp_path / "history").read_bytes().splitlines()
    assert len(lines) == 4
    last = READER.decode(lines[-1])
    assert isinstance(last, Completion)
    assert last.error == "x" * recorder.ERROR_MAX_CHARACTERS


@pytest.mark.parametrize(
    ("sent_ns", "status", "outcome"),
    [
        (None, None, Outcome.FAIL),
        (1, None, Outcome.INFO),
        (1, 200, Outcome.OK),
        (1, 299, Outcome.OK),
        (1, 302, Outcome.INFO),
        (1, 400, Outcome.FAIL),
        (1, 401, Outcome.FAIL),
        (1, 404, Outcome.FAIL),
        (1, 413, Outcome.FAIL),
        (1, 409, Outcome.INFO),
        (1, 429, Outcome.INFO),
        (1, 500, Outcome.INFO),
        (1, 503, Outcome.INFO),
    ],
)
def test_what_the_sender_may_conclude(
    sent_ns: int | None, status: int | None, outcome: Outcome
) -> None:
    assert outcome_of(sent_ns, status) is outcome


def test_a_burst_is_one_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder(tmp_path / "history-0.jsonl")
    writes: list[int] = []
    write = os.write

    def counted(file: int, content: bytes) -> int:
        writes.append(len(content))
        return write(file, content)

    monkeypatch.setattr(os, "write", counted)
    recorder.intend([intent("a"), intent("b"), intent("c")])
    assert len(writes) == 1


def test_a_whole_history_reads_back(tmp_path: Path) -> None:
    file = tmp_path / "runs" / "history-0.jsonl"
    recorder = Recorder(file)
    recorder.intend([intent("a"), intent("b")])
    assert recorder.complete("a", sent_ns=5, status=200, error=None) is Outcome.OK
    recorder.end(worker=0, planned=2, sent=1, shed=1)
    records = [READER.decode(line) for line in file.read_bytes().splitlines()]
    assert [type(record) for record in records] == [Intent, Intent, Completion, GeneratorEnd]
    assert isinstance(records[3], GeneratorEnd)
    assert records[3].shed_orders == 1


def test_kill_9_loses_no_intent_of_a_burst_that_may_have_been_sent(tmp_path: Path) -> None:
    file = tmp_path / "history-0.jsonl"
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(file)],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as child:  # fmt: skip
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == b"sent\n"
        finally:
            child.send_signal(signal.SIGKILL)
    records = [READER.decode(line) for line in file.read_bytes().splitlines()]
    assert len(records) == 50
