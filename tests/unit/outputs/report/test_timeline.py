"""Timelines: what happened in which order, around a call or an incident."""

from collections.abc import Sequence

import msgspec
import pytest

from loadprobe.clock import NS_PER_S
from loadprobe.core.events import ProviderTold
from loadprobe.core.judging.aggregate import Aggregate
from loadprobe.core.judging.columns import Block, Failure, Scope
from loadprobe.core.judging.lanes import LaneInfo
from loadprobe.core.judging.outcome import ErrorClass, OpKind, Outcome
from loadprobe.core.steps import ScenarioRecord, ScenarioState
from loadprobe.core.verdict.measured import Measured
from loadprobe.core.verdict.phases import find_phases
from loadprobe.core.verdict.scenario_summary import summarize_scenario
from loadprobe.core.verdict.verdict import summarize
from loadprobe.outputs.report.timeline import make_timelines
from loadprobe.outputs.wording import event_text
from tests.support.events import provider_told
from tests.support.phases import FAILOVER, seen
from tests.support.reports import make_run
from tests.support.scenario_run import CLOCK, MS, S

NODES = ("0001", "0002", "0003", "0004", "0005")
MESSAGE = "Recovering cache nodes 0001"


@pytest.mark.parametrize(
    ("is_open", "before_end_s", "text"),
    [
        (False, 0, "served again"),
        (True, 0, "still dark at the end"),
        (True, 20, "no more arrivals"),
    ],
)
def test_an_outage_ends_in_one_of_three_ways(
    is_open: bool, before_end_s: int, text: str
) -> None:
    """Only what goes on when the load ends is dark at the end."""
    run = make_run()
    row = msgspec.structs.replace(run.outages[0], open_end=is_open)
    end_ns = row.end_unix_ns + before_end_s * NS_PER_S
    timelines = make_timelines((), [row], run.summary.incidents, end_ns)
    told = [moment.text for line in timelines for moment in line.moments]
    assert [line for line in told if line.endswith(text)] == [
        f"load: {row.lane} {row.shard} {row.op} {text}"
    ]


@pytest.mark.parametrize("every_ms", [10, 1_500, 3_000])
@pytest.mark.parametrize("blind_ms", [0, 2_500])
@pytest.mark.parametrize("stopped_ms", [0, 700, 1_200, 1_900, 4_000])
def test_only_what_goes_on_is_dark_at_the_end(
    every_ms: int, blind_ms: int, stopped_ms: int
) -> None:
    """An outage goes on if arrivals still failed, however rare, or nobody looked.

    Args:
        every_ms: distance of arrivals.
        blind_ms: for how long the probe did not look at the end.
        stopped_ms: how long before the end (or the blind time) the last one was due.
    """
    end_ms = 20_000
    until_ms = end_ms - blind_ms - stopped_ms
    aggregate = Aggregate([LaneInfo("tcp", False, (0,), 250 * MS)])
    aggregate.start_process(0, 0)
    block = Block()
    for ms in range(0, until_ms, every_ms):
        due = ms * MS
        if ms < 6_000:
            block.add_served(due, due, due + MS)
        else:
            refused = Outcome.REFUSED, ErrorClass.LOADING
            block.add_failure(Failure(due, due, due + MS, *refused, due, due + MS))
    scope = Scope("tcp", "0001", OpKind.READ)
    stalls = [((end_ms - blind_ms) * MS, end_ms * MS)] if blind_ms else []
    aggregate.add(0, {scope: block}, watermark_ns=end_ms * MS, stalls=stalls)
    results = aggregate.finish(end_ms * MS)
    verdict = summarize(Measured(results, CLOCK, S))
    timelines = make_timelines(
        (), verdict.outages.outages, verdict.summary.incidents, CLOCK.to_wall(20 * S)
    )
    (outage,) = results.outages
    goes_on = outage.hull_end_ns >= results.end_ns
    (line,) = {m.text for line in timelines for m in line.moments[1:]}
    assert ("still dark at the end" in line) == goes_on
    assert ("no more arrivals" in line) == (not goes_on)


@pytest.mark.parametrize(
    ("shards", "where"),
    [(NODES[:2], "0001, 0002"), (NODES, "5 shards")],
)
def test_darkness_by_plan_that_goes_on_is_told_once(
    shards: Sequence[str], where: str
) -> None:
    """That a lane is dark by plan at the end is one line, not one a scope."""
    row = make_run().outages[0]
    rows = [
        msgspec.structs.replace(
            row, shard=shard, op=op, attribution="planned", open_end=True
        )
        for shard in shards
        for op in ("read", "write")
    ]
    incidents = make_run().summary.incidents
    (timeline,) = make_timelines((), rows, incidents, row.end_unix_ns)
    ends = [m.text for m in timeline.moments if m.wall_ns == row.end_unix_ns]
    assert ends == [f"load: {row.lane} {where} still dark by plan at the end"]


def told(node: str | None) -> ProviderTold:
    """Return that a provider recovers a node, told of it or of the group."""
    return provider_told(
        12 * S + 5 * MS,
        MESSAGE,
        date_unix_ns=CLOCK.to_wall(11 * S),
        seen_unix_ns=CLOCK.to_wall(12 * S),
        node=node,
        shard="0001",
    )


def test_events_of_a_provider_name_their_node() -> None:
    """A text that does not say which node it is about is told with its name."""
    assert event_text(told("demo-0001-002")) == f"provider: demo-0001-002: {MESSAGE}"
    assert event_text(told(None)) == f"provider: {MESSAGE}"


def test_two_nodes_are_two_events() -> None:
    """The same text of two nodes is two events; of a node and its group it is one."""
    events = [told("demo-0001-001"), told(None), told("demo-0001-002")]
    summary = summarize_scenario(
        ScenarioRecord("s", ScenarioState.COMPLETED, (FAILOVER,)),
        find_phases([FAILOVER], seen()),
        seen(),
        clock=CLOCK,
        events=events,
        expectations=(),
    )
    nodes = [moment.node for moment in summary.steps[0].provider]
    assert sorted(map(str, nodes)) == ["demo-0001-001", "demo-0001-002"]
