"""`python -m loadtests.pump NUMBER`: the pump behind an inherited socket.

It lives as long as its Locust: when the socket is closed, whatever closed it, it ends, and where
the system can, it is killed with the process that started it. It is deaf to Ctrl-C and SIGTERM,
which a terminal sends to both: its Locust says when all has been answered. No secret reaches it.
"""

import contextlib
import ctypes
import gc
import os
import resource
import signal
import socket
import sys

from loadtests.pump.engine import Engine
from loadtests.pump.frames import Frames, Hello, down

PR_SET_PDEATHSIG, PR_SET_TIMERSLACK = 1, 29
M_TRIM_THRESHOLD = -1
KEPT_BYTES = 64 << 20
FILES_MAX = 65_536
FILES_SPARE = 64
HELLO_SECONDS = 30.0


def main() -> int:
    """Run until Locust says so, or is gone."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    parent = os.getppid()
    ask_the_system()
    link = socket.socket(fileno=int(sys.argv[1]))
    try:
        hello = hear(link)
        if os.getppid() != parent:
            return 1  # it died before the kernel knew
        engine = Engine(link, hello, min(hello.in_flight_max, (files() - FILES_SPARE) // 2))
        gc.collect()
        gc.freeze()
        gc.disable()
        engine.run()
    except ConnectionError:
        return 1  # nobody is there to be told; the history has what was sent
    return 0


def hear(link: socket.socket) -> Hello:
    """The first frame. ConnectionError when there is none."""
    link.settimeout(HELLO_SECONDS)
    frames = Frames()
    while frames.read(link):
        for body in frames.whole():
            hello = down.decode(body)
            if isinstance(hello, Hello):
                return hello
    raise ConnectionError("no hello")


def ask_the_system() -> None:
    """To be killed with the parent; to be woken when asked for, not 50 us later; to keep memory
    from one burst to the next, since every page that is given back and taken again is a fault."""
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        library.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        library.prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0)
        library.mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)


def files() -> int:
    """How many files this process may have open, once it has asked for many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_MAX if hard == resource.RLIM_INFINITY else min(FILES_MAX, hard)
    if soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


if __name__ == "__main__":
    raise SystemExit(main())
