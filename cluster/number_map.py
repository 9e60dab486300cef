"""A map from numbers of 64 bits to numbers of 64 bits, in sixteen bytes an entry.

What is remembered of every order is what a process grows by in a run of hours. An entry of a
dictionary costs a hundred bytes and more, for its key and its value are objects, and small objects
that stay scatter themselves among those that go. Here the low bits of a number choose a bucket, a
bucket is a sorted array, and the value stands at the same place of a second array.

Limits: nothing is ever removed. An insertion moves what comes after it in its bucket: some
microseconds where a million entries are known.
"""

from array import array
from bisect import bisect_left

BUCKETS = 64
MASK = (1 << 64) - 1  # what a number is cut to


class NumberMap:
    """Numbers by number."""

    def __init__(self) -> None:
        self._numbers = [array("Q") for _ in range(BUCKETS)]
        self._values = [array("Q") for _ in range(BUCKETS)]

    def get(self, number: int) -> int | None:
        """Its value; None: it is not there."""
        number &= MASK
        numbers = self._numbers[number % BUCKETS]
        place = bisect_left(numbers, number)
        if place < len(numbers) and numbers[place] == number:
            return self._values[number % BUCKETS][place]
        return None

    def setdefault(self, number: int, value: int) -> int:
        """Its value, which is this one from now on if it had none."""
        number &= MASK
        numbers, values = self._numbers[number % BUCKETS], self._values[number % BUCKETS]
        place = bisect_left(numbers, number)
        if place == len(numbers) or numbers[place] != number:
            numbers.insert(place, number)
            values.insert(place, value)
        return values[place]

    def __contains__(self, number: int) -> bool:
        return self.get(number) is not None

    def __len__(self) -> int:
        return sum(map(len, self._numbers))
