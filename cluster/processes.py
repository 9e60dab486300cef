"""Local replicas: one supervised child process each, restarted after a crash as a kubelet does.

The supervisor keeps a replica's name alive across incarnations. A crash is followed by a restart
after a back-off that doubles (0.1 s up to 2 s; a kubelet's 10 s up to 5 min, scaled by a hundred)
and is forgotten after ten healthy seconds; an incarnation that was asked to end (`stop`) is
replaced at once, as a rollout does. Each of these is told to `on_event`.

Signals go to the whole process group, as the end of a container does; freezing stops the group,
its sockets and locks stay. Exits are observed by asyncio at once and kept as `Death` by identity.
Children inherit our environment; over it the specification's, an overlay's, and ONCEPROOF_RUN.

Limits: one machine; a replica that becomes unready without ending is not restarted (there is no
liveness probe: a frozen replica must stay frozen).
"""

import asyncio
import contextlib
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import aiohttp
import psutil

from cluster.child_logs import ChildLogs
from cluster.journal import RUN_VARIABLE, Journal
from cluster.place import GONE, Death, Replica
from results.errors import ClusterError

_BACKOFF_CAP_SECONDS = 2.0
_HEALTHY_SECONDS = 10.0
_PROBE_EVERY_SECONDS = 0.02
_PATIENCE = aiohttp.ClientTimeout(total=1.0)
_Found = TypeVar("_Found")


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """What to run as a replica, and how to see that it is ready."""

    name: str
    role: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)  # secrets, too
    url: str = ""  # "" for a role that listens to nobody: ready as soon as it runs
    ready_path: str = ""
    folder: Path | None = None  # the working directory; None: ours


@dataclass(frozen=True, slots=True)
class ProcessEvent:
    """Something that the supervisor saw or did."""

    replica: str
    what: str  # "started", "ready", "ended", "restarting", "refused"
    detail: str
    at_ns: int


@dataclass(slots=True)
class _Incarnation:
    """One process of a replica, from its start to its death."""

    replica: Replica
    process: asyncio.subprocess.Process
    begun: float
    asked_to_end: bool = False
    death: Death | None = None
    probed: str = "nothing listened on its port"


@dataclass(slots=True)
class _Supervised:
    """One name: what to run, and what runs now."""

    spec: ProcessSpec
    current: _Incarnation | None = None
    restarts: int = 0
    failures: int = 0  # in a row, for the back-off
    refused: str = ""  # why its command cannot be started at all
    closing: bool = False  # ended for good: no successor
    overlay: Mapping[str, str] = field(default_factory=dict)
    task: asyncio.Task[None] | None = None


class Processes:
    """A `Place` of local child processes."""

    def __init__(
        self, *, journal: Journal, log_folder: Path, backoff_seconds: float = 0.1,
        grace_seconds: float = 5.0, ready_seconds: float = 20.0,
        on_event: Callable[[ProcessEvent], None] | None = None, secrets: Sequence[str] = (),
    ) -> None:  # fmt: skip
        self._journal = journal
        self._logs = ChildLogs(log_folder, secrets)
        self._backoff_seconds = backoff_seconds
        self._grace_seconds = grace_seconds
        self._ready_seconds = ready_seconds
        self._on_event = on_event
        self._supervised: dict[str, _Supervised] = {}
        self._deaths: dict[str, Death] = {}
        self.exits: Counter[str] = Counter()  # by which replicas ended by themselves
        self._changed = asyncio.Condition()
        self._session: aiohttp.ClientSession | None = None
        self._log_task: asyncio.Task[None] | None = None

    async def start(self, spec: ProcessSpec) -> Replica:
        """Start a replica and wait until it is ready; ClusterError with its last words if not."""
        if spec.name in self._supervised:
            raise ClusterError(f"a replica named {spec.name!r} runs already: choose another name")
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(force_close=True), timeout=_PATIENCE
            )
            self._log_task = asyncio.create_task(self._logs.bound())
        supervised = _Supervised(spec)
        self._supervised[spec.name] = supervised
        supervised.task = asyncio.create_task(self._supervise(supervised))
        try:
            return await self._wait_ready(spec.name, not_identity="", seconds=self._ready_seconds)
        except ClusterError as error:
            await self._end_for_good(supervised)
            raise ClusterError(f"{error}; it said: {self._logs.last_words(spec.name)}") from None

    async def replicas(self) -> Sequence[Replica]:
        """All replicas as they are now; one between two incarnations is listed as not ready."""
        return [one.current.replica for one in self._supervised.values() if one.current]

    async def crash(self, replica: Replica) -> None:
        """SIGKILL this incarnation; ClusterError when it is not the current one."""
        self._signal(self._living(replica), signal.SIGKILL)

    async def freeze(self, replica: Replica) -> None:
        """SIGSTOP this incarnation: it keeps its sockets and its locks."""
        self._signal(self._living(replica), signal.SIGSTOP)

    async def thaw(self, replica: Replica) -> None:
        """SIGCONT; harmless when it was not frozen or has ended since."""
        with contextlib.suppress(ClusterError):
            self._signal(self._living(replica), signal.SIGCONT)

    async def process_state(self, replica: Replica) -> str:
        """The kernel's word for its process: `stopped`, another, or `gone`."""
        with contextlib.suppress(ClusterError, psutil.Error):
            return str(psutil.Process(self._living(replica).process.pid).status())
        return GONE

    async def stop(self, replica: Replica) -> None:
        """SIGTERM, and SIGKILL after the grace; returns when it ended. A successor starts."""
        incarnation = self._living(replica)
        incarnation.asked_to_end = True
        await self._end(incarnation)

    def overlay(self, name: str, environment: Mapping[str, str]) -> None:
        """Variables over a replica's own, from its next start on; {}: no more."""
        self._supervised[name].overlay = environment

    async def death(self, replica: Replica, *, timeout_seconds: float) -> Death:
        """How this incarnation ended; ClusterError when it has not within the deadline."""
        found = await self._until(lambda: self._deaths.get(replica.identity), timeout_seconds)
        if found is None:
            raise ClusterError(
                f"{replica.name} ({replica.identity}) still runs after {timeout_seconds} s"
            )
        return found

    async def recovered(self, replica: Replica, *, timeout_seconds: float) -> Replica:
        """The next incarnation of the same name, once it is ready."""
        return await self._wait_ready(
            replica.name, not_identity=replica.identity, seconds=timeout_seconds
        )

    async def stop_all(self) -> None:
        """End every replica for good: thaw, SIGTERM, SIGKILL after the grace. Leaves nothing."""
        everybody = list(self._supervised.values())
        for supervised in everybody:
            supervised.closing = True
            if supervised.current is not None:
                self._signal(supervised.current, signal.SIGCONT)
        await asyncio.gather(*(self._end_for_good(one) for one in everybody))
        if self._log_task is not None:
            self._log_task.cancel()
        if self._session is not None:
            await self._session.close()

    # ------------------------------------------------------------------ supervision

    async def _supervise(self, supervised: _Supervised) -> None:
        """Keep one name running until it is cancelled."""
        spec = supervised.spec
        while not supervised.closing:
            try:
                incarnation = await self._spawn(supervised)
            except OSError as error:
                supervised.refused = f"{spec.command[0]!r} cannot be started: {error.strerror}"
                self._tell(spec.name, "refused", supervised.refused)
                supervised.failures += 1
                async with self._changed:
                    self._changed.notify_all()
            else:
                await self._attend(supervised, incarnation)
                supervised.restarts += 1
                if incarnation.asked_to_end:
                    supervised.failures = 0
                    continue
                healthy = time.monotonic() - incarnation.begun >= _HEALTHY_SECONDS
                supervised.failures = 1 if healthy else supervised.failures + 1
            doubled = self._backoff_seconds * 2.0 ** min(supervised.failures - 1, 16)
            delay = min(_BACKOFF_CAP_SECONDS, doubled)
            self._tell(spec.name, "restarting", f"in {delay:.1f} s")
            await asyncio.sleep(delay)

    async def _spawn(self, supervised: _Supervised) -> _Incarnation:
        spec = supervised.spec
        own = {**spec.environment, **supervised.overlay, RUN_VARIABLE: self._journal.owner}
        with self._logs.open(spec.name) as output:
            process = await asyncio.create_subprocess_exec(
                *spec.command, env={**os.environ, **own}, cwd=spec.folder, start_new_session=True,
                stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output,
            )  # fmt: skip
        record = self._journal.spawned(spec.name, process.pid)
        replica = Replica(
            name=spec.name, role=spec.role, url=spec.url, restarts=supervised.restarts, ready=False,
            identity=f"pid:{process.pid}:{record.created_at_seconds:.2f}",
        )  # fmt: skip
        incarnation = _Incarnation(replica, process, time.monotonic())
        supervised.current = incarnation
        self._tell(spec.name, "started", replica.identity)
        return incarnation

    async def _attend(self, supervised: _Supervised, incarnation: _Incarnation) -> None:
        """From the start of one incarnation to its end."""
        probe = asyncio.create_task(self._probe(supervised.spec, incarnation))
        try:
            code = await incarnation.process.wait()
            at_ns = time.monotonic_ns()
        except asyncio.CancelledError:  # born while its supervisor was being ended
            self._signal(incarnation, signal.SIGKILL)
            await incarnation.process.wait()
            raise
        finally:
            probe.cancel()
        # What the leader left behind in its group would keep its port and its connections.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(incarnation.process.pid, signal.SIGKILL)
        death = Death(
            replica=incarnation.replica.name, identity=incarnation.replica.identity, at_ns=at_ns,
            exit_code=code if code >= 0 else None, signal=-code if code < 0 else None,
        )  # fmt: skip
        incarnation.death = death
        by_itself = code >= 0 and not (incarnation.asked_to_end or supervised.closing)
        self.exits[death.replica] += by_itself
        self._deaths[death.identity] = death
        await self._mark(incarnation, ready=False)
        how = f"signal {death.signal}" if death.signal else f"exit code {death.exit_code}"
        self._tell(death.replica, "ended", how)

    async def _probe(self, spec: ProcessSpec, incarnation: _Incarnation) -> None:
        """Ask until it is ready once; its end cancels this."""
        if spec.url and spec.ready_path:
            session = self._session
            while session is not None:
                with contextlib.suppress(aiohttp.ClientError, TimeoutError, OSError):
                    url = spec.url + spec.ready_path
                    async with session.get(url, allow_redirects=False) as answer:
                        if answer.status == 200:
                            break
                        incarnation.probed = f"GET {spec.ready_path} got {answer.status}"
                await asyncio.sleep(_PROBE_EVERY_SECONDS)
        self._tell(spec.name, "ready", f"{time.monotonic() - incarnation.begun:.2f} s")
        await self._mark(incarnation, ready=True)

    async def _mark(self, incarnation: _Incarnation, *, ready: bool) -> None:
        incarnation.replica = replace(incarnation.replica, ready=ready)
        async with self._changed:
            self._changed.notify_all()

    async def _until(self, look: Callable[[], _Found | None], seconds: float) -> _Found | None:
        """Look after every change until something is there; None at the deadline."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds), self._changed:
                while (found := look()) is None:
                    await self._changed.wait()
                return found
        return look()

    async def _wait_ready(self, name: str, *, not_identity: str, seconds: float) -> Replica:
        def look() -> Replica | None:
            one = self._supervised.get(name)
            if one is not None and one.refused:
                raise ClusterError(f"{name}: {one.refused}")
            found = one.current.replica if one is not None and one.current else None
            return found if found and found.ready and found.identity != not_identity else None

        found = await self._until(look, seconds)
        if found is None:
            raise ClusterError(f"{name} was not ready within {seconds:.1f} s{self._why(name)}")
        return found

    def _why(self, name: str) -> str:
        one = self._supervised.get(name)
        if one is None or one.current is None or not one.spec.ready_path:
            return ""
        ended = f"it ended {one.restarts} times by itself, and " * bool(one.restarts)
        return f" ({ended}{one.current.probed})"

    def _living(self, replica: Replica) -> _Incarnation:
        supervised = self._supervised.get(replica.name)
        current = supervised.current if supervised is not None else None
        if current is None or current.replica.identity != replica.identity or current.death:
            raise ClusterError(
                f"{replica.name} ({replica.identity}) is not the incarnation that runs now: "
                "ask for the replicas again"
            )
        return current

    def _signal(self, incarnation: _Incarnation, number: signal.Signals) -> None:
        if incarnation.process.returncode is not None:  # reaped: the pid may be another's
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(incarnation.process.pid, number)

    async def _end(self, incarnation: _Incarnation) -> None:
        self._signal(incarnation, signal.SIGTERM)
        self._signal(incarnation, signal.SIGCONT)
        identity = incarnation.replica.identity
        if await self._until(lambda: self._deaths.get(identity), self._grace_seconds) is None:
            self._signal(incarnation, signal.SIGKILL)
            await self._until(lambda: self._deaths.get(identity), self._grace_seconds)

    async def _end_for_good(self, supervised: _Supervised) -> None:
        supervised.closing = True
        current = supervised.current
        if current is not None and current.death is None:
            current.asked_to_end = True
            await self._end(current)
        if supervised.task is not None:
            supervised.task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await supervised.task
        self._supervised.pop(supervised.spec.name, None)

    def _tell(self, name: str, what: str, detail: str) -> None:
        if self._on_event is not None:
            self._on_event(ProcessEvent(name, what, detail, time.monotonic_ns()))
