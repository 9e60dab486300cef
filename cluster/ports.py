"""Free TCP ports for listeners that somebody else opens.

A child is told its port before it binds it, so the port must still be free then. Ports from 32768
upwards are the kernel's own for outgoing connections and may vanish at any moment: this module
hands out lower ones only, at random, and never the same one twice within a process. What remains
is a race with other programs; whoever starts a listener must be ready to try again.
"""

import random
import socket

from results.errors import ClusterError

_LOWEST = 20_000
_ABOVE = 32_768
_TRIES = 2_000
_given: set[int] = set()
_random = random.SystemRandom()  # not the run's seed: a port must not repeat between two runs


def free_port(host: str = "127.0.0.1") -> int:
    """A port of `host` below 32768 that nobody listens on now; never the same one again."""
    for _ in range(_TRIES):
        port = _random.randrange(_LOWEST, _ABOVE)
        if port in _given:
            continue
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            try:
                probe.bind((host, port))
            except OSError:
                continue
        _given.add(port)
        return port
    raise ClusterError(
        f"no free port between {_LOWEST} and {_ABOVE - 1} on {host}: "
        "end some listeners (`ss -ltn` lists them) and run again"
    )
