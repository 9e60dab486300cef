"""The main path of a run, top to bottom: stand up, send, inject, settle, read, judge."""

import asyncio

from results.checker import judge
from results.verdict import Verdict

from results.run_folder import RunFolder
from scenarios.engine.injector import inject_all
from scenarios.engine.plan import RunPlan, closing, open_folder
from scenarios.engine.search import search
from scenarios.engine.settle import sample_ledger, settle
from scenarios.engine.stand import Watch, standing
from scenarios.engine.swarm import swarm


async def run(plan: RunPlan, watch: Watch) -> tuple[RunFolder, Verdict]:
    """Run one scenario against one strategy and judge it; the folder holds all that is known."""
    folder = open_folder(plan)
    async with (
        closing(plan, folder),
        standing(
            plan.config,
            folder,
            strategy=plan.strategy,
            provider=plan.provider,
            replicas=plan.scenario.replicas,
            watch=watch,
        ) as stand,
    ):
        await stand.wire.delay("*", plan.scenario.stretch_ms / 1000)
        sampling = asyncio.create_task(sample_ledger(stand))
        async with swarm(plan, stand, watch) as traffic_ended:
            await inject_all(plan, stand, traffic_ended, watch)
            await traffic_ended.wait()
        if plan.search:
            await search(plan, stand, watch)
        await settle(stand, plan.scenario.settle_seconds, watch)
        sampling.cancel()
        await stand.ledger.snapshot("final")
    return folder, judge(folder)
