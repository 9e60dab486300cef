"""Delete what a dead runner left in a cluster, by the label that its journal names.

A run whose journal says that its objects have gone is not looked for: its cluster may be gone, too.
"""

import time

from cluster.journal import Journal, JournalRecord
from cluster.kube.gateway import Gateway
from cluster.kube.installation import remove_run
from results.errors import OnceproofError
from results.footprint import Deployed, Undeployed


def left_behind(records: list[JournalRecord]) -> list[Deployed]:
    """What was deployed, and not removed as far as the journal knows."""
    removed = {record.run for record in records if isinstance(record, Undeployed)}
    return [
        record for record in records if isinstance(record, Deployed) and record.run not in removed
    ]


async def remove_left_behind(left: Deployed, journal: Journal) -> tuple[list[str], str]:
    """Delete one run's objects; what was removed, and what a person must look at ("": nothing)."""
    where = f"namespace {left.namespace} of {left.context}"
    context = None if left.context == "in-cluster" else left.context or None
    try:
        async with await Gateway.connect(context, left.namespace) as gateway:
            removed = await remove_run(gateway, left.run, made_namespace=left.made_namespace)
    except OnceproofError as error:
        return [], f"objects of run {left.run} in {where}: {error}"
    journal.append(Undeployed(run=left.run, at_ns=time.monotonic_ns()))
    return [f"{name} ({where})" for name in removed], ""
