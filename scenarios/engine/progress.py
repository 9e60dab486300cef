"""What a person sees while a run takes its time: one live line at a terminal, plain lines in CI.

The runner only calls `watch(text)`; it knows nothing of terminals.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from scenarios.engine.stand import Watch


@contextmanager
def progress(console: Console, title: str) -> Iterator[Watch]:
    """Show what is being done under a title, with the seconds so far."""
    begun = time.monotonic()

    def line(text: str) -> str:
        return f"[bold]{title}[/bold] · {time.monotonic() - begun:4.1f} s · {text}"

    if console.is_terminal:
        with console.status(line("starting")) as status:
            yield lambda text: status.update(line(text))
    else:
        yield lambda text: console.print(line(text), soft_wrap=True)
    console.print(line("done"), soft_wrap=True)
