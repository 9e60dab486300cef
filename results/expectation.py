"""How a verdict stands to what was expected of it: the matrix, its site and its trend share it.

*As expected* and *differs* need an expected table that names the cell; *not in the table* is one
that it does not name, which fails nothing; *unknown* proved nothing, whatever was expected.
"""

from enum import StrEnum


class State(StrEnum):
    """One of four; only `differs` is ever red."""

    AS_EXPECTED = "as expected"
    DIFFERS = "differs"
    NOT_IN_TABLE = "not in the table"
    UNKNOWN = "unknown"
