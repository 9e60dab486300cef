"""A move is what is decided at one moment; a schedule is a row of moves, and a file.

The file is small JSON, made to be read, kept and replayed: what it is about (strategy, ids, row,
provider), the moves, and the codes that they led to. `at` is the step's own text, so that a replay
can say where it diverged: the service that is tested may have changed since.
"""

from functools import lru_cache
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from cluster.wire.redaction import KEY
from results.errors import ConfigError

SCHEDULE_VERSION = 1
SUFFIX = ".schedule.json"
AT_MAX_CHARACTERS = 160
CALL = "call the provider"
START = "deliver"
NAMES = "ABCDEFGH"
Do = Literal["step", "start", "die-before", "die-after", "die-unanswered"]
Ids = Literal["distinct", "same"]
Row = Literal["present", "absent"]


class Move(Struct, frozen=True, kw_only=True):
    """One delivery takes its next step, or its process dies there.

    `die-before`: the step never happens. `die-after`: it happens though nobody is left to hear of
    it. `die-unanswered` (of a COMMIT): Postgres has answered, and the process dies unaware of it.
    `start`: it is delivered only now, to a process that has others under way.
    """

    actor: int  # 0 is delivery A
    do: Do = "step"
    at: str  # what the step says

    @property
    def name(self) -> str:
        """The delivery's letter."""
        return NAMES[self.actor]

    @property
    def dies(self) -> bool:
        """Whether a process dies."""
        return self.do not in ("step", "start")


class Where(Struct, frozen=True, kw_only=True):
    """What the deliveries are, and against what they run."""

    strategy: str
    provider: str  # "honours" or "ignores"
    ids: Ids
    row: Row  # whether orders/create came before
    deliveries: int = 2
    crashes: int = 0  # how many processes may die
    one_process: bool = False  # all deliveries share one, else each has its own
    cancelled: bool = False  # the last delivery is an orders/cancelled

    @property
    def words(self) -> str:
        """For people: `article, distinct ids, row present`."""
        crash = f", {self.crashes} crash{'es' * (self.crashes > 1)}" if self.crashes else ""
        more = ", one process" if self.one_process else ""
        more += ", one cancels" if self.cancelled else ""
        return f"{self.strategy}, {self.ids} ids, row {self.row}{crash}{more}"


class Schedule(Struct, frozen=True, kw_only=True):
    """A row of moves and what it led to."""

    version: int = SCHEDULE_VERSION
    where: Where
    moves: tuple[Move, ...]
    codes: tuple[str, ...]
    statuses: tuple[int | None, ...] = ()  # what each delivery was answered; None: nothing
    preemptions: int = 0  # how often a delivery that could go on had to wait for another's step

    def write(self, file: Path) -> None:
        """Into a file that a person can read."""
        file.write_bytes(msgspec.json.format(msgspec.json.encode(self)) + b"\n")

    @classmethod
    def read(cls, file: Path) -> "Schedule":
        """ConfigError for what is none, or of a later version."""
        try:
            found = msgspec.json.decode(file.read_bytes(), type=cls)
        except OSError as error:
            raise ConfigError(f"{file}: {error.strerror}. Give a {SUFFIX} file.") from None
        except msgspec.DecodeError as error:
            raise ConfigError(
                f"{file} is no schedule: {error}. `onceproof explore` writes them."
            ) from None
        if found.version > SCHEDULE_VERSION:
            raise ConfigError(
                f"{file} has version {found.version}, newer than {SCHEDULE_VERSION}. Replay it "
                "with the onceproof that wrote it."
            )
        return found


@lru_cache(maxsize=1024)
def shown(sql: tuple[str, ...]) -> str:
    """A flight's statements in one line of bounded length, the same for every order."""
    text = KEY.sub("‹id›", "; ".join(" ".join(one.split()) for one in sql))
    return text if len(text) <= AT_MAX_CHARACTERS else text[: AT_MAX_CHARACTERS - 1] + "…"
