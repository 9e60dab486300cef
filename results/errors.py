"""The three ways in which onceproof itself can fail; none of them says anything of the service.

A failure of the service under test is never an exception: it is an anomaly in a verdict. What is
raised here ends the command with exit status 254 (the user can mend the input) or 255 (the
machine, the database or onceproof itself is at fault). The message is one sentence that says what
is wrong and one that says what to do next; a traceback is shown only with `--debug`.
"""


class OnceproofError(Exception):
    """Anything that onceproof reports in one sentence instead of a traceback."""

    exit_status = 255


class ConfigError(OnceproofError):
    """The user's input is wrong: a name, a flag, a file, a key. Exit status 254."""

    exit_status = 254


class ClusterError(OnceproofError):
    """The place where replicas run refused: a port, a binary, a database, a pod. Exit 255."""


class HarnessError(OnceproofError):
    """onceproof itself broke a promise to its user: the run proves nothing. Exit 255."""
