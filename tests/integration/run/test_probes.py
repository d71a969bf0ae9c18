"""Probe processes that die or stall: blind time, and never downtime."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from loadprobe.clock import NS_PER_MS, mono_now_ns
from loadprobe.config.keys import Lane
from loadprobe.core.events import ProbeDied
from loadprobe.core.intervals import length, overlaps
from loadprobe.local.cluster.cluster import LocalCluster
from tests.support.running import (
    Trial,
    config_of,
    measuring,
    small_lane,
    target_of,
    until,
)

pytestmark = [pytest.mark.alone, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster() -> AsyncIterator[LocalCluster]:
    """Start two shards without replicas and without TLS."""
    async with LocalCluster(shards=2, replicas_per_shard=0, tls=False) as started:
        yield started


async def lose_a_probe(cluster: LocalCluster, lane: Lane) -> tuple[Trial, int, int]:
    """Kill the last probe process in mid-run; return when it died and was back."""
    async with measuring(config_of(target_of(cluster), lane)) as trial:
        await asyncio.sleep(0.7)
        doomed = trial.measurement.probes[-1]
        pid = doomed.pid
        assert pid is not None
        killed_ns = mono_now_ns()
        os.kill(pid, signal.SIGKILL)
        await until(lambda: doomed.pid != pid, what="a new probe process")
        seen = trial.snapshots
        await until(
            lambda: trial.snapshots >= seen + 4 * lane.processes, what="its snapshots"
        )
        back_ns = mono_now_ns()
        await asyncio.sleep(0.5)
    return trial, killed_ns, back_ns


async def test_the_only_probe_dies(cluster: LocalCluster) -> None:
    """The lane is blind from the death to the new start, and nothing is dark."""
    trial, killed_ns, back_ns = await lose_a_probe(cluster, small_lane())
    (died,) = trial.of(ProbeDied)
    assert "signal 9" in died.cause
    assert killed_ns <= died.mono_ns <= back_ns
    blind = trial.blind("tcp")
    assert overlaps(blind, killed_ns, killed_ns + NS_PER_MS)
    assert length(blind) >= 500 * NS_PER_MS
    assert trial.results.outages == []
    assert trial.failed == 0
    summary = trial.verdict().summary
    assert summary.state == "blind"
    assert summary.downtime_ms.any_shard.upper == 0
    assert max(second.second for second in trial.seconds) * 1000 > (
        back_ns // NS_PER_MS - 1000
    )


async def test_one_of_two_probes_dies(cluster: LocalCluster) -> None:
    """The other process goes on alone: the lane is not blind, and nothing is dark."""
    trial, killed_ns, back_ns = await lose_a_probe(cluster, small_lane(processes=2))
    assert len(trial.of(ProbeDied)) == 1
    assert trial.results.outages == []
    assert trial.failed == 0
    # The machine may stall the other one for a moment, too.
    blind = trial.blind("tcp")
    assert length(blind) < 500 * NS_PER_MS
    halves = {
        scope: [s for s in trial.seconds if s.scope == scope] for scope in trial.scopes
    }
    for seconds in halves.values():
        numbers = [second.second for second in seconds]
        assert numbers == list(range(numbers[0], numbers[-1] + 1))
    assert killed_ns < back_ns


async def test_a_probe_that_dies_during_an_outage_measures_the_rest_of_it() -> None:
    """A restarted probe does not wait for what is down: it measures that it is.

    What it did not see of the outage, because it was not there, is told.
    """
    # The node timeout is long: of two shards, the other one would go down as well.
    async with (
        LocalCluster(
            shards=2, replicas_per_shard=0, tls=False, node_timeout_ms=60_000
        ) as cluster,
        measuring(config_of(target_of(cluster), small_lane())) as trial,
    ):
        await asyncio.sleep(0.5)
        await cluster.shards[1].nodes[0].kill()
        probe = trial.measurement.probes[0]
        pid = probe.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await until(lambda: probe.pid != pid, what="a new probe process")
        seen = trial.snapshots
        await until(lambda: trial.snapshots >= seen + 6, what="its snapshots")
    outages = trial.results.outages
    whole = [o for o in outages if o.open_end and o.failed > 10]
    assert whole
    for outage in whole:
        assert not outage.open_start
        assert 0 < outage.unseen_ns < outage.upper_ns - outage.lower_ns
    assert {o.scope.shard for o in outages} == {"0002"}


async def test_a_run_that_ends_while_a_probe_is_restarted(
    cluster: LocalCluster,
) -> None:
    """Stopping between the death of a probe and its restart loses nothing."""
    async with measuring(config_of(target_of(cluster), small_lane())) as trial:
        await asyncio.sleep(0.7)
        probe = trial.measurement.probes[0]
        assert probe.pid is not None
        os.kill(probe.pid, signal.SIGKILL)
        await until(lambda: bool(trial.of(ProbeDied)), what="the report of the death")
    assert trial.results.outages == []
    assert trial.failed == 0
