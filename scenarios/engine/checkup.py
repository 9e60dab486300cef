"""Would a run of this service prove anything? The doctor's look at it, one step after the other.

The service is started as a run would start it, once, on a database of its own, and gets one forged
delivery and one authentic one. Each step is a line of the doctor's table; the first that fails says
what to change, and those behind it are not reached.
"""

import tempfile
from dataclasses import replace
from pathlib import Path

from loadtests.dialect import PAID
from loadtests.recorder import Recorder
from loadtests.traffic import FORGED_OFFSET, order_number, plan_order
from results.errors import ConfigError, OnceproofError
from scenarios.engine.baseline import WORKER, Baseline, baseline
from scenarios.engine.config import ServiceConfig
from scenarios.engine.plan import RunPlan, opened
from scenarios.engine.process_stand import standing_on_processes
from scenarios.engine.scenario import Scenario, Traffic
from scenarios.engine.sender import Sender, sender_session
from scenarios.engine.stand import Stand

Finding = tuple[str, bool, str]
# What the stand says when it begins with a step, and the step's name.
STEPS = {
    "starting Postgres": "database",
    "preparing": "schema",
    "starting 1 replica": "start",
    "reading the ledger": "ledger",
    "seeding": "seed",
}


class Steps:
    """Where it is, and what was well until then."""

    def __init__(self, config: ServiceConfig) -> None:
        service = config.service
        self._done = {
            "schema": "ran" if service.schema else "none is declared",
            "start": f"every role runs, and {service.ready} said 200",
            "ledger": f"{', '.join(config.ledger_queries()) or 'nothing'} can be read",
            "seed": "ran",
            "forged": "a delivery that nobody signed was refused",
        }
        self.now = "database"
        self.findings: list[Finding] = []

    def watch(self, said: str) -> None:
        """The stand says what it does."""
        for begun, step in STEPS.items():
            if said.startswith(begun):
                self.begin(step)

    def begin(self, step: str) -> None:
        """The step before went well."""
        if self.now in self._done:
            self.findings.append((self.now, True, self._done[self.now]))
        self.now = step

    def failed(self, error: OnceproofError) -> None:
        """This step did not."""
        self.findings.append((self.now, False, str(error)))


async def check_up(
    config: ServiceConfig, strategy: str, database_url: str | None = None
) -> list[Finding]:
    """All steps, up to the first that fails; on a database of ours, or beside the user's."""
    steps = Steps(config)
    with tempfile.TemporaryDirectory(prefix="onceproof-doctor-") as runs:
        plan = RunPlan(
            name="doctor", scenario=Scenario(title="doctor", replicas=1, traffic=Traffic(orders=1)),
            config=config, strategy=strategy, provider="honours", seed=0, runs=Path(runs),
            database_url=database_url,
        )  # fmt: skip
        try:
            async with (
                opened(plan) as folder, standing_on_processes(plan, folder, steps.watch) as stand
            ):  # fmt: skip
                steps.begin("forged")
                await refuses_forgeries(plan, stand)
                steps.begin("delivery")
                found = await baseline(plan, stand)
            assert found is not None
            steps.findings += told(config, found)
        except OnceproofError as error:
            steps.failed(error)
        except ExceptionGroup as several:
            known = [one for one in several.exceptions if isinstance(one, OnceproofError)]
            if not known:
                raise
            steps.failed(known[0])
    return steps.findings


async def refuses_forgeries(plan: RunPlan, stand: Stand) -> None:
    """ConfigError if what nobody signed is acknowledged."""
    number = order_number(plan.seed, WORKER, 0)
    order = plan_order(plan.random("forged"), number, 0.0, 1, distinct_ids=False)
    order = replace(order, order_id=number + FORGED_OFFSET)
    recorder = Recorder(stand.folder.history(WORKER))
    async with sender_session() as session:
        sender = Sender(stand.config, stand.secret, stand.targets, session, recorder)
        status = await sender.deliver(order, 0, PAID, next(iter(stand.targets)), forged=True)
    if status is not None and 200 <= status < 300:
        service = plan.config.service
        raise ConfigError(
            f"A delivery with a wrong signature got {status}: the service does not check "
            f'signatures, or not by {service.secret_from}. Under signature = "{service.signature}" '
            "every forged delivery of a run would be A15."
        )


def told(config: ServiceConfig, found: Baseline) -> list[Finding]:
    """The lines of a baseline that went well."""
    early = "" if found.committed_before_answer else (
        " It answers before it works: declare its `inbox` under [ledger], or early answers "
        "are A3."
    )  # fmt: skip
    witness = (
        "made one shipment" if config.service.provider_from
        else "is not used (provider_from): what shipped outside is not judged"
    )  # fmt: skip
    return [
        ("wire", True, "the database is reached through it, and no session goes past it"),
        ("delivery", True, f"status {found.status}, one effect in the ledger.{early}"),
        ("witness", True, witness),
        ("again", True, f"the same delivery once more: status {found.second_status}, "
         f"{found.second}"),
    ]  # fmt: skip
