"""The metric catalogue: the one table from which metrics and their page are made.

Its groups are in ``measured``, ``own`` and ``target``; their order here is that of the
page.

Pure. A metric that is not in ``CATALOGUE`` cannot be exported, and every label is of
a bounded kind: never a key, a worker, an address of a client or the text of an error.
Times are seconds and counters of time move in steps of one millisecond, so that the
difference of two scrapes is exact.
"""

from loadprobe.core.judging.ms_samples import MsKind
from loadprobe.outputs.metrics.measured import (
    ARRIVALS,
    CONNECTIONS,
    ERROR_BUDGET,
    OUTAGES,
    WRITES_AND_READS,
)
from loadprobe.outputs.metrics.metric import SCOPE, Metric, gauge
from loadprobe.outputs.metrics.own import (
    CONFIGURATION,
    PASSING_ON,
    PROBE,
    UPKEEP,
    WHAT_RUNS,
)
from loadprobe.outputs.metrics.target import CHANGES, MAINTENANCE, NODES

CATALOGUE: tuple[Metric, ...] = (
    *CONFIGURATION,
    *ARRIVALS,
    *PASSING_ON,
    *OUTAGES,
    *CONNECTIONS,
    *PROBE,
    *WRITES_AND_READS,
    *CHANGES,
    *NODES,
    *UPKEEP,
    *ERROR_BUDGET,
    *MAINTENANCE,
    *WHAT_RUNS,
)
"""What /metrics serves."""

MILLISECONDS: tuple[Metric, ...] = (
    gauge(
        MsKind.ERRORS,
        "1",
        (*SCOPE, "outcome"),
        "Failed arrivals due in one millisecond, by outcome.",
    ),
    gauge(
        MsKind.OPS,
        "1",
        (*SCOPE, "outcome"),
        "Served arrivals due in one of these milliseconds.",
    ),
    gauge(
        MsKind.BLIND,
        "1",
        ("lane",),
        "Milliseconds, from this one on, in which the probe itself was stalled.",
    ),
    gauge(
        MsKind.PLANNED,
        "1",
        ("lane", "shard"),
        "Milliseconds, from this one on, in which darkness was announced.",
    ),
)
"""What /metrics/ms serves, and only that page."""

BY_NAME = {metric.name: metric for metric in CATALOGUE}
