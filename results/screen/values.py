"""Percentiles of more values than memory holds: sorted runs on disk, and a search by halving.

Each shard leaves its values sorted in a file that is mapped, not read. How many values lie at or
below a number is then a search in each run; sixty of these halvings find any percentile exactly.
Whether a value stands twice is looked for in one range of them after the other.
"""

import math
from pathlib import Path

import numpy as np
import polars as pl

RANGES = 16


class Runs:
    """The values of one kind, in ns, as sorted runs below a folder that is removed afterwards."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        self.runs: list[np.ndarray] = []
        self.count = 0

    def add(self, values: pl.Series) -> None:
        """One more run."""
        ordered = values.drop_nulls().sort().to_numpy()
        if len(ordered):
            path = self.folder / f"{self.name}-{len(self.runs)}.bin"
            ordered.tofile(path)
            self.runs.append(np.memmap(path, dtype=np.int64, mode="r"))
            self.count += len(ordered)

    def percentile_ms(self, share: float) -> float | None:
        """By nearest rank, as `results.latency.percentile` has it."""
        if not self.count:
            return None
        rank = max(1, math.ceil(share * self.count))
        low = min(int(run[0]) for run in self.runs)
        high = max(int(run[-1]) for run in self.runs)
        while low < high:
            middle = (low + high) // 2
            if sum(int(np.searchsorted(run, middle, side="right")) for run in self.runs) >= rank:
                high = middle
            else:
                low = middle + 1
        return low / 1e6


class Ids:
    """Hashes of ids, each of which should be there once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.shards = 0

    def add(self, hashes: pl.Series) -> None:
        """Those of one more shard."""
        ordered = hashes.sort().to_numpy()
        bounds = np.array([number * (2**64 // RANGES) for number in range(1, RANGES)], np.uint64)
        for number, part in enumerate(np.split(ordered, np.searchsorted(ordered, bounds))):
            part.tofile(self.folder / f"ids-{number}-{self.shards}.bin")
        self.shards += 1

    def repeated(self) -> bool:
        """Whether one of them is there twice."""
        for number in range(RANGES):
            files = self.folder.glob(f"ids-{number}-*.bin")
            parts = [np.fromfile(path, np.uint64) for path in files]
            ordered = np.sort(np.concatenate(parts)) if parts else np.zeros(0)
            if bool(np.any(ordered[1:] == ordered[:-1])):
                return True
        return False
