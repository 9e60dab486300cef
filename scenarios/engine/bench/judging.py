"""What the checker's benchmark runs as a process of its own, so that its memory can be told.

`python -m scenarios.engine.bench.judging make FOLDER DELIVERIES EVERY SEED [lines]` writes a long
history as columns, or, with `lines`, as the JSON lines that a sender writes. `... judge FOLDER`
and `... records FOLDER` judge it, in the way of `onceproof check` or by records alone, and print
one line of JSON.
"""

import json
import resource
import shutil
import sys
import time
from pathlib import Path

import msgspec

from results.checker import check, judge
from results.columns.layout import TABLES, Columns
from results.records import Record, Snapshot
from results.run_folder import RunFolder
from results.screen.tables import Tables
from scenarios.engine.bench.long_history import write_history


def make(folder: Path, deliveries: int, every: int, seed: int, *, as_lines: bool) -> None:
    """Write the run."""
    folder.mkdir()
    run = write_history(folder, deliveries, every, seed)
    if as_lines:
        write_lines(run)
        shutil.rmtree(Columns(run).path)


def write_lines(run: RunFolder) -> None:
    """The records of a run's columns, as JSON lines."""
    columns = Columns(run)
    meta = columns.read_meta()
    assert meta is not None
    tables = Tables.together(
        Tables(*(columns.shard(table, shard) for table in TABLES)) for shard in range(meta.shards)
    )
    replace = msgspec.structs.replace
    sent = [replace(one, event_id=one.webhook_id) for one in tables.intents(meta)]
    sent.sort(key=lambda one: one.intended_ns)
    states = tables.order_states(meta)
    shots = columns.snapshots.read_bytes().splitlines()
    looks = [
        replace(msgspec.json.decode(line, type=Snapshot), orders=tuple(states.get(look, ())))
        for look, line in enumerate(shots)
    ]
    history: list[Record] = [*sent, *tables.completions(), *meta.generator_ends]
    calls = sorted(tables.provider_calls(meta), key=lambda one: one.at_ns)
    files: list[tuple[Path, list[Record]]] = [
        (run.history(0), history), (run.witness, [*calls]), (run.ledger, [*looks])
    ]  # fmt: skip
    encoder = msgspec.json.Encoder()
    for path, records in files:
        with path.open("wb") as file:
            file.writelines(encoder.encode(record) + b"\n" for record in records)


def main(what: str, folder: str, *more: str) -> None:
    """See above."""
    path = Path(folder)
    if what == "make":
        deliveries, every, seed = map(int, more[:3])
        make(path, deliveries, every, seed, as_lines="lines" in more)
        return
    run, begun = RunFolder(path), time.monotonic()
    verdict = judge(run) if what == "judge" else check(run.load())
    used = resource.getrusage(resource.RUSAGE_SELF)
    found = {
        "judged_seconds": time.monotonic() - begun,
        "cpu_seconds": used.ru_utime + used.ru_stime,
        "peak_mb": used.ru_maxrss * 1024 / 1e6,
        "deliveries": verdict.coverage.deliveries,
        "totals": verdict.totals,
    }
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
