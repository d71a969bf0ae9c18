"""Timelines: what happened in which order, around a call or an incident."""

import msgspec
import pytest

from loadprobe.clock import NS_PER_S
from loadprobe.core.events import ProviderTold
from loadprobe.core.steps import ScenarioRecord, ScenarioState
from loadprobe.core.verdict.phases import find_phases
from loadprobe.core.verdict.scenario_summary import summarize_scenario
from loadprobe.outputs.report.timeline import make_timelines
from loadprobe.outputs.wording import event_text
from tests.support.events import provider_told
from tests.support.phases import FAILOVER, seen
from tests.support.reports import make_run
from tests.support.scenario_run import CLOCK, MS, S

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
