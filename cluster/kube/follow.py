"""`python -m cluster.kube.follow PATTERN OFFSET`: writes what is appended to a file, for ever.

The far side of `mirror`: it runs in a pod, by exec, and ends when the session does, which ends its
standard input. The file is the one that the pattern names; it may come later, and never shrinks:
who writes records only appends.
"""

import os
import select
import sys
from pathlib import Path

POLL_SECONDS = 0.05
READ_BYTES = 1 << 18


def follow(pattern: str, offset: int) -> None:
    """Copy the file from an offset on to standard output, until standard input ends."""
    folder, name = Path(pattern).parent, Path(pattern).name
    file = -1
    while True:
        if file < 0:
            for path in folder.glob(name):
                file = os.open(path, os.O_RDONLY)
                break
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
