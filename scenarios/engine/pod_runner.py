"""`python -m scenarios.engine.pod_runner --records /records -- ARGUMENTS`: a runner as a Job's pod.

A container that ends takes its files with it. So this process outlives its runner: it notes how
that ended, waits until the run's folder was fetched (or nobody came for it), and ends with the
runner's own exit status, which thereby is the Job's. SIGTERM and SIGINT go on to the runner, which
then cleans up.
"""

import signal
import subprocess
import sys
import threading
from pathlib import Path

import click
import msgspec

ENDED, FETCHED = "ended.jsonl", "fetched"
FETCH_SECONDS = 3_600.0
LOOK_SECONDS = 0.2


@click.command(context_settings={"ignore_unknown_options": True})
@click.option("--records", type=click.Path(path_type=Path), required=True, help="Where to record.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def main(records: Path, arguments: tuple[str, ...]) -> None:
    """Run onceproof, say how it ended, and stay until its folder was fetched."""
    ending = threading.Event()
    runner = subprocess.Popen(
        [sys.executable, "-m", "scenarios.engine.cli", *arguments], stdin=subprocess.DEVNULL
    )

    def pass_on(number: int, _frame: object) -> None:
        if number == signal.SIGTERM:  # the pod goes: nobody will fetch anything
            ending.set()
        if runner.poll() is None:
            runner.send_signal(signal.SIGINT)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, pass_on)
    status = runner.wait()
    (records / ENDED).write_bytes(msgspec.json.encode({"status": status}) + b"\n")
    waited_seconds = 0.0
    while not (records / FETCHED).exists() and waited_seconds < FETCH_SECONDS:
        if ending.wait(LOOK_SECONDS):
            break
        waited_seconds += LOOK_SECONDS
    sys.exit(status)


if __name__ == "__main__":
    main()
