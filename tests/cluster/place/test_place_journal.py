import multiprocessing
import subprocess
import sys
from pathlib import Path

import pytest

from cluster.journal import MARKER, Journal, created_at, read_journal
from cluster.lock import RunLock
from cluster.ports import free_port
from results.errors import ClusterError, HarnessError
from results.footprint import Created, Spawned
from results.records import Evidence, FaultRecord, Stage

ROOT = Path(__file__).parents[3]


def test_what_is_written_is_read_again(journal: Journal, tmp_path: Path) -> None:
    child = multiprocessing.current_process().pid
    assert child is not None
    spawned = journal.spawned("web-0", child)
    claimed = tmp_path / "claimed"
    created = journal.create(claimed)
    fault = journal.fault(
        fault_id="crash-0",
        kind="crash",
        point="commit-dropped",
        stage=Stage.EVIDENCE,
        replica="web-0",
        detail={"backend_pid": 7},
        evidence=Evidence(facts={"signal": 9}, missing=("eof",)),
    )
    assert read_journal(journal.path) == [spawned, created, fault]
    assert spawned.created_at_seconds == created_at(child)
    assert (claimed / MARKER).read_text() == journal.owner


@pytest.mark.parametrize("torn", [b'{"record":"spawned","na', b"\xff\xfe\x00", b'{"record":"?"}\n'])
def test_a_torn_last_line_ends_the_reading(journal: Journal, torn: bytes) -> None:
    whole = journal.fault(fault_id="a", kind="crash", point="blind", stage=Stage.ASKED)
    with journal.path.open("ab") as file:
        file.write(torn)
    assert read_journal(journal.path) == [whole]


def test_a_line_without_its_end_is_torn_even_when_it_parses(journal: Journal) -> None:
    journal.fault(fault_id="a", kind="crash", point="blind", stage=Stage.ASKED)
    journal.fault(fault_id="b", kind="crash", point="blind", stage=Stage.ASKED)
    journal.path.write_bytes(journal.path.read_bytes()[:-1])
    found = read_journal(journal.path)
    assert [one.fault_id for one in found if isinstance(one, FaultRecord)] == ["a"]


def test_no_journal_has_no_records(tmp_path: Path) -> None:
    assert read_journal(tmp_path / "none.jsonl") == []


def test_fields_of_a_newer_writer_are_tolerated(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text(
        '{"record":"created","path":"/tmp/x","at_ns":1,"colour":"blue"}\n'
        '{"record":"spawned","name":"a","pid":1,"created_at_seconds":2.5,"at_ns":1}\n'
    )
    assert [type(record) for record in read_journal(path)] == [Created, Spawned]


def test_a_closed_journal_refuses(journal: Journal, tmp_path: Path) -> None:
    journal.close()
    journal.close()
    with pytest.raises(HarnessError, match="closed"):
        journal.create(tmp_path)


def test_the_lock_names_its_holder_and_ends_with_it(tmp_path: Path) -> None:
    program = (
        "import pathlib, sys\n"
        "from cluster.lock import RunLock\n"
        "with RunLock(pathlib.Path(sys.argv[1]), 'local: service/x'):\n"
        "    print('held', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        lock = RunLock(tmp_path, "local: service/x")
        with pytest.raises(ClusterError, match=str(holder.pid)):
            lock.acquire()
        with RunLock(tmp_path, "another"):
            pass
    finally:
        holder.kill()
        holder.communicate()
    with lock:
        assert lock.path.parent == tmp_path / ".locks"
    with lock:
        pass


def test_ports_are_free_low_and_never_the_same() -> None:
    ports = [free_port() for _ in range(50)]
    assert len(set(ports)) == 50
    assert max(ports) < 32768
