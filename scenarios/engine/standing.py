"""Where a run stands: on processes of this machine, or on pods of a cluster."""

from contextlib import AbstractAsyncContextManager

from results.run_folder import RunFolder
from scenarios.engine.plan import RunPlan
from scenarios.engine.pod_stand import standing_in_cluster
from scenarios.engine.process_stand import standing_on_processes
from scenarios.engine.stand import Stand, Watch


def standing(plan: RunPlan, folder: RunFolder, watch: Watch) -> AbstractAsyncContextManager[Stand]:
    """Bring everything up, hand it over, and take it down again whatever happens."""
    if plan.cluster is not None:
        return standing_in_cluster(plan, plan.cluster, folder, watch)
    return standing_on_processes(plan, folder, watch)
