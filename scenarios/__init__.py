"""Scenarios: one short readable file each; the machinery is in `scenarios.engine`."""

from loadtests.traffic import Mix
from results.records import Thresholds
from scenarios.engine.scenario import (
    Blind,
    Burst,
    Crash,
    DbDisconnect,
    Freeze,
    Graceful,
    InTransaction,
    Scenario,
    Traffic,
)

__all__ = [
    "Blind",
    "Burst",
    "Crash",
    "DbDisconnect",
    "Freeze",
    "Graceful",
    "InTransaction",
    "Mix",
    "Scenario",
    "Thresholds",
    "Traffic",
]
