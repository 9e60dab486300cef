"""What the parts that measure generators share: the sink, pumps that are fed by hand, Locust peers.

A pump is fed with finished bursts, as its Locust would do it, from a thread of this process: what
that costs is told beside what the pump costs, since FastHttpUser's figure has all of its own.
"""

import asyncio
import json
import math
import select
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import psutil

from cluster.journal import RUN_VARIABLE
from cluster.spawn import Child, module_environment, spawn
from loadtests import shopify
from loadtests.pump.frames import Answered, Burst, End, Ended, Hello, Result, Shot, Target
from loadtests.pump.link import Pump
from loadtests.sample import PATH, sample
from results.errors import HarnessError
from results.records import Intent
from scenarios.engine.bench.part import Ground

HOST = "127.0.0.1"
PEERS = Path(__file__).resolve().parents[3] / "loadtests" / "peers.py"
REPORT = "ONCEPROOF_PEER_REPORT"
GRACE_SECONDS = 30.0
LISTEN_EVERY = 16  # bursts


@dataclass(frozen=True, slots=True)
class Sink:
    """The process that answers, and what it knows."""

    child: Child

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://{HOST}:{self.child.port}"

    async def told(self) -> dict[str, Any]:
        """What came since the last time: `requests`, `spans_us`, `torn`."""
        return await asyncio.to_thread(self._ask)

    def _ask(self) -> dict[str, Any]:
        with urllib.request.urlopen(self.url, timeout=10) as answer:
            told: dict[str, Any] = json.load(answer)
        return told


@asynccontextmanager
async def sink(ground: Ground) -> AsyncIterator[Sink]:
    """A sink as long as a part lasts."""
    child = await spawn(
        "sink", "scenarios.engine.bench.sink", (), environment={}, journal=ground.journal,
        log_folder=ground.folder,
    )  # fmt: skip
    try:
        yield Sink(child)
    finally:
        await child.stop()


@dataclass(slots=True)
class Fed:
    """A pump, and prepared bytes for it."""

    pump: Pump
    port: int
    results: list[Result] = field(default_factory=list)
    dues: dict[int, int] = field(default_factory=dict)  # by number
    feeding_cpu_seconds: float = 0.0
    last_due_ns: int = 0
    cpu_seconds: float = 0.0  # the pump's, when it had sent everything
    _body: bytes = b""
    _head: bytes = b""
    _intent: tuple[bytes, bytes] = (b"", b"")
    _number: int = 0

    def __post_init__(self) -> None:
        self._body, headers = sample()
        fields = "".join(
            f"{name}: {value}\r\n" for name, value in headers.items()
            if name != "X-Shopify-Webhook-Id"
        )  # fmt: skip
        self._head = (
            f"POST {PATH} HTTP/1.1\r\nHost: {HOST}:{self.port}\r\n"
            f"Content-Length: {len(self._body)}\r\n{fields}X-Shopify-Webhook-Id: "
        ).encode()
        intent = Intent(
            attempt_id="@", group_id="", shop="onceproof-demo.myshopify.com",
            order_id=910_000_000_000_000_000, topic="orders/paid", webhook_id="w", event_id="e",
            copy=0, attempt=1, authentic=True, target="sink", lines=(), intended_ns=1, kind="paid",
        )  # fmt: skip
        before, _, behind = msgspec.json.encode(intent).partition(b"@")
        self._intent = before, behind + b"\n"

    def burst(
        self, copies: int, due_ns: int, *, latest_ns: int = 0, last_byte: bool = False,
        fields: bytes = b"",
    ) -> Burst:  # fmt: skip
        """The next one; `fields` are more lines of each head."""
        self.last_due_ns = due_ns
        first = self._number
        self._number += copies
        numbers = range(first, first + copies)
        before, behind = self._intent
        return Burst(
            due_ns,
            tuple([
                Shot(number, f"{number}.0.1", 0,
                     b"%b%d\r\n%b\r\n" % (self._head, number, fields), 0)
                for number in numbers
            ]),
            (self._body,),
            b"".join([b"%b%d.0.1%b" % (before, number, behind) for number in numbers]),
            latest_ns,
            last_byte,
        )  # fmt: skip

    async def send(self, bursts: Iterator[Burst]) -> None:
        """Hand all of them over, and hear what became of each."""
        await asyncio.to_thread(self._feed, bursts)

    def _feed(self, bursts: Iterator[Burst]) -> None:
        """Both in one thread, as in Locust."""
        before = time.thread_time()
        ended = False
        for number, burst in enumerate(bursts):
            self.pump.send(burst)
            if number % LISTEN_EVERY == 0:
                while select.select([self.pump], (), (), 0)[0]:
                    ended = self._hear()
        time.sleep(max(0, self.last_due_ns - time.monotonic_ns()) / 1e9)
        self.pump.send(End(0, 0, 0, 0))  # what is not due by now would be shed
        while not ended:
            ended = self._hear()
        self.cpu_seconds = cpu_seconds(self.pump.pid)
        self.feeding_cpu_seconds += time.thread_time() - before

    def _hear(self) -> bool:
        said = self.pump.take()
        if said is None:
            raise HarnessError("The pump of the benchmark ended by itself.")
        for frame in said:
            if isinstance(frame, Answered):
                self.results.extend(frame.results)
        return bool(said) and isinstance(said[-1], Ended)

    def bad(self) -> str:
        """What was not answered with 200, for a person; "" when all was."""
        bad = [one for one in self.results if one.status != 200 and not one.shed]
        return f"{len(bad)} were not answered with 200: {bad[0].error}" if bad else ""


@contextmanager
def fed(ground: Ground, to: Sink, *, in_flight_max: int) -> Iterator[Fed]:
    """A pump that sends to the sink."""
    history = ground.folder / "history.jsonl"
    history.unlink(missing_ok=True)
    pump = Pump.start(
        Hello(
            history=str(history), targets=(Target(HOST, to.child.port, False),),
            connect_seconds=shopify.CONNECT_SECONDS, total_seconds=shopify.TOTAL_SECONDS,
            in_flight_max=in_flight_max,
        )
    )  # fmt: skip
    ground.journal.spawned("pump", pump.pid)
    try:
        yield Fed(pump, to.child.port)
    finally:
        pump.stop()


def cpu_seconds(pid: int) -> float:
    """CPU time of a process so far; of one that has ended, HarnessError."""
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error:
        raise HarnessError("A generator of the benchmark ended by itself.") from None
    return float(times.user + times.system)


def family_cpu_seconds(pid: int) -> float:
    """CPU time so far of a process and of those that it started and that are still there."""
    children = psutil.Process(pid).children(recursive=True)
    return cpu_seconds(pid) + sum(cpu_seconds(child.pid) for child in children)


async def arrivals(to: Sink) -> int:
    """Wait until the sink has read something, and how much. HarnessError when nothing comes."""
    deadline = time.monotonic() + GRACE_SECONDS
    while not (came := int((await to.told())["requests"])):
        if time.monotonic() > deadline:
            raise HarnessError("No request came to the sink of the benchmark.")
        await asyncio.sleep(0.02)
    return came


async def locust_peer(
    ground: Ground, to: Sink, user: str, users: int, seconds: float
) -> dict[str, float]:
    """Run one of `loadtests.peers`; what it measured of itself. HarnessError when it failed."""
    report = ground.folder / "peer.json"
    report.unlink(missing_ok=True)
    variables = module_environment({RUN_VARIABLE: ground.journal.owner, REPORT: str(report)})
    variables = {k: v for k, v in variables.items() if not k.startswith("LOCUST_")}
    with (ground.folder / "locust.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "locust", "-f", str(PEERS), user, "--headless", "--only-summary",
            "-u", str(users), "-r", str(users), "-t", f"{math.ceil(seconds + 0.5)}s",
            "--host", to.url, "--stop-timeout", "3", "--exit-code-on-error", "0",
            stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, cwd=ground.folder,
            env=variables,
        )  # fmt: skip
    try:
        ground.journal.spawned("locust", process.pid)
        status = await asyncio.wait_for(process.wait(), seconds + GRACE_SECONDS)
    except TimeoutError:
        raise HarnessError("Locust did not end. Run the benchmark on a quieter machine.") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if status or not report.exists():
        said = (ground.folder / "locust.log").read_text(errors="replace")[-500:]
        raise HarnessError(f"Locust, as a peer, ended with status {status}: {said}")
    measured: dict[str, float] = json.loads(report.read_text())
    return measured
