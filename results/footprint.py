"""What a run puts on machines and into clusters, written down before it is there.

These records of the journal judge nothing: `onceproof heal` reads them, when the runner that should
have taken all of it away again was killed.
"""

from typing import Any

from results.records import Record

BY_HAND = "up-"  # such a run's folder is of `onceproof up`: it is meant to be left


class Spawned(Record, frozen=True, kw_only=True, tag="spawned"):
    """A process of this run: what `onceproof heal` ends if the runner cannot."""

    name: str
    pid: int
    created_at_seconds: float  # the process's own start time: a pid alone may be reused
    at_ns: int


class Created(Record, frozen=True, kw_only=True, tag="created"):
    """A temporary folder of this run: what `onceproof heal` removes if the runner cannot."""

    path: str
    at_ns: int


class Deployed(Record, frozen=True, kw_only=True, tag="deployed"):
    """Objects of this run in a cluster: what `onceproof heal` deletes if the runner cannot."""

    context: str  # of the kubeconfig; "in-cluster" from within
    namespace: str
    run: str  # the value of their label onceproof.dev/run
    made_namespace: bool  # then it goes, too
    at_ns: int


class Undeployed(Record, frozen=True, kw_only=True, tag="undeployed"):
    """All of a run's objects in a cluster have gone."""

    run: str
    at_ns: int


class Changed(Record, frozen=True, kw_only=True, tag="changed"):
    """Something in a cluster that was there before is no longer as it was, and how to undo it."""

    context: str  # of the kubeconfig; "in-cluster" from within
    namespace: str
    kind: str
    name: str
    what: str  # "cordoned", for people
    undo: dict[str, Any]  # a JSON merge patch, or where the undoing stands; {}: no API can undo it
    by_hand: str = ""  # then this command does
    at_ns: int

    @property
    def of(self) -> tuple[str, str, str]:
        """What tells it from other changes."""
        return self.kind, self.name, self.what


class Restored(Record, frozen=True, kw_only=True, tag="restored"):
    """It is as it was."""

    kind: str
    name: str
    what: str
    at_ns: int

    @property
    def of(self) -> tuple[str, str, str]:
        """Which change it ends."""
        return self.kind, self.name, self.what
