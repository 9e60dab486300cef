"""`python -m loadtests.pod --records /records -- LOCUST ARGUMENTS`: a swarm as a pod's one process.

A container that ends takes its files with it, so this process outlives its swarm: it notes how
Locust ended in `ended.jsonl` beside the history, and waits until it is told to go. What it sends
is told by Locust's arguments, whose secret is in the environment.
"""

import signal
import subprocess
import sys
import threading
from pathlib import Path

import click
import msgspec

from loadtests.swarm import ENDED_FILE, OPEN_FILE, ROOT

STOP_SECONDS = 12.0


@click.command(context_settings={"ignore_unknown_options": True})
@click.option("--records", type=click.Path(path_type=Path), required=True, help="Where to record.")
@click.option("--extend", is_flag=True, help="Send more orders until faults-open is removed.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def main(records: Path, extend: bool, arguments: tuple[str, ...]) -> None:
    """Run Locust, say how it ended, and wait for SIGTERM."""
    told_to_end = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told_to_end.set())
    if extend:
        (records / OPEN_FILE).touch()
    locust = subprocess.Popen(
        [sys.executable, "-m", "locust", "-f", str(ROOT / "loadtests" / "locustfile.py"),
         *arguments],
        stdin=subprocess.DEVNULL, cwd=records,
    )  # fmt: skip
    threading.Thread(target=note_end, args=(locust, records), daemon=True).start()
    told_to_end.wait()
    if locust.poll() is None:
        locust.terminate()
        try:
            locust.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            locust.kill()


def note_end(locust: subprocess.Popen[bytes], records: Path) -> None:
    """Write down how it ended, when it has."""
    line = msgspec.json.encode({"status": locust.wait()}) + b"\n"
    (records / ENDED_FILE).write_bytes(line)


if __name__ == "__main__":
    main()
