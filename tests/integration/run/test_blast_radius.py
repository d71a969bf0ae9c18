"""What a change does to shards it is not about, against a known truth."""

import asyncio
import io

from rich.console import Console, Group

from loadprobe.clock import mono_now_ns
from loadprobe.config.keys import Target
from loadprobe.core.steps import ScenarioRecord, ScenarioState, StepRecord, StepState
from loadprobe.core.verdict.phases import LEAST_BASELINE_S
from loadprobe.core.verdict.scenario_document import BlastRadius
from loadprobe.core.verdict.summary import Summary
from loadprobe.outputs.report.steps import steps_view
from tests.scripted.server import ScriptedCluster
from tests.support.running import config_of, measuring, small_lane

EXTRA_MS = 150.0
# So long that nothing is late for want of a quiet machine.
LANE = small_lane(deadline_ms=1_000)


async def refusals(cluster: ScriptedCluster, *, shard: int, seconds: float) -> int:
    """Let a shard refuse everything for a while; return how often it did."""
    before = [n.faulted for n in await cluster.counts() if n.shard == shard]
    fault = await cluster.fault("error", shards=[shard])
    await asyncio.sleep(seconds)
    await cluster.heal(fault)
    after = [n.faulted for n in await cluster.counts() if n.shard == shard]
    return sum(after) - sum(before)


def blast_of(summary: Summary) -> BlastRadius:
    """Return the blast radius of the only step on the only lane."""
    assert summary.scenario is not None
    ((lane,),) = [step.lanes for step in summary.scenario.steps]
    assert lane.blast_radius is not None
    return lane.blast_radius


async def test_the_blast_radius_is_known() -> None:
    """Failures and latency of the other shards are counted, those before are not.

    Shard 0001 is changed. 0002 fails before it and while it is under way, and answers
    150 ms later for some time; nothing happens to 0003.
    """
    async with ScriptedCluster(shards=3) as cluster:
        target = Target(host=cluster.host, port=cluster.port)
        async with measuring(config_of(target, LANE)) as trial:
            before = await refusals(cluster, shard=1, seconds=0.2)
            await asyncio.sleep(LEAST_BASELINE_S + 1)
            called_ns = mono_now_ns()
            mutated, other = await asyncio.gather(
                refusals(cluster, shard=0, seconds=0.4),
                refusals(cluster, shard=1, seconds=0.2),
            )
            slow = await cluster.fault("slow", shards=[1], delay_ms=EXTRA_MS)
            await asyncio.sleep(0.5)
            await cluster.heal(slow)
            phases = {"api_call": called_ns, "settled": mono_now_ns()}
            await asyncio.sleep(0.3)
    step = StepRecord("failover", "failover", StepState.SETTLED, ("0001",), phases)
    record = ScenarioRecord("failover", ScenarioState.COMPLETED, (step,))
    summary = trial.verdict(scenario=record).summary
    blast = blast_of(summary)
    assert min(before, mutated, other) > 0
    assert trial.failed == before + mutated + other
    assert blast.shards == ["0002", "0003"]
    assert blast.failed == other
    assert blast.shard == "0002"
    assert blast.baseline_p99_ms is not None
    assert blast.worst_p99_ms is not None
    assert blast.baseline_p99_ms < EXTRA_MS <= blast.worst_p99_ms

    slower = (
        f"p99 at worst {blast.worst_p99_ms:.2f} ms on 0002 "
        f"({blast.baseline_p99_ms:.2f} before)"
    )
    failed = f"{other} arrivals of 0002, 0003 failed"
    hit = f"failover hit shards it was not about: on lane tcp {failed}, {slower}"
    assert hit in summary.verdict
    assert summary.scenario is not None
    text = io.StringIO()
    Console(file=text, width=200).print(Group(*steps_view(summary.scenario, [])))
    shown = f"tcp 0002, 0003: {other} arrivals failed, {slower}"
    assert shown in text.getvalue()
