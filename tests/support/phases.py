"""What the load saw of the steps of a scenario."""

from loadprobe.core.judging.latency import P99Log
from loadprobe.core.judging.outages import Outage
from loadprobe.core.verdict.step_phases import LoadSeen
from tests.support.scenario_run import S, step

SHARDS = {"tcp": ("0001", "0002")}


def seen(
    *outages: Outage, planned: tuple[Outage, ...] = (), p99: P99Log | None = None
) -> LoadSeen:
    """Return a minute on one lane of two shards."""
    return LoadSeen(SHARDS, outages, planned, p99 or P99Log(), 0, 60 * S)


FAILOVER = step("f", "failover", "0001", api_call=10_000, accepted=10_100,
                settled=20_000)  # fmt: skip
