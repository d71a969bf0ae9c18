"""The report that fits a screen: who was down, what was done, the verdict last.

Pure but for what rich does. ``report.render_text`` has all the rest. It is read in a
terminal from below, so what matters most is at the end: the verdict, and where the
files are.
"""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from loadprobe.clock import NS_PER_MS, NS_PER_S
from loadprobe.core.phase_names import Phase
from loadprobe.core.steps import StepState
from loadprobe.core.verdict.quantities import NO_TIME, Bounds, Quantiles
from loadprobe.core.verdict.scenario_document import ScenarioSummary, StepSummary
from loadprobe.core.verdict.summary import LaneSummary, ScopeSummary, Summary
from loadprobe.core.verdict.texts import clock_text, duration_text
from loadprobe.outputs.folder.documents import PAGE
from loadprobe.outputs.folder.reader import RunData
from loadprobe.outputs.report.plain import (
    plain_headline,
    plain_verdict,
)
from loadprobe.outputs.report.rows import Rows
from loadprobe.outputs.report.styles import STYLES
from loadprobe.outputs.wording import date_text, plain_words, printable

SHOWN_PLACES = 6
SHOWN_STEPS = 6
SHOWN_LANES = 4
SHOWN_PROBLEMS = 2
_SHOWN_CLASSES = 4
_INDENT = (0, 0, 0, 2)
_DOWN = "Down, where anything failed (the true length lies in the brackets)"
_PLANNED = "as planned ms"
_COLUMNS = (
    "clients",
    "shard",
    "down ms",
    "[at least, at most]",
    _PLANNED,
    "failed requests",
)


def render_brief(run: RunData) -> RenderableType:
    """Return the report for one screen; 100 columns are enough for all but paths.

    Print it with ``crop=False``: a path is never cut.
    """
    summary = run.summary
    parts: list[RenderableType] = [Text(run_line(run), style="bold")]
    parts += _titled(
        "Down, where anything failed (the true length lies in the brackets)",
        _down(summary),
    )
    if summary.scenario is not None:
        parts += _titled("What was done", *_steps(summary.scenario))
    parts += _titled("Time until the reply", *_load(summary))
    parts += _verdict(run)
    parts += last_lines(run)
    return Group(*parts)


def run_line(run: RunData) -> str:
    """Return what was run: name, start, length, target and scenario."""
    summary = run.summary
    scenario = f"  scenario {run.info.scenario}" if run.info.scenario else ""
    return (
        f"{run.info.name}  {date_text(summary.start_unix_ns)}  "
        f"{duration_text(int(summary.duration_s * NS_PER_S))}  {run.info.target}"
        f"{scenario}"
    )


def last_lines(run: RunData) -> list[RenderableType]:
    """Return what ends the report: where all the rest is, and its page last."""
    page = run.path / PAGE
    shown = [page_line(page)] if page.exists() else []
    return [
        Text(line, no_wrap=True, overflow="ignore")  # to be copied as it is
        for line in (
            f"All the rest: loadprobe report {run.path} --full",
            f"Run folder: {run.path}",
            *shown,
        )
    ]


def page_line(page: Path) -> str:
    """Return what says where the page of a run is."""
    return f"Page: {page}"


def _titled(title: str, *parts: RenderableType) -> list[RenderableType]:
    heading = Text(f"\n{title}", style="bold")
    return [heading, *(Padding(part, _INDENT) for part in parts)]


# who was down


def _down(summary: Summary) -> RenderableType:
    """Return a row for every place where a request failed, the worst first."""
    total = sum(lane.arrivals for lane in summary.lanes)
    places = [
        (lane, shard, own)
        for lane in summary.lanes
        for shard in lane.downtime_ms.shards
        if (own := _own(summary, lane.name, shard))
        if any(scope.classes for scope in own)
        or lane.downtime_ms.shards[shard].upper
        or lane.planned_ms.shards.get(shard, NO_TIME).upper
    ]
    if not places:
        unseen = summary.observer.unseen_arrivals
        but = f" that loadprobe could see; {unseen:,} it could not" if unseen else ""
        return Text(f"never: {total:,} requests, and none failed{but}")
    worst = sorted(places, key=lambda p: -p[0].downtime_ms.shards[p[1]].upper)
    shown = {(lane.name, shard) for lane, shard, _ in worst[:SHOWN_PLACES]}
    rows = [_row(*place) for place in places if (place[0].name, place[1]) in shown]
    kept = [
        index
        for index, name in enumerate(_COLUMNS)
        if name != _PLANNED or summary.planned_ms.any_shard.upper
    ]
    table = Rows(
        tuple(_COLUMNS[index] for index in kept),
        2,
        [[row[index] for index in kept] for row in rows],
    )
    return Group(table, *_rest(len(places)), _failures(summary))


def _own(summary: Summary, lane: str, shard: str) -> list[ScopeSummary]:
    return [s for s in summary.scopes if (s.lane, s.shard) == (lane, shard)]


def _row(lane: LaneSummary, shard: str, own: Iterable[ScopeSummary]) -> list[str]:
    dark = lane.downtime_ms.shards[shard]
    bars = f"[{dark.lower:.1f}, {dark.upper:.1f}]" if dark.upper else ""
    return [
        lane.name,
        shard,
        _estimate(dark),
        bars,
        _estimate(lane.planned_ms.shards.get(shard, NO_TIME)),
        f"{sum(sum(scope.classes.values()) for scope in own):,}",
    ]


def _estimate(value: Bounds) -> str:
    return f"{value.estimate:.1f}" if value.upper else "0"


def _failures(summary: Summary) -> Text:
    """Return how requests failed on each lane, and which the errors were."""
    told: list[str] = []
    for lane in summary.lanes[:SHOWN_LANES]:
        counts: Counter[str] = Counter()
        for scope in summary.scopes:
            if scope.lane == lane.name:
                counts.update(scope.classes)
        most = [f"{name} {n:,}" for name, n in counts.most_common(_SHOWN_CLASSES)]
        if len(counts) > _SHOWN_CLASSES:
            most.append("others")
        if most:
            told.append(f"{lane.name} {', '.join(most)}")
    return Text(f"how they failed: {'; '.join(told)}")


def _rest(count: int) -> Iterable[Text]:
    hidden = count - SHOWN_PLACES
    if hidden > 0:
        yield Text(f"and {hidden:,} more shards and clients that saw failures")


# what was done


def _steps(scenario: ScenarioSummary) -> list[RenderableType]:
    table = Table.grid(padding=(0, 2))
    for _ in range(4):
        table.add_column(overflow="fold")
    for step in scenario.steps[:SHOWN_STEPS]:
        table.add_row(*map(Text, _step(step)))
    hidden = len(scenario.steps) - SHOWN_STEPS
    more = [Text(f"and {hidden:,} more steps")] if hidden > 0 else []
    return [table, *more]


def _step(step: StepSummary) -> tuple[str, str, str, str]:
    """Return when, what, how it ended, and who was down meanwhile."""
    name = "" if step.name == step.operation else f"{step.name}: "
    shards = f" shard {', '.join(step.shards[:4])}" if step.shards else ""
    at = "" if step.start_unix_ns is None else clock_text(step.start_unix_ns)
    state = str(step.state)
    settled = [p.offset_ms for p in step.phases if p.phase == Phase.SETTLED]
    if step.state is StepState.SETTLED and settled:
        state = f"done in {duration_text(int(settled[0] * NS_PER_MS))}"
    return at, f"{name}{step.operation}{shards}", state, _meanwhile(step)


def _meanwhile(step: StepSummary) -> str:
    if step.reason:
        return plain_words(step.reason)
    down = [
        f"{lane.lane} {lane.dark_ms.any_shard.estimate:.0f} ms"
        for lane in step.lanes
        if lane.dark_ms.any_shard.upper
    ]
    planned = [
        f"{lane.lane} {lane.planned_ms.any_shard.estimate:.0f} ms"
        for lane in step.lanes
        if lane.planned_ms.any_shard.upper
    ]
    told = [f"down {', '.join(down)}"] if down else []
    told += [f"as planned {', '.join(planned)}"] if planned else []
    return "; ".join(told) if told else "down 0 ms" if step.lanes else ""


# how fast


def _load(summary: Summary) -> Iterable[RenderableType]:
    """Yield how long replies took, from when each request was due."""
    rows = [
        [lane.name, op.replace("_", " of "), f"{q.count:,}", *_times(q)]
        for lane in summary.lanes[:SHOWN_LANES]
        for op, q in lane.response_ms.items()
        if q.count
    ]
    yield Rows(("clients", "", "replies", "p50 ms", "p99 ms", "max ms"), 2, rows)
    hidden = len(summary.lanes) - SHOWN_LANES
    if hidden > 0:
        yield Text(f"and {hidden:,} more kinds of clients")


def _times(q: Quantiles) -> list[str]:
    return ["-" if t is None else f"{t:,.2f}" for t in (q.p50, q.p99, q.max)]


# the verdict


def _verdict(run: RunData) -> list[RenderableType]:
    summary = run.summary
    style = f"bold {STYLES[summary.state]}"
    table = Table.grid(padding=(0, 1))
    for sentence in plain_verdict(summary, run.outages):
        table.add_row("-", Text(sentence))
    problems = run.info.problems
    for problem in problems[:SHOWN_PROBLEMS]:
        table.add_row("-", Text(f"PROBLEM  {printable(problem)}"))
    if problems[SHOWN_PROBLEMS:]:
        hidden = len(problems) - SHOWN_PROBLEMS
        table.add_row("-", Text(f"and {hidden:,} more problems"))
    if run.torn or run.missing:
        table.add_row("-", Text("a part of the run folder is damaged or gone"))
    return [Text(f"\nVerdict: {plain_headline(summary)}", style=style), table]
