"""Locust's end of the pump: starts it, hands bursts over, hears what came back.

Blocking calls on a plain socket: in Locust, where the standard library is patched, they let other
users run meanwhile; in a thread of anybody else they do what they say. The pump gets its socket by
inheritance, what stays the same in its first frame, and of the environment all but secrets.
"""

import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Self

from loadtests.pump.frames import (
    LENGTH_BYTES,
    Burst,
    Down,
    End,
    Frames,
    Hello,
    Ready,
    Up,
    packed,
    up,
)
from results.errors import HarnessError

ROOT = Path(__file__).resolve().parents[2]
READY_SECONDS = 30.0
END_SECONDS = 5.0


class Pump:
    """One pump; `hear` in one place, `send` from any number."""

    def __init__(self, process: "subprocess.Popen[bytes]", link: socket.socket) -> None:
        self.pid = process.pid
        self._process = process
        self._link = link
        self._frames = Frames()
        self._sending = threading.Lock()
        self._buffer = bytearray(LENGTH_BYTES)

    @classmethod
    def start(cls, hello: Hello, *, hide: Collection[str] = ()) -> Self:
        """Start it, without the variables to `hide`, from a thread that lives as long as it is to.

        HarnessError when it does not come up.
        """
        ours, theirs = socket.socketpair()
        kept = {name: value for name, value in os.environ.items() if name not in hide}
        paths = [str(ROOT), *filter(None, [kept.get("PYTHONPATH")])]
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-m", "loadtests.pump", str(theirs.fileno())],
                pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL,
                env={**kept, "PYTHONPATH": os.pathsep.join(paths), "PYTHONSAFEPATH": "1"},
            )  # fmt: skip
        pump = cls(process, ours)
        ours.settimeout(READY_SECONDS)
        try:
            pump._write(hello)
            if not isinstance(next(pump.hear(), None), Ready):
                raise HarnessError("The pump ended before it began. See what it said above.")
        except OSError as error:
            pump.stop()
            raise HarnessError(f"The pump did not start: {error}.") from None
        ours.settimeout(None)
        return pump

    def send(self, frame: Burst | End) -> None:
        """Hand something over; waits while the pump is full. HarnessError when it is gone."""
        try:
            self._write(frame)
        except OSError as error:
            raise HarnessError(f"The pump is gone: {error}.") from None

    def hear(self) -> Iterator[Up]:
        """What it says, until it is gone."""
        while (said := self.take()) is not None:
            yield from said

    def take(self) -> list[Up] | None:
        """Wait for something to come, and read once: what that made whole; None: it is gone."""
        try:
            if not self._frames.read(self._link):
                return None
        except ConnectionError:
            return None
        return [up.decode(body) for body in self._frames.whole()]

    def fileno(self) -> int:
        """For `select`: when it can be read, `take` does not wait."""
        return self._link.fileno()

    def stop(self) -> int:
        """Its exit status; it is ended if it has not."""
        with contextlib.suppress(OSError):
            self._link.shutdown(socket.SHUT_RDWR)
        self._link.close()
        try:
            return self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def _write(self, frame: Down) -> None:
        with self._sending:  # two frames must not be mixed
            self._link.sendall(packed(frame, self._buffer))
