"""The exit statuses, and the one place that maps every way out of the command onto them.

A harness bug must never read as "the service is guilty": click's own 2 for a usage error and
Python's 1 for a traceback are both mapped away.

| status | meaning |
|---|---|
| 0 | valid (demo, matrix: exactly as expected; compare: nothing is worse) |
| 1 | invalid: the service broke its promise (matrix: not as expected; compare: worse) |
| 2 | unknown: the run proved nothing |
| 3 | valid, but a service level objective (`--slo`) was missed |
| 130 | interrupted |
| 254 | usage or configuration |
| 255 | the harness itself, or the machine, failed |
"""

import signal
import traceback
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

import click

from results.errors import OnceproofError

if TYPE_CHECKING:
    import asyncio

INTERRUPTED, USAGE, HARNESS = 130, 254, 255


def interruptible(
    main: Coroutine[Any, Any, int],
    loop_factory: "Callable[[], asyncio.AbstractEventLoop] | None" = None,
) -> int:
    """Run `main`; Ctrl-C, SIGTERM and SIGHUP end it, with all of its cleaning up.

    Whoever presses Ctrl-C again is told to wait: cut short, the cleaning up would leave a database
    and its folder behind.
    """
    import asyncio  # noqa: PLC0415 - a third of all that `--help` would import

    interrupted = False

    async def guarded() -> int:
        task = asyncio.current_task()
        assert task is not None

        def interrupt() -> None:
            nonlocal interrupted
            if interrupted:
                say("Still ending what was started; this takes a few seconds.")
            else:
                interrupted = True
                task.cancel()

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as in the background of a script
                asyncio.get_running_loop().add_signal_handler(number, interrupt)
        return await main

    try:
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            return runner.run(guarded())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    except BaseException:
        if interrupted:  # whatever else went wrong on the way out
            raise KeyboardInterrupt from None
        raise


def mapped(command: Callable[[], int | None], *, debug: bool) -> int:
    """Run `command` and return the exit status for whatever comes of it."""
    try:
        return command() or 0
    except click.exceptions.Exit as leaving:
        return leaving.exit_code
    except (click.Abort, KeyboardInterrupt):
        say("Interrupted; everything that was started has been ended.")
        return INTERRUPTED
    except click.ClickException as error:
        error.show()
        return USAGE
    except BaseExceptionGroup as group:
        return reported(first_cause(group), debug=debug)
    except Exception as error:  # noqa: BLE001 - this is the last line of defence
        return reported(error, debug=debug)


def first_cause(error: BaseException) -> BaseException:
    """The error that a group of tasks failed with, preferring one that explains itself."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    causes = [first_cause(inner) for inner in error.exceptions]
    ours = [cause for cause in causes if isinstance(cause, OnceproofError)]
    return (ours or causes)[0]


def reported(error: BaseException, *, debug: bool) -> int:
    """Say what went wrong; a traceback only with --debug."""
    if debug:
        traceback.print_exception(error)
    if isinstance(error, KeyboardInterrupt):
        say("Interrupted; everything that was started has been ended.")
        return INTERRUPTED
    if isinstance(error, OnceproofError):
        say(f"onceproof: {error}")
        return error.exit_status
    say(
        f"onceproof failed: {type(error).__name__}: {error}. This says nothing of your service. "
        "Run it again with --debug to see where, then `onceproof heal`."
    )
    return HARNESS


def say(text: str) -> None:
    """One line on standard error."""
    click.echo(text, err=True)
