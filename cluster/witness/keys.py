"""Which shipment an idempotency key has, in sixteen bytes a key.

A provider must not forget a key, so what a key costs is what the witness grows by in a long run. A
dictionary of texts costs some 350 bytes a key. Here a key is its digest: eight bits of it choose a
bucket, 64 bits are its place in the bucket's sorted array, and the shipment stands at the same
place of a second array.

Limits: two of a million keys share a digest with a probability of 1e-10. An insertion moves what
comes after it in its bucket: a microsecond or two where a million keys are known.
"""

from array import array
from bisect import bisect_left
from hashlib import blake2b

BUCKETS = 256


class Keys:
    """A map from keys to shipments, which are numbers of 64 bits."""

    def __init__(self) -> None:
        self._digests = [array("Q") for _ in range(BUCKETS)]
        self._shipments = [array("Q") for _ in range(BUCKETS)]

    def get(self, key: str) -> int | None:
        """The shipment of a key; None: the key is new."""
        bucket, place, known = self._find(key)
        return self._shipments[bucket][place] if known else None

    def add(self, key: str, shipment: int) -> None:
        """Remember a key; one that is known keeps its shipment."""
        bucket, place, known = self._find(key)
        if not known:
            self._digests[bucket].insert(place, _digest(key)[1])
            self._shipments[bucket].insert(place, shipment)

    def _find(self, key: str) -> tuple[int, int, bool]:
        """A key's bucket, its place there, and whether it is there."""
        bucket, digest = _digest(key)
        digests = self._digests[bucket]
        place = bisect_left(digests, digest)
        return bucket, place, place < len(digests) and digests[place] == digest


def _digest(key: str) -> tuple[int, int]:
    content = blake2b(key.encode("utf-8", "surrogatepass"), digest_size=9).digest()
    return content[0], int.from_bytes(content[1:], "big")
