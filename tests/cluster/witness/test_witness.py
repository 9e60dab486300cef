"""The witness as a process: what it answers, and what its file says it did."""

import asyncio
import gc
import os
import sys
import tracemalloc
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from cluster.witness import store
from cluster.witness.store import FILE_MAX_BYTES
from results.errors import HarnessError
from results.records import Line, ProviderCall, ProviderReply

ROOT = Path(__file__).resolve().parents[3]
READER = msgspec.json.Decoder(ProviderCall | ProviderReply)
TOKEN = {"Authorization": "Bearer hush"}
ORDER = 910_000_000_000_000_001


@dataclass
class Provider:
    session: aiohttp.ClientSession
    process: asyncio.subprocess.Process
    url: str
    file: Path

    async def ship(self, key: str | None = None, order_id: Any = ORDER) -> tuple[int, Any]:
        headers = {} if key is None else {"Idempotency-Key": key}
        body = {"shop": "s", "order_id": order_id, "lines": [{"sku": "ONCE-001", "quantity": 2}]}
        url = f"{self.url}/shipments"
        async with self.session.post(url, json=body, headers=headers) as answer:
            return answer.status, await answer.json()

    async def control(self, **wanted: Any) -> int:
        url = f"{self.url}/control"
        async with self.session.post(url, json=wanted, headers=TOKEN) as answer:
            return answer.status

    async def effects(self, order_id: int = ORDER) -> Any:
        url = f"{self.url}/effects?order_id={order_id}"
        async with self.session.get(url, headers=TOKEN) as answer:
            return await answer.json()

    def records(self) -> list[ProviderCall | ProviderReply]:
        return [READER.decode(line) for line in self.file.read_bytes().splitlines()]

    def calls(self) -> list[ProviderCall]:
        return [record for record in self.records() if isinstance(record, ProviderCall)]

    def replies(self) -> list[ProviderReply]:
        return [record for record in self.records() if isinstance(record, ProviderReply)]


@pytest.fixture
def used_bytes() -> int:
    """What is in its file before it starts."""
    return 0


@pytest.fixture
async def provider(
    request: pytest.FixtureRequest, tmp_path: Path, used_bytes: int
) -> AsyncIterator[Provider]:
    file = tmp_path / "witness.jsonl"
    if used_bytes:
        file.touch()
        os.truncate(file, used_bytes)  # a hole: it takes no room on the disk
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "cluster.witness", "--port", "0", "--file", str(file),
        "--keys", getattr(request, "param", "honours"),
        cwd=ROOT, env={**os.environ, "ONCEPROOF_TOKEN": "hush"}, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        ready = await asyncio.wait_for(process.stdout.readline(), 20)
        assert ready.startswith(b"ready ")
        timeout = aiohttp.ClientTimeout(total=20)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            yield Provider(session, process, f"http://127.0.0.1:{int(ready.split()[1])}", file)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_a_known_key_ships_once_and_gets_the_same_shipment(provider: Provider) -> None:
    first, again = await provider.ship("k"), await provider.ship("k")
    assert (first[0], again[0]) == (201, 200)
    assert first[1] == again[1]
    assert [call.effect_id for call in provider.calls()] == [first[1]["shipment_id"], None]
    assert await provider.effects() == [first[1]["shipment_id"]]


async def test_many_calls_with_one_key_at_once_ship_once(provider: Provider) -> None:
    answers = await asyncio.gather(*(provider.ship("k") for _ in range(20)))
    assert sorted(status for status, _ in answers) == [200] * 19 + [201]
    assert len(await provider.effects()) == 1


@pytest.mark.parametrize("provider", ["ignores"], indirect=True)
async def test_a_provider_that_ignores_keys_ships_each_time(provider: Provider) -> None:
    assert [(await provider.ship("k"))[0] for _ in range(2)] == [201, 201]
    assert len(await provider.effects()) == 2
    assert [call.key for call in provider.calls()] == ["k", "k"]


async def test_calls_without_a_key_ship_each_time(provider: Provider) -> None:
    assert [(await provider.ship())[0] for _ in range(2)] == [201, 201]
    assert len(await provider.effects()) == 2


async def test_a_lost_reply_has_shipped(provider: Provider) -> None:
    assert await provider.control(mode="reply-lost", times=1) == 200
    with pytest.raises(aiohttp.ClientError):
        await provider.ship("k")
    assert len(await provider.effects()) == 1
    assert provider.replies()[0].status is None
    assert (await provider.ship("k"))[0] == 200  # the retry learns of the shipment


async def test_an_error_after_the_effect_has_shipped(provider: Provider) -> None:
    await provider.control(mode="error-after-effect", times=1)
    assert (await provider.ship("k"))[0] == 500
    assert len(await provider.effects()) == 1
    assert (await provider.ship("k"))[0] == 200


async def test_a_provider_that_is_down_ships_nothing(provider: Provider) -> None:
    await provider.control(mode="down", times=2)
    assert [(await provider.ship("k"))[0] for _ in range(3)] == [503, 503, 201]
    assert len(provider.calls()) == 1


async def test_a_slow_reply_is_on_record_before_it_is_given(provider: Provider) -> None:
    await provider.control(mode="slow", times=1, slow_seconds=60)
    waiting = asyncio.create_task(provider.ship("k"))
    try:
        async with asyncio.timeout(10):
            while not provider.calls():  # noqa: ASYNC110 - another process's file
                await asyncio.sleep(0.01)
        assert not provider.replies()
    finally:
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)


async def test_kill_9_loses_nothing_that_was_answered(provider: Provider) -> None:
    for number in range(30):
        await provider.ship(f"k{number}", order_id=str(ORDER + number))
    provider.process.kill()
    await provider.process.wait()
    assert [call.order_id for call in provider.calls()] == [ORDER + n for n in range(30)]


@pytest.mark.parametrize("used_bytes", [FILE_MAX_BYTES])
async def test_a_witness_without_room_ships_nothing_and_ends(provider: Provider) -> None:
    assert (await provider.ship("k"))[0] == 507
    assert await asyncio.wait_for(provider.process.wait(), 10) == 0
    assert provider.file.stat().st_size == FILE_MAX_BYTES


def test_a_store_is_full_of_effects_but_still_knows_its_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "EFFECTS_MAX", 1)
    kept = store.Store(tmp_path / "witness.jsonl", honours_keys=True)
    _, shipment, new = kept.ship("s", ORDER, (), "k")
    assert new
    with pytest.raises(HarnessError, match="full"):
        kept.ship("s", ORDER + 1, (), "other")
    assert kept.ship("s", ORDER, (), "k")[1:] == (shipment, False)
    kept.close()


def test_what_is_kept_of_an_effect_is_small(tmp_path: Path) -> None:
    kept, effects = store.Store(tmp_path / "witness.jsonl", honours_keys=True), 10_000
    line = Line(sku="ONCE-001", quantity=2)
    gc.collect()
    tracemalloc.start()
    try:
        for number in range(effects):
            kept.ship("shop", ORDER + number, (line,), f"key-{number}")
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken / effects < 50
    for number in range(effects):
        (shipment,) = kept.effects(ORDER + number) if number % 1_000 == 7 else ("",)
        again = kept.ship("shop", ORDER + number, (line,), f"key-{number}")
        assert not again[2]
        assert shipment in ("", again[1])
    kept.close()


async def test_control_and_effects_need_the_token(provider: Provider) -> None:
    for bearer in ("", "Bearer ", "Bearer wrong", "Bearer hushh"):
        headers = {"Authorization": bearer}
        url = f"{provider.url}/effects?order_id=1"
        async with provider.session.get(url, headers=headers) as answer:
            assert answer.status == 401
        url = f"{provider.url}/control"
        async with provider.session.post(url, json={"mode": "down"}, headers=headers) as answer:
            assert answer.status == 401


async def test_bad_input_is_refused_and_ships_nothing(provider: Provider) -> None:
    url = f"{provider.url}/shipments"
    for content in (b"", b"{", b"[]", b'{"order_id": "x"}', b'{"order_id": 1.5}', b"\xff"):
        async with provider.session.post(url, data=content) as answer:
            assert answer.status == 400, content
    async with provider.session.post(url, data=b"x" * (2 << 20)) as answer:
        assert answer.status == 413
    assert await provider.control(mode="no-such-mode") == 400
    assert provider.records() == []
