"""Result records: what a run found, frozen, typed and versioned. `result.json` is `RunResult`.

Every number is in SI base units and its name ends in the unit. A value that could not be had is null
and stands beside the reason. JSON cannot hold NaN or infinity, so neither can a record.

Schema history
    1   first version
"""

from optbench.records.answers import (
    DatasetRecord,
    Drift,
    GroupResult,
    MetricResult,
    QualityResult,
    VectorDrift,
    WorstRow,
)
from optbench.records.result import (
    RESULT_FILE,
    SCHEMA_VERSION,
    Decision,
    Failure,
    GateResult,
    Outcome,
    RunResult,
    Status,
    Verdict,
    from_json,
    read_result,
    to_json,
    write_atomically,
    write_result,
)
from optbench.records.speed import (
    ArtifactRecord,
    Capacity,
    ColdStart,
    Comparison,
    Grade,
    Latency,
    Level,
    LoadPoint,
    Preparation,
    ServerResult,
    Signal,
    Throughput,
    TimingRecord,
    Trust,
    VariantResult,
)
from optbench.records.values import (
    Estimate,
    Interval,
    Percentile,
    Record,
    RecordType,
    replace,
)

__all__ = [
    "RESULT_FILE",
    "SCHEMA_VERSION",
    "ArtifactRecord",
    "Capacity",
    "ColdStart",
    "Comparison",
    "DatasetRecord",
    "Decision",
    "Drift",
    "Estimate",
    "Failure",
    "GateResult",
    "Grade",
    "GroupResult",
    "Interval",
    "Latency",
    "Level",
    "LoadPoint",
    "MetricResult",
    "Outcome",
    "Percentile",
    "Preparation",
    "QualityResult",
    "Record",
    "RecordType",
    "RunResult",
    "ServerResult",
    "Signal",
    "Status",
    "Throughput",
    "TimingRecord",
    "Trust",
    "VariantResult",
    "VectorDrift",
    "Verdict",
    "WorstRow",
    "from_json",
    "read_result",
    "replace",
    "to_json",
    "write_atomically",
    "write_result",
]
