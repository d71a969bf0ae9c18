"""Lanes whose rate changes while they run: their processes change as one."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from loadprobe.clock import NS_PER_S, mono_now_ns
from loadprobe.core.events import RateChanged
from loadprobe.core.load.schedule import make_schedule
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


def due_by_schedule(trial: Trial, until_ns: int) -> int:
    """Return how many arrivals were due by a time of a run, as its rates went."""
    paces = trial.measurement.rates.paces(["tcp"])["tcp"]
    return make_schedule("constant", paces).first_index(until_ns - trial.begun_ns)


async def test_no_arrival_is_lost_or_doubled(cluster: LocalCluster) -> None:
    """Up in steps, down by a ramp: as many arrivals as the rates say, all served."""
    lane = small_lane(processes=2, rate_per_s=100.0)
    async with measuring(config_of(target_of(cluster), lane)) as trial:
        change = trial.measurement.tuning.change_rate
        await asyncio.sleep(0.3)
        change("tcp", 1500.0, reason="outage")
        await asyncio.sleep(0.6)
        change("tcp", 100.0, reason="quiet", ramp_s=0.4)
        await asyncio.sleep(1.3)
    last = trial.ended_ns // NS_PER_S
    judged = sum(sum(s.counts) for s in trial.seconds if s.second < last)
    totals = trial.results.scope_totals.values()
    # The machine may stall us for a moment.
    left_out = trial.skipped + sum(each.unseen for each in totals)
    missing = due_by_schedule(trial, last * NS_PER_S) - judged
    assert 0 <= missing <= left_out
    assert trial.failed == 0
    up, down = trial.of(RateChanged)
    assert (up.from_per_s, up.to_per_s, up.reason) == (100.0, 1500.0, "outage")
    assert (down.from_per_s, down.to_per_s, down.ramp_s) == (1500.0, 100.0, 0.4)
    shards = {scope.shard: 0 for scope in trial.scopes}
    for scope, each in trial.results.scope_totals.items():
        shards[scope.shard] += each.arrivals + each.unseen
    # Turns are counted on through all changes.
    assert max(shards.values()) - min(shards.values()) <= 2 + left_out


async def test_a_process_that_is_started_again_knows_the_rate(
    cluster: LocalCluster,
) -> None:
    """It joins the others at the rate of now, not at the one that was configured."""
    lane = small_lane(processes=2, rate_per_s=100.0)
    async with measuring(config_of(target_of(cluster), lane)) as trial:
        trial.measurement.tuning.change_rate("tcp", 800.0, reason="outage")
        await asyncio.sleep(0.3)
        doomed = trial.measurement.probes[1]
        pid = doomed.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await until(lambda: doomed.pid != pid, what="a new probe process")
        heard_ns = trial.measurement.hearing.heard_ns
        died_ns = heard_ns[1]
        await until(lambda: heard_ns[1] > died_ns, what="its snapshot")
        since_ns = mono_now_ns()
        await asyncio.sleep(2.0)
    for second in range(since_ns // NS_PER_S + 1, trial.ended_ns // NS_PER_S):
        counted = sum(sum(s.counts) for s in trial.seconds if s.second == second)
        assert counted == pytest.approx(800, abs=2 + trial.skipped)
