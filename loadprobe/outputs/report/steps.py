"""The part of the report that tells a scenario: its steps and its expectations.

Pure but for what rich does. A step is told by time, from its API call on: what the
controller saw, what the load saw, and what the provider says of it. Then come how long
which shard was dark, apart from that by plan, and what became of the other shards.
"""

from collections.abc import Iterable, Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from loadprobe.clock import NS_PER_MS
from loadprobe.core.events import CallBegun, PhaseEntered
from loadprobe.core.phase_names import OF_LOAD, WORDS, Phase
from loadprobe.core.steps import Expectation, StepState
from loadprobe.core.verdict.quantities import Bounds, DowntimeMs
from loadprobe.core.verdict.scenario_document import (
    LaneThere,
    PhaseTime,
    ScenarioSummary,
    StepLane,
    StepSummary,
)
from loadprobe.core.verdict.texts import clock_text
from loadprobe.outputs.folder.reader import PastEvent
from loadprobe.outputs.wording import about_node, printable, span_text

SHOWN_STEPS = 50
_SHOWN_SHARDS = 4
_OFFSET_WIDTH = len("+1,234.5 ms")
_REPLIES = frozenset({"moved", "ask"})
_STYLES = {
    StepState.SETTLED: "",
    StepState.UNNEEDED: "dim",
    StepState.FAILED: "red",
    StepState.SKIPPED: "yellow",
}


def scenario_title(scenario: ScenarioSummary) -> str:
    """Return the heading: name and state."""
    return f"Scenario {scenario.name}: {scenario.state}"


def steps_view(
    scenario: ScenarioSummary, events: Sequence[PastEvent]
) -> list[RenderableType]:
    """Return what was done, step by step.

    Args:
        scenario: the scenario, judged.
        events: the journal, for the calls as they were made.
    """
    calls = {
        event.step: details.call
        for event in (past.event for past in events)
        if isinstance(event, PhaseEntered)
        if isinstance(details := event.details, CallBegun)
    }
    parts: list[RenderableType] = []
    for step in scenario.steps[:SHOWN_STEPS]:
        space = 1 if parts else 0
        parts.append(Padding(_step(step, calls.get(step.name, "")), (space, 0, 0, 0)))
    hidden = len(scenario.steps) - SHOWN_STEPS
    if hidden > 0:
        parts.append(Text(f"{hidden} more steps: see summary.json"))
    if scenario.outages_outside:
        parts.append(
            Text(f"{scenario.outages_outside:,} outages belong to none of the steps")
        )
    return parts


def expectation_line(expectation: Expectation) -> Text:
    """Return one expectation with its result."""
    word, style = {
        True: ("pass", ""),
        False: ("FAIL", "red"),
        None: ("open", "yellow"),
    }[expectation.is_met]
    detail = f" ({printable(expectation.detail)})" if expectation.detail else ""
    return Text(f"{word}  {expectation.what}{detail}", style=style)


def _step(step: StepSummary, call: str) -> RenderableType:
    shards = f" shard {', '.join(step.shards)}" if step.shards else ""
    name = "" if step.name == step.operation else f"{step.name}: "
    title = f"{name}{step.operation}{shards}, {step.state}"
    if step.start_unix_ns is not None:
        title += f", from {clock_text(step.start_unix_ns)} UTC"
    table = Table.grid(padding=(0, 2))
    table.add_column(justify="right", no_wrap=True, min_width=_OFFSET_WIDTH)
    table.add_column(overflow="fold")
    if step.reason:
        table.add_row("why", Text(printable(step.reason)))
    if call:
        table.add_row("call", Text(printable(call)))
    for _, offset, text in sorted(_moments(step), key=lambda row: row[0]):
        table.add_row(offset, Text(text))
    for label, text in _findings(step):
        table.add_row(label, Text(text))
    return Group(Text(title, style=_STYLES[step.state]), table)


def _moments(step: StepSummary) -> Iterable[tuple[float, str, str]]:
    """Yield (offset in ms, offset in words, what) of everything that has a time."""
    for phase in step.phases:
        if phase.phase not in OF_LOAD and phase.phase != Phase.API_CALL:
            yield _moment(phase, f"{_word(phase)}{_bars(phase)}")
    for lane in step.lanes:
        for phase in lane.phases:
            yield _moment(phase, f"{lane.lane}: {_word(phase)}{_bars(phase)}")
    for lane_there in step.went_over:
        at = lane_there.offset_ms
        yield at, span_text(at), f"{lane_there.lane}: its arrivals go to the target"
    for told in step.provider:
        late = span_text((told.seen_unix_ns - told.date_unix_ns) / NS_PER_MS)
        message = printable(about_node(told.message, told.node))
        text = f"provider: {message} (its own time; seen {late} later)"
        yield told.offset_ms, span_text(told.offset_ms), text


def _moment(phase: PhaseTime, text: str) -> tuple[float, str, str]:
    return phase.offset_ms, span_text(phase.offset_ms), text


def _word(phase: PhaseTime) -> str:
    return WORDS.get(phase.phase, phase.phase)  # one of another version has its name


def _bars(phase: PhaseTime) -> str:
    if phase.earliest_ms is None or phase.latest_ms is None:
        return ""
    return f" [{span_text(phase.earliest_ms)}, {span_text(phase.latest_ms)}]"


def _findings(step: StepSummary) -> Iterable[tuple[str, str]]:
    """Yield (label, text): darkness, that by plan, latency, and the other shards."""
    if not step.lanes:
        return
    yield "dark", _dark(step.lanes, planned=False) or "0 ms on all lanes"
    if planned := _dark(step.lanes, planned=True):
        yield "planned", planned
    if courses := [text for lane in step.lanes if (text := _p99(lane))]:
        yield "p99", "; ".join(courses)
    if step.went_over:
        yield "data", "; ".join(map(_there, step.went_over))
    if step.slots_moved:
        yield "slots", f"{step.slots_moved:,} came to other shards"
    if redirected := [text for lane in step.lanes if (text := _redirects(lane))]:
        yield "redirects", "; ".join(redirected)
    others = [text for lane in step.lanes if (text := _blast(lane))]
    if others:
        yield "others", "; ".join(others)


def _there(lane: LaneThere) -> str:
    """Say what of a lane's acknowledged writes was at the target when it came there."""
    text = f"{lane.lane} {lane.lost:,} of {lane.checked:,} acknowledged keys lost"
    if lane.overwritten:
        text += f", {lane.overwritten:,} overwritten before they were looked at"
    if lane.unread is None:
        return f"{text}, not all looked up"
    return f"{text}, {lane.unread:,} unread" if lane.unread else text


def _dark(lanes: Sequence[StepLane], *, planned: bool) -> str:
    texts: list[str] = []
    for lane in lanes:
        downtime = lane.planned_ms if planned else lane.dark_ms
        parts = list(_dark_shards(downtime))
        if parts:
            still = " (still dark at the end)" if lane.is_dark_at_end else ""
            texts.append(f"{lane.lane} {', '.join(parts)}{'' if planned else still}")
    return "; ".join(texts)


def _dark_shards(downtime: DowntimeMs) -> Iterable[str]:
    dark = {name: time for name, time in downtime.shards.items() if time.upper}
    if len(dark) > _SHOWN_SHARDS or (len(dark) == len(downtime.shards) > 1):
        yield f"any shard {bounds_text(downtime.any_shard)}"
        yield f"all at once {bounds_text(downtime.all_shards)}"
        return
    for name, time in dark.items():
        yield f"{name} {bounds_text(time)}"


def _p99(lane: StepLane) -> str:
    p99 = lane.p99_ms
    if p99 is None:
        return ""
    text = (
        f"{lane.lane} {p99.baseline:.2f} ms before, at worst {p99.worst:.2f} "
        f"(band to {p99.limit:.2f})"
    )
    is_back = any(phase.phase == Phase.P99_RECOVERED for phase in lane.phases)
    return (
        f"{text}, not back before the next step"
        if p99.has_left and not is_back
        else text
    )


def _redirects(lane: StepLane) -> str:
    """Say what a lane followed: not failures, but work that moving slots causes."""
    told = [
        f"{count:,} {kind.upper() if kind in _REPLIES else kind}"
        for kind, count in lane.redirects.items()
    ]
    return f"{lane.lane} {', '.join(told)}" if told else ""


def _blast(lane: StepLane) -> str:
    blast = lane.blast_radius
    if blast is None:
        return ""
    text = f"{lane.lane} {', '.join(blast.shards)}: {blast.failed:,} arrivals failed"
    if blast.baseline_p99_ms is None or blast.worst_p99_ms is None:
        return text
    return (
        f"{text}, p99 at worst {blast.worst_p99_ms:.2f} ms on {blast.shard} "
        f"({blast.baseline_p99_ms:.2f} before)"
    )


def bounds_text(value: Bounds) -> str:
    """Return a length with its error bars: ``12.0 ms [11.0, 13.0]``."""
    if value.upper == 0:
        return "0 ms"
    unseen = f", {value.unseen:.1f} ms unseen" if value.unseen else ""
    return f"{value.estimate:.1f} ms [{value.lower:.1f}, {value.upper:.1f}]{unseen}"
