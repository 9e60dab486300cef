"""What the witness remembers: every call in a file, before its answer; keys and effects in memory.

A line is one `write(2)` to a file opened for appending, so a `kill -9` of the witness tears at
most the last line. Memory is bounded by `EFFECTS_MAX`, the file by `FILE_MAX_BYTES`; beyond them
the witness is at its end, it does not forget: a forgotten key would be an invented duplicate.

Of a key 64 bits are kept. Two of a million keys are taken for one with a probability of 3e-8.
"""

import os
import secrets
import time
import uuid
from array import array
from hashlib import blake2b
from pathlib import Path

import msgspec

from cluster.number_map import MASK, NumberMap
from results.errors import HarnessError
from results.records import Line, ProviderCall, ProviderReply, Record

EFFECTS_MAX = 1_000_000  # some 40 MB
FILE_MAX_BYTES = 1 << 30


class Store:
    """The calls and effects of one provider."""

    def __init__(self, file: Path, *, honours_keys: bool) -> None:
        self._honours_keys = honours_keys
        self._file = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self._keys = NumberMap()
        self._orders = array("Q")  # of each effect, so that a long run does not fill the memory
        self._shipments = array("Q")
        self._bytes = os.fstat(self._file).st_size

    def ship(
        self, shop: str, order_id: int, lines: tuple[Line, ...], key: str | None
    ) -> tuple[str, str, bool]:
        """Record one call; returns (call id, shipment id, whether it is a new shipment).

        HarnessError when there is no room for more: then nothing was shipped.
        """
        known = self._keys.get(_digest(key)) if key is not None and self._honours_keys else None
        if self._bytes >= FILE_MAX_BYTES or (known is None and len(self._orders) >= EFFECTS_MAX):
            raise HarnessError("The witness is full. Use fewer orders in one run.")
        number = secrets.randbits(64) if known is None else known
        shipment = _named(number)
        call_id = uuid.uuid4().hex
        self._write(
            ProviderCall(
                call_id=call_id, at_ns=time.monotonic_ns(), shop=shop, order_id=order_id,
                key=key, lines=lines, effect_id=shipment if known is None else None,
            )
        )  # fmt: skip
        if known is None:
            self._orders.append(order_id & MASK)
            self._shipments.append(number)
            if key is not None and self._honours_keys:
                self._keys.setdefault(_digest(key), number)
        return call_id, shipment, known is None

    def replied(self, call_id: str, status: int | None) -> None:
        """Record how a call was answered; None: not at all."""
        self._write(ProviderReply(call_id=call_id, at_ns=time.monotonic_ns(), status=status))

    def effects(self, order_id: int) -> list[str]:
        """The shipments of an order id, of every shop."""
        found = zip(self._orders, self._shipments, strict=True)
        return [_named(shipment) for order, shipment in found if order == order_id & MASK]

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _write(self, record: Record) -> None:
        line = msgspec.json.encode(record) + b"\n"
        self._bytes += len(line)
        if os.write(self._file, line) != len(line):
            raise OSError("the witness's file took only part of a line: is the disk full?")


def _named(shipment: int) -> str:
    """How the outside knows a shipment."""
    return f"shipment-{shipment:016x}"


def _digest(key: str) -> int:
    """What is remembered of a key."""
    content = key.encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(content, digest_size=8).digest(), "big")
