"""`python -m cluster.kube.follow FILE OFFSET`: writes what is appended to a file, for ever.

The far side of `mirror`: it runs in a pod, by exec, and ends when the session does, which ends its
standard input. The file may come later, and never shrinks: who writes records only appends.
"""

import contextlib
import os
import select
import sys

POLL_SECONDS = 0.05
READ_BYTES = 1 << 18


def follow(path: str, offset: int) -> None:
    """Copy the file from an offset on to standard output, until standard input ends."""
    file = -1
    while True:
        if file < 0:
            with contextlib.suppress(FileNotFoundError):
                file = os.open(path, os.O_RDONLY)
        data = os.pread(file, READ_BYTES, offset) if file >= 0 else b""
        offset += len(data)
        view = memoryview(data)
        while view:
            view = view[os.write(1, view) :]
        ended, _, _ = select.select([0], [], [], 0 if data else POLL_SECONDS)
        if ended and not os.read(0, 1):
            return


if __name__ == "__main__":
    follow(sys.argv[1], int(sys.argv[2]))
