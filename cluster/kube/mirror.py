"""A file of records that grows in a pod, and its copy in the run's folder that grows with it.

The runner settles, aims and judges by the files of its folder, wherever they are written. A
connection that breaks is made again from where the copy ends, so nothing is lost or doubled; only
whole lines are copied. What comes from another clock is shifted: every field whose name ends in
`_ns`, in every line.

At the end both are compared: a copy that is shorter than its original is a run that lost records.
"""

import asyncio
import logging
import os
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from cluster.kube.channels import execute, follow
from cluster.kube.gateway import Gateway
from results.errors import ClusterError

AGAIN_SECONDS = 0.2
LINE_MAX_BYTES = 16 << 20
SIZE = "import glob,os,sys;print(sum(os.stat(p).st_size for p in glob.glob(sys.argv[1])))"
log = logging.getLogger(__name__)


class Mirror:
    """One file of one container, copied as long as the context lasts."""

    def __init__(
        self,
        gateway: Gateway,
        pod: str,
        container: str,
        remote: str,
        local: Path,
        shift_ns: int = 0,
    ) -> None:
        self.local = local
        self.copied_bytes = 0  # of the original
        self._gateway = gateway
        self._pod = pod
        self._container = container
        self._remote = remote
        self._shift_ns = shift_ns
        self._grown = asyncio.Event()
        self._trouble = ""  # why it broke the last time
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Mirror":
        self._task = asyncio.create_task(self._copy())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait([self._task])

    async def drained(self, *, timeout_seconds: float) -> None:
        """Wait until all that the original holds now is here; ClusterError at the deadline."""
        wanted = await self.original_bytes()
        try:
            async with asyncio.timeout(timeout_seconds):
                while self.copied_bytes < wanted:
                    self._grown.clear()
                    await self._grown.wait()
        except TimeoutError:
            why = f" The last that was heard of it: {self._trouble}" if self._trouble else ""
            raise ClusterError(
                f"Of {self._remote} in {self._pod} {wanted - self.copied_bytes} bytes were not "
                f"copied within {timeout_seconds:.0f} s.{why}"
            ) from None

    async def original_bytes(self) -> int:
        """How long the original is now, 0 when it is not there; ClusterError if nobody says."""
        answer = await execute(
            self._gateway, self._pod, self._container, ("python", "-c", SIZE, self._remote),
            timeout_seconds=15.0,
        )  # fmt: skip
        if answer.status != 0:
            raise ClusterError(f"{self._remote} in {self._pod} was not seen: {answer.said}.")
        return int(answer.stdout)

    async def _copy(self) -> None:
        """Follow, and follow again where it broke."""
        while True:
            rest = b""
            try:
                command = ("python", "-m", "cluster.kube.follow", self._remote,
                           str(self.copied_bytes))  # fmt: skip
                async for chunk in follow(self._gateway, self._pod, self._container, command):
                    whole, newline, rest = (rest + chunk).rpartition(b"\n")
                    if len(rest) > LINE_MAX_BYTES:
                        raise ClusterError(f"{self._remote} in {self._pod} has no line's end.")
                    if newline:
                        self._append(whole + newline)
            except (
                ClusterError, aiohttp.ClientError, OSError, TimeoutError, msgspec.DecodeError
            ) as error:  # fmt: skip
                self._trouble = str(error) or repr(error)
                log.info("the copy of %s in %s broke: %s", self._remote, self._pod, error)
            await asyncio.sleep(AGAIN_SECONDS)

    def _append(self, lines: bytes) -> None:
        """Whole lines, or none of them; on our clock."""
        own = lines if not self._shift_ns else b"".join(
            msgspec.json.encode(shifted(msgspec.json.decode(line), self._shift_ns)) + b"\n"
            for line in lines.splitlines()
        )  # fmt: skip
        descriptor = os.open(self.local, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        before = os.fstat(descriptor).st_size
        try:
            view = memoryview(own)
            while view:
                view = view[os.write(descriptor, view) :]
        except OSError:  # a full disk: what was begun is fetched again
            os.ftruncate(descriptor, before)
            raise
        finally:
            os.close(descriptor)
        self.copied_bytes += len(lines)
        self._grown.set()


def shifted(value: Any, shift_ns: int) -> Any:
    """The same record with every `*_ns` moved; durations (`waited_ns`) stay."""
    if isinstance(value, dict):
        return {
            name: part + shift_ns
            if name.endswith("_ns") and name != "waited_ns" and isinstance(part, int)
            else shifted(part, shift_ns)
            for name, part in value.items()
        }
    if isinstance(value, list):
        return [shifted(part, shift_ns) for part in value]
    return value
