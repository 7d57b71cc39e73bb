"""The structured config of a run: `RunConfig` and its parts, with every cross-field check.

A value out of range is a problem of the component that holds it; all problems of a config are collected
and reported together (`optbench.components.check`).
"""

from optbench.config.measure import (
    ArrivalKind,
    InputSource,
    MeasureConfig,
    Scenario,
    Scope,
    ServerConfig,
    Start,
)
from optbench.config.quality import GatesConfig, QualityConfig
from optbench.config.run import (
    BaselineConfig,
    Objective,
    RunConfig,
    RunLimits,
    TuneConfig,
    Variant,
    register_run_schema,
)

__all__ = [
    "ArrivalKind",
    "BaselineConfig",
    "GatesConfig",
    "InputSource",
    "MeasureConfig",
    "Objective",
    "QualityConfig",
    "RunConfig",
    "RunLimits",
    "Scenario",
    "Scope",
    "ServerConfig",
    "Start",
    "TuneConfig",
    "Variant",
    "register_run_schema",
]
