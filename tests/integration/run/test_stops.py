"""A server that is stopped for a known time: the truth lies inside the error bars."""

import asyncio
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from loadprobe.clock import mono_now_ns
from loadprobe.core.intervals import Interval, length, overlaps, union
from loadprobe.core.judging.outages import Outage
from loadprobe.local.cluster.cluster import LocalCluster
from tests.support.running import (
    Trial,
    config_of,
    measuring,
    small_lane,
    target_of,
)

pytestmark = pytest.mark.alone

MS = 1_000_000
DEADLINE_MS = 100
# A signal is delivered and a stopped process runs again within this time.
SIGNAL_NS = 2 * MS


@dataclass(frozen=True, slots=True)
class Stop:
    """A server was stopped between these times, by CLOCK_MONOTONIC."""

    before_ns: int
    stopped_ns: int
    continuing_ns: int
    continued_ns: int


async def stop_for(pid: int, seconds: float) -> Stop:
    """Stop a process for a while and note when."""
    before = mono_now_ns()
    os.kill(pid, signal.SIGSTOP)
    stopped = mono_now_ns()
    await asyncio.sleep(seconds)
    continuing = mono_now_ns()
    os.kill(pid, signal.SIGCONT)
    return Stop(before, stopped, continuing, mono_now_ns())


def near(outages: Sequence[Outage], stop: Stop) -> list[Outage]:
    """Return the outages that can have to do with a stop."""
    return [
        outage
        for outage in outages
        if outage.hull_start_ns < stop.continued_ns + 300 * MS
        and stop.before_ns < outage.hull_end_ns
        and outage.first_due_ns < stop.continued_ns
    ]


def check_stop(trial: Trial, lane: str, shard: str, stop: Stop) -> bool:
    """Check one stop on one lane; False if the lane says that it was blind then.

    Arrivals due from the stop on fail until one deadline before the end of it.
    """
    if overlaps(
        trial.blind(lane), stop.before_ns - 100 * MS, stop.continued_ns + 100 * MS
    ):
        return False
    outages = near(trial.outages(lane, shard), stop)
    assert outages, (lane, stop)
    start, end = stop.before_ns, stop.continued_ns - DEADLINE_MS * MS
    cores: list[Interval] = union((o.core_start_ns, o.core_end_ns) for o in outages)
    hulls: list[Interval] = union((o.hull_start_ns, o.hull_end_ns) for o in outages)
    latest_start, earliest_end = stop.stopped_ns, stop.continuing_ns - DEADLINE_MS * MS
    assert hulls[0][0] <= latest_start + SIGNAL_NS
    assert hulls[-1][1] >= earliest_end - SIGNAL_NS
    assert cores[0][0] >= start - SIGNAL_NS
    assert cores[-1][1] <= end + SIGNAL_NS
    assert length(cores) <= end - start + SIGNAL_NS
    assert length(hulls) >= earliest_end - latest_start - SIGNAL_NS
    for outage in outages:
        assert outage.lower_ns <= outage.duration_ns <= outage.upper_ns
        assert not outage.open_start
        assert not outage.open_end
    return True


async def test_stops_of_a_primary() -> None:
    """Each stop is one outage of its shard with the truth inside, on TCP and on TLS."""
    lanes = [
        small_lane("tcp", deadline_ms=DEADLINE_MS, rate_per_s=600),
        small_lane("tls", tls=True, deadline_ms=DEADLINE_MS, rate_per_s=600),
    ]
    async with LocalCluster(
        shards=3, replicas_per_shard=0, node_timeout_ms=30_000
    ) as cluster:
        node = await cluster.primary_of("0002")
        assert node.pid is not None
        async with measuring(config_of(target_of(cluster), *lanes)) as trial:
            await asyncio.sleep(0.5)
            short = await stop_for(node.pid, 0.03)
            await asyncio.sleep(0.5)
            stops = []
            for seconds in (0.4, 0.75, 1.2):
                stops.append(await stop_for(node.pid, seconds))
                await asyncio.sleep(0.5)

    checked = 0
    for lane in ("tcp", "tls"):
        assert trial.outages(lane, "0001") == trial.outages(lane, "0003") == []
        checked += sum(check_stop(trial, lane, "0002", stop) for stop in stops)
        assert near(trial.outages(lane, "0002"), short) == []
    summary = trial.verdict().summary
    if checked < len(stops) * 2:
        assert summary.observer.blind_ms > 0
        assert any("blind" in sentence for sentence in summary.verdict)
    if checked:
        assert summary.state == "outage"
    assert summary.downtime_ms.all_shards.estimate == 0
    assert summary.downtime_ms.shards["0001"].upper == 0
    assert summary.downtime_ms.shards["0003"].upper == 0
    assert {row.attribution for row in trial.verdict().outages.outages} <= {"shard"}
    assert summary.wrong == 0
    assert trial.measurement.lost_writes == 0
