"""Scenarios: one short readable file each; the machinery is in `scenarios.engine`."""

from loadtests.traffic import Mix
from results.records import Thresholds
from scenarios.engine.scenario import (
    Blind,
    Burst,
    ClockSkew,
    Crash,
    DbCrash,
    DbDisconnect,
    DbLatency,
    EachStatement,
    Freeze,
    Graceful,
    InTransaction,
    Oom,
    Polled,
    PowerLoss,
    ProviderFault,
    RollingRestart,
    Scenario,
    Traffic,
)

__all__ = [
    "Blind",
    "Burst",
    "ClockSkew",
    "Crash",
    "DbCrash",
    "DbDisconnect",
    "DbLatency",
    "EachStatement",
    "Freeze",
    "Graceful",
    "InTransaction",
    "Mix",
    "Oom",
    "Polled",
    "PowerLoss",
    "ProviderFault",
    "RollingRestart",
    "Scenario",
    "Thresholds",
    "Traffic",
]
