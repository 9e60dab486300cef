"""Changes of what was in a cluster before the run: in the journal first, undone whatever happens.

The objects that a run brings along go with it, by their label. A node that is cordoned, or a
Deployment that is scaled, stays: so the journal says how to undo it before it is done. The stand
undoes what a fault left undone, and `onceproof heal` what a killed runner did.

Limits: a node that was taken down by a command of the user's is told with the command that brings
it back, and not brought back by `heal`: a journal is not trusted with commands.
"""

import time

from cluster.journal import Journal, JournalRecord
from cluster.kube.gateway import MERGE_PATCH, ApiError, Gateway
from cluster.kube.kinds import Manifest
from cluster.kube.theirs import REDIRECTED, give_back
from results.errors import OnceproofError
from results.footprint import Changed, Restored


class Changes:
    """What a run has changed and not yet undone."""

    def __init__(self, gateway: Gateway, journal: Journal) -> None:
        self._gateway = gateway
        self._journal = journal
        self._open: dict[tuple[str, str, str], Changed] = {}

    def intend(
        self, kind: str, name: str, what: str, *, undo: Manifest, by_hand: str = ""
    ) -> None:  # fmt: skip
        """Write down what is about to be changed."""
        change = Changed(
            context=self._gateway.access.context, namespace=self._gateway.namespace, kind=kind,
            name=name, what=what, undo=undo, by_hand=by_hand, at_ns=time.monotonic_ns(),
        )  # fmt: skip
        self._journal.append(change)
        self._open.setdefault(change.of, change)

    def is_open(self, kind: str, name: str, what: str) -> bool:
        """Whether it is changed by us now."""
        return (kind, name, what) in self._open

    async def restore(self, kind: str, name: str, what: str) -> None:
        """Undo it by its patch, and write that down; harmless when it is not changed."""
        if (change := self._open.get((kind, name, what))) is not None:
            await undo(self._gateway, change)
            self.restored(kind, name, what)

    def restored(self, kind: str, name: str, what: str) -> None:
        """Write down that it is as it was."""
        if self._open.pop((kind, name, what), None) is not None:
            self._journal.append(
                Restored(kind=kind, name=name, what=what, at_ns=time.monotonic_ns())
            )

    async def restore_all(self) -> None:
        """Undo everything that a patch can undo; the latest change first."""
        for change in reversed(list(self._open.values())):
            if change.undo:
                await self.restore(*change.of)


async def undo(gateway: Gateway, change: Changed) -> None:
    """Apply the patch; an object that has gone needs none."""
    if change.what == REDIRECTED:  # what stood there is no journal's affair
        await give_back(gateway, change.name)
        return
    try:
        await gateway.patch(change.kind, change.name, change.undo, content_type=MERGE_PATCH)
    except ApiError as error:
        if error.status != 404:
            raise


def left_changed(records: list[JournalRecord]) -> list[Changed]:
    """What was changed and not restored as far as the journal knows, the latest first."""
    changes: dict[tuple[str, str, str], Changed] = {}
    for record in records:
        if isinstance(record, Changed):
            changes.setdefault(record.of, record)
        elif isinstance(record, Restored):
            changes.pop(record.of, None)
    return list(reversed(changes.values()))


async def restore_left(change: Changed, journal: Journal) -> tuple[list[str], str]:
    """Undo one change of a dead runner; what was done, and what a person must do ("": nothing)."""
    where = f"{change.kind} {change.name} of {change.context}"
    context = None if change.context == "in-cluster" else change.context or None
    try:
        async with await Gateway.connect(context, change.namespace) as gateway:
            if change.undo:
                await undo(gateway, change)
            elif not is_node_ready(await gateway.get(change.kind, change.name)):
                return [], f"{where} was {change.what} and is not ready: `{change.by_hand}`"
    except OnceproofError as error:
        return [], f"{where} was {change.what}: {error}"
    journal.append(
        Restored(kind=change.kind, name=change.name, what=change.what, at_ns=time.monotonic_ns())
    )
    return [f"{where}: no longer {change.what}"], ""


def is_node_ready(node: Manifest | None) -> bool:
    """Whether the cluster calls a node ready; one that it does not know is not."""
    conditions = (node or {}).get("status", {}).get("conditions", ())
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
