"""Keeps a run of today in the repository, to be judged by every onceproof to come.

    onceproof run tests/unit/results/stored/small.py --strategy insert_first --runs RUNS
    python -m tests.store_run RUNS/latest FORMAT-NAME

What `check` reads is compressed into `tests/unit/results/stored/FORMAT-NAME/`, without what names
this machine: its folders, its kernel, the runner's process. What it is judged to be is written
beside it, into `expected.json`. A stored run is never made again: a new format adds one.
"""

import gzip
import json
import sys
from pathlib import Path
from typing import Any

from results.checker import judge
from results.run_folder import RunFolder
from results.verdict import Verdict

STORED = Path(__file__).parent / "unit" / "results" / "stored"
FILES = ("manifest.json", "history-*.jsonl", "wire.jsonl", "witness.jsonl", "ledger.jsonl",
         "journal.jsonl")  # fmt: skip


def store(run: Path, target: Path) -> None:
    """Compress a run's files, and write what it is judged to be."""
    target.mkdir()
    for path in sorted(path for pattern in FILES for path in run.glob(pattern)):
        lines = path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]
        content = "".join(f"{json.dumps(anonymous(json.loads(line)))}\n" for line in lines)
        compressed = gzip.compress(content.encode(), compresslevel=9, mtime=0)
        (target / f"{path.name}.gz").write_bytes(compressed)


def anonymous(record: dict[str, Any]) -> dict[str, Any]:
    """A record without what only says where it was made."""
    if record.get("record") == "created":
        record["path"] = "of the run"
    if "runner_pid" in record:
        record["runner_pid"] = 0
        record["environment"] |= {"machine": "of the run"}
    return record


def unpack(stored: Path, folder: Path) -> RunFolder:
    """The run of a stored folder, as files below another one."""
    folder.mkdir()
    for path in stored.glob("*.gz"):
        (folder / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
    return RunFolder(folder)


def essence(verdict: Verdict) -> dict[str, Any]:
    """What must stay the same for ever: no words, which may become better."""
    whole = json.loads(verdict.to_json())
    return {
        "validity": whole["validity"],
        "totals": whole["totals"],
        "primary": sorted({one["code"] for one in whole["anomalies"] if not one["implied_by"]}),
        "orders": sorted({one["order_id"] for one in whole["anomalies"]}),
        "not_judged": sorted(one["code"] for one in whole["not_judged"]),
        "doubts": sorted(one["cause"] for one in whole["doubts"]),
        "findings": {one["name"]: one["count"] for one in whole["findings"]},
        "coverage": whole["coverage"],
        "latency": whole["latency"],
    }


if __name__ == "__main__":
    place = STORED / sys.argv[2]
    store(Path(sys.argv[1]), place)
    found = essence(judge(unpack(place, place / "unpacked")))
    for used in (place / "unpacked").iterdir():
        used.unlink()
    (place / "unpacked").rmdir()
    (place / "expected.json").write_text(json.dumps(found, indent=1) + "\n")
