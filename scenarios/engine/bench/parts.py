"""The parts there are, by name, each imported when it is asked for."""

from importlib import import_module

from scenarios.engine.bench.part import Part
from scenarios.engine.catalog import unknown

PARTS: tuple[str, ...] = (
    "in_process",
    "service",
    "open_loop",
    "wire",
    "history",
    "start_up",
    "pump",
    "bursts",
    "honest_latency",
    "checker",
)  # in the order in which they are measured and told


def load_part(name: str) -> Part:
    """One part; ConfigError where there is none of that name."""
    if name not in PARTS:
        raise unknown("part of the benchmark", name, PARTS)
    part: Part = import_module(f"scenarios.engine.bench.{name}").PART
    return part
