"""What a page shows, as one JSON document: all that ``static/`` is given.

Pure: made from a run that was read and the course of its seconds. ``summary`` and
``outages`` are as in the run folder; every other time is in ms from ``zero_unix_ns``,
the millisecond in which the run began. docs/page.md describes the keys.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import msgspec
import tomli_w

from loadprobe.clock import NS_PER_MS, NS_PER_S, ClockPair
from loadprobe.core.budget.words import budget_words
from loadprobe.core.events import (
    CallBegun,
    MarkMade,
    PhaseEntered,
    ProbeStalled,
    ProviderTold,
    RunStalled,
    StepBegun,
)
from loadprobe.core.judging.outcome import Outcome
from loadprobe.core.phase_names import WORDS
from loadprobe.core.topology.node_metrics import MetricRow
from loadprobe.core.verdict.outage_document import OutageRow
from loadprobe.core.verdict.summary import Summary
from loadprobe.core.verdict.texts import duration_text
from loadprobe.outputs.folder.reader import PastEvent, RunData
from loadprobe.outputs.page.cloudwatch import metrics_document
from loadprobe.outputs.page.course import heat, latency_columns, stretches
from loadprobe.outputs.page.film import film_document
from loadprobe.outputs.page.seconds import Coarse, Grid, StepSeries, make_grid
from loadprobe.outputs.page.servers import ServerCourse, servers_document
from loadprobe.outputs.page.zero import Zero
from loadprobe.outputs.wording import date_text, event_text

PAGE_VERSION = 1
MOST_OUTAGES = 2_000
MOST_EVENTS = 4_000
MOST_MOMENTS = 200


def page_document(
    run: RunData,
    course: StepSeries,
    servers: ServerCourse | None = None,
    metrics: Sequence[MetricRow] = (),
) -> dict[str, Any]:
    """Return all that a page of a run shows.

    Args:
        run: as it was read.
        course: of its seconds, with a grid of ``grid_of``.
        servers: what they told, in the same steps.
        metrics: what CloudWatch told of them.
    """
    servers = servers or ServerCourse(course.grid)
    zero = Zero.of(run)
    summary = run.summary
    outages, left_out = _longest(run.outages)
    events, more_events = event_rows(run.events, zero)
    budget = summary.error_budget
    return {
        "page_version": PAGE_VERSION,
        "zero_unix_ns": zero.wall_ns,
        "length_ms": zero.length_ms,
        "run": about_run(run),
        "summary": msgspec.to_builtins(summary),
        "budget": "" if budget is None else budget_words(budget),
        "outages": msgspec.to_builtins(outages),
        "outages_left_out": left_out,
        "events": events,
        "events_left_out": more_events,
        "calls": calls_of(run.events),
        "phase_words": {str(phase): words for phase, words in WORDS.items()},
        "film": film_document(run, course, zero),
        "course": {
            **_grid(course.grid, zero),
            "counts": [
                {"lane": lane, **{o.label: columns[o] for o in Outcome}}
                for lane, columns in course.counts.items()
            ],
            "latencies": latency_columns(course),
            "heat": heat(course),
        },
        "servers": servers_document(servers),
        "cloudwatch": metrics_document(run.info.config, metrics, zero),
        "stretches": stretches(course, _spans(summary, zero.clock, by_plan=False)),
        "missing": _missing(run, [*course.problems, *servers.problems]),
    }


def grid_of(run: RunData, coarse: Iterable[Coarse] = ()) -> Grid:
    """Return the steps in which the seconds of a run are shown.

    Args:
        run: as it was read.
        coarse: the parts of it that are kept in longer steps.
    """
    zero = Zero.of(run)
    end_ns = zero.clock.to_mono(run.summary.end_unix_ns)
    return make_grid(
        zero.mono_ns // NS_PER_S,
        -(-end_ns // NS_PER_S),
        _spans(run.summary, zero.clock),
        coarse=coarse,
    )


def about_run(run: RunData) -> dict[str, Any]:
    """Return what was run, and against what."""
    info, summary = run.info, run.summary
    return {
        "folder": run.path.name,
        "name": info.name,
        "target": info.target,
        "scenario": info.scenario,
        "started": date_text(summary.start_unix_ns),
        "lasted": duration_text(int(summary.duration_s * NS_PER_S)),
        "versions": info.versions,
        "host": info.host,
        "lanes": msgspec.to_builtins(info.lanes),
        "config_digest": info.config_digest,
        "config_toml": _toml(info.config),
        "clock_offset_ms": info.clock_offset_ms,
        "topology_start": info.topology_start,
        "topology_end": info.topology_end,
        "problems": list(info.problems),
    }


def _toml(config: Mapping[str, object]) -> str:
    """Return a configuration as a file has it: what is null is left out."""
    return tomli_w.dumps(_set(config))


def _set(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _set(v) for k, v in value.items() if v is not None}
    if isinstance(value, list | tuple):
        return [_set(v) for v in value if v is not None]
    return value


def _longest(outages: Sequence[OutageRow]) -> tuple[list[OutageRow], int]:
    """Return the longest outages, by time, and how many are left out."""
    longest = sorted(outages, key=lambda row: -row.upper_ms)[:MOST_OUTAGES]
    longest.sort(key=lambda row: row.start_unix_ns)
    return longest, len(outages) - len(longest)


def event_rows(
    events: Sequence[PastEvent], zero: Zero
) -> tuple[list[dict[str, Any]], int]:
    """Return what is marked in the film, by time, and how many are left out.

    Stalls of our own are left out first.
    """
    rows = [(_kind(past), past) for past in events]
    rows.sort(key=lambda row: row[0] == "stall")
    kept: list[dict[str, Any]] = [
        {
            "at": zero.ms(_when(past)),
            "kind": kind,
            "text": event_text(past.event, past.unknown),
        }
        for kind, past in rows[:MOST_EVENTS]
    ]
    kept.sort(key=lambda row: row["at"])
    return kept, len(rows) - len(kept)


def _when(past: PastEvent) -> int:
    event = past.event
    # The provider's own time decides: it is told late, by polling.
    return event.date_unix_ns if isinstance(event, ProviderTold) else past.line.wall_ns


def _kind(past: PastEvent) -> str:
    match past.event:
        case PhaseEntered() | StepBegun():
            return "phase"
        case ProviderTold():
            return "provider"
        case MarkMade():
            return "mark"
        case ProbeStalled() | RunStalled():
            return "stall"
        case _:
            return "topology" if past.line.source == "topology" else "other"


def calls_of(events: Iterable[PastEvent]) -> dict[str, str]:
    """Return the API call of each step."""
    return {
        event.step: event.details.call
        for event in (past.event for past in events)
        if isinstance(event, PhaseEntered) and isinstance(event.details, CallBegun)
    }


def _spans(
    summary: Summary, clock: ClockPair, *, by_plan: bool = True
) -> list[tuple[int, int]]:
    """Return when something happened, in monotonic seconds: [from, to).

    Args:
        summary: of the run.
        clock: of the run.
        by_plan: darkness by plan is something, too.
    """
    told = [
        (each.start_unix_ns, each.end_unix_ns)
        for each in summary.incidents
        if not each.is_probe_only and (by_plan or not each.is_planned)
    ]
    told += [
        (step.start_unix_ns, step.end_unix_ns)
        for step in (summary.scenario.steps if summary.scenario else ())
        if step.start_unix_ns is not None and step.end_unix_ns is not None
    ]
    return [
        (clock.to_mono(start) // NS_PER_S, -(-clock.to_mono(end) // NS_PER_S))
        for start, end in told[:MOST_MOMENTS]
    ]


def _grid(grid: Grid, zero: Zero) -> dict[str, list[float]]:
    """Return when steps begin, in ms, and how long they are, in seconds."""
    edges = grid.edges
    return {
        "at": [(edge * NS_PER_S - zero.mono_ns) / NS_PER_MS for edge in edges[:-1]],
        "seconds": [b - a for a, b in pairwise(edges)],
    }


def _missing(run: RunData, unreadable: Iterable[str]) -> list[str]:
    """Return what the page does not have, as sentences."""
    torn = [f"the last line of {name} is torn, and left out" for name in run.torn]
    told = Counter(unreadable)
    problems = [f"{text} ({n} times)" if n > 1 else text for text, n in told.items()]
    return [*run.missing, *torn, *problems]
