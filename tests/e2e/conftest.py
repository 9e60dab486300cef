"""Whole runs are a machine's work: no more of them at once than it has cores.

Workers of pytest-xdist wait here for one of the places; the wait is not part of a test's timeout.
"""

import fcntl
import os
import signal
import time
from collections.abc import Iterator

import pytest

WHOLE_RUNS = (
    "test_own_service",
    "test_other_senders",
    "test_own_books",
    "test_managed_database",
    "test_examples",
    "test_explore",
    "test_runs",
    "test_fault_runs",
    "test_killed_runner",
    "test_lint",
    "test_matrix",
    "test_full_disk",
)
WAIT_SECONDS = 1_500.0

# A shell that runs the tests in the background makes them, and every run that they start, deaf to
# Ctrl-C; the tests of Ctrl-C need runs that hear it.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def a_core_of_its_own(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    if request.module.__name__.rpartition(".")[2] not in WHOLE_RUNS:
        yield
        return
    folder = tmp_path_factory.getbasetemp().parent
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        for place in range(os.cpu_count() or 1):
            file = os.open(folder / f"core-{place}.lock", os.O_RDWR | os.O_CREAT)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(file)
                continue
            try:
                yield
            finally:
                os.close(file)
            return
        assert time.monotonic() < deadline, "no place became free"
        time.sleep(0.1)
