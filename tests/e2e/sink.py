"""A service that counts every request it reads, and a swarm that is sent at it."""

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest
from aiohttp import web

from loadtests.signatures.shopify import sign
from loadtests.swarm import Swarm, SwarmPlan
from results.records import Completion, GeneratorEnd, Intent, Outcome

READER = msgspec.json.Decoder(Intent | Completion | GeneratorEnd)
SECRET = "hush"
Answer = Callable[[web.Request, int], Awaitable[web.StreamResponse]]


async def accept(_request: web.Request, _attempt: int) -> web.StreamResponse:
    return web.json_response({})


@dataclass
class Sink:
    """Reads deliveries on two ports and answers as the test says."""

    ports: list[int] = field(default_factory=list)
    received: Counter[str] = field(default_factory=Counter)
    bodies: dict[str, set[bytes]] = field(default_factory=lambda: defaultdict(set))
    topics: list[str] = field(default_factory=list)
    headers: dict[str, dict[str, str]] = field(default_factory=dict)  # by attempt
    forged: int = 0
    followed: int = 0
    answer: Answer = accept

    async def deliver(self, request: web.Request) -> web.StreamResponse:
        content = await request.read()
        attempt_id = request.headers["X-Onceproof-Attempt"]
        webhook_id = request.headers["X-Shopify-Webhook-Id"]
        self.received[attempt_id] += 1
        self.bodies[webhook_id].add(content)
        self.topics.append(request.headers["X-Shopify-Topic"])
        self.headers[attempt_id] = dict(request.headers)
        self.forged += request.headers.get("X-Shopify-Hmac-Sha256") != sign(SECRET, content, "", 0)
        return await self.answer(request, int(attempt_id.rpartition(".")[2]))

    async def follow(self, _request: web.Request) -> web.StreamResponse:
        self.followed += 1
        return web.json_response({})


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    sink = Sink()
    application = web.Application()
    application.router.add_post("/webhooks/orders/{kind}", sink.deliver)
    application.router.add_route("*", "/elsewhere", sink.follow)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        for _ in range(2):
            await web.TCPSite(runner, "127.0.0.1", 0).start()
        sink.ports = [address[1] for address in runner.addresses]
        yield sink
    finally:
        await runner.cleanup()


@pytest.fixture
def plan(sink: Sink, tmp_path: Path) -> SwarmPlan:
    return SwarmPlan(
        orders=12, per_second=60.0, copies=2, ids="distinct", seed=5, retries=8,
        retry_time_scale=1e-5, webhook="/webhooks/orders/paid", create_webhook="",
        users=12,
        targets={f"web-{n}": f"http://127.0.0.1:{port}" for n, port in enumerate(sink.ports)},
        history=tmp_path / "run",
    )  # fmt: skip


@dataclass
class History:
    intents: list[Intent]
    completions: dict[str, Completion]
    ends: list[GeneratorEnd]

    def outcomes(self, attempt: int = 1) -> set[Outcome]:
        return {
            self.completions[intent.attempt_id].outcome
            for intent in self.intents
            if intent.attempt == attempt
        }


def read(folder: Path) -> History:
    history = History([], {}, [])
    for file in sorted(folder.glob("history-*.jsonl")):
        records = [READER.decode(line) for line in file.read_bytes().splitlines()]
        assert isinstance(records[-1], GeneratorEnd)
        for record in records:
            match record:
                case Intent():
                    history.intents.append(record)
                case Completion():
                    assert record.attempt_id not in history.completions
                    history.completions[record.attempt_id] = record
                case GeneratorEnd():
                    history.ends.append(record)
    return history


async def send(plan: SwarmPlan, next_secret: str = "") -> History:
    log = plan.history.parent / "locust.log"
    swarm = await Swarm.start(
        plan, secret=SECRET, log=log, environment={"ONCEPROOF_RUN": "t"}, next_secret=next_secret
    )
    try:
        await swarm.wait(timeout_seconds=60)
    finally:
        await swarm.stop()
    return read(plan.history)
