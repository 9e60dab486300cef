"""The main path of an exploration: play every schedule there is, then judge all of them at once.

Each schedule has an order of its own, so one history, one ledger and one witness hold thousands of
them, and the same judges as for any run say which orders went wrong. Between the schedules and the
judgement everything is let go: what was not acknowledged is delivered again as Shopify would, the
relay ships what is due, and nothing moves any more.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from results.checker import find_anomalies
from results.run_folder import RunFolder
from scenarios.engine.explore.ending import AT_ONCE, let_everything_end
from scenarios.engine.explore.explored import Exploration, Explored, codes_of
from scenarios.engine.explore.footprints import Footprints
from scenarios.engine.explore.laboratory import Laboratory, laboratory
from scenarios.engine.explore.moves import Where
from scenarios.engine.explore.orders import Orders, sending_orders
from scenarios.engine.explore.stage import Stage
from scenarios.engine.explore.walk import Bounds, Walk, walk_all
from scenarios.engine.plan import RunPlan, opened
from scenarios.engine.stand import Watch

SPARES = 4  # replicas beside those that deliver, where some die


async def explore(
    plan: RunPlan, wheres: Sequence[Where], bounds: Bounds, watch: Watch
) -> Exploration:
    """Play all schedules of each kind and judge them; the run's folder holds all that is known."""
    async with opened(plan) as folder, staged(plan, folder, wheres, watch) as parts:
        lab, sending, stage = parts
        walks = [await walk_all(where, bounds, stage, lab, sending, watch) for where in wheres]
        played = [one for walk in walks for one in (*walk.played, *walk.asleep)]
        apart = any(one.one_process for one in wheres)  # one order after the other, as before
        settled = await let_everything_end(
            lab, sending, played, watch, at_once=1 if apart else AT_ONCE
        )
        await lab.ledger.snapshot("final")
    return judged(folder, walks, settled=settled)


@asynccontextmanager
async def staged(
    plan: RunPlan, folder: RunFolder, wheres: Sequence[Where], watch: Watch
) -> AsyncIterator[tuple[Laboratory, Orders, Stage]]:
    """Everything that is needed to play schedules of these kinds."""
    replicas = max(1 if one.one_process else one.deliveries for one in wheres)
    spares = SPARES if any(one.crashes for one in wheres) else 0
    async with (
        laboratory(plan, folder, watch, replicas=replicas + spares) as lab,
        sending_orders(lab) as sending,
    ):  # fmt: skip
        footprints = await Footprints.of_database(lab.wire, lab.observer)
        stage = Stage(lab, sending, footprints)
        await stage.listen()
        yield lab, sending, stage


def judged(folder: RunFolder, walks: Sequence[Walk], *, settled: bool) -> Exploration:
    """Ask every judge, and give each schedule its codes."""
    anomalies, not_judged = find_anomalies(folder.load())
    codes = codes_of(anomalies)
    return Exploration(
        folder=folder, anomalies=tuple(anomalies), not_judged=not_judged, settled=settled,
        cells=tuple(Explored.of(walk, codes) for walk in walks),
    )  # fmt: skip
