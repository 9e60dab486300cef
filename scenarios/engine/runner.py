"""The main path of a run, top to bottom: stand up, send, inject, settle, read, judge."""

from results.checker import judge
from results.run_folder import RunFolder
from results.verdict import Verdict
from scenarios.engine.baseline import before_any_verdict
from scenarios.engine.disk import bounded, require_room
from scenarios.engine.injector import inject_all
from scenarios.engine.plan import RunPlan, opened
from scenarios.engine.search import search
from scenarios.engine.settle import controlled, sampling, settle
from scenarios.engine.stand import Watch
from scenarios.engine.standing import standing
from scenarios.engine.swarm import swarm


async def run(plan: RunPlan, watch: Watch) -> tuple[RunFolder, Verdict]:
    """Run one scenario against one strategy and judge it; the folder holds all that is known."""
    require_room(plan.runs)
    async with (
        opened(plan) as folder, standing(plan, folder, watch) as stand, bounded(folder.path)
    ):  # fmt: skip
        await stand.wire.delay("*", plan.scenario.stretch_ms / 1000)
        async with controlled(stand):
            await before_any_verdict(plan, stand, watch)
            async with sampling(stand):
                async with swarm(plan, stand, watch) as traffic:
                    await inject_all(plan, stand, traffic, watch)
                    await traffic.ended_or_lost(stand.wire.lost)
                if plan.search:
                    await search(plan, stand, watch)
                await settle(stand, plan.scenario.settle_seconds, watch)
            await stand.ledger.snapshot("final")
    return folder, judge(folder)
