"""The report of a run, as text for a terminal and as JSON.

Pure but for what rich does: everything comes from a ``RunData``, so the report at the
end of a run and that of ``loadprobe report`` are the same. Colour repeats what words
and symbols say; nothing is told by colour alone.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.console import (
    Console,
    ConsoleOptions,
    Group,
    RenderableType,
    RenderResult,
)
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from loadprobe.clock import NS_PER_MS
from loadprobe.core.judging.cells import Frame
from loadprobe.core.verdict.quantities import Quantiles
from loadprobe.core.verdict.scenario_document import ScenarioSummary
from loadprobe.core.verdict.summary import (
    IncidentSummary,
    ObserverSummary,
    SloResult,
    Summary,
)
from loadprobe.core.verdict.texts import clock_text
from loadprobe.errors import UsageError
from loadprobe.outputs.folder.documents import SCHEMA_VERSION, encode_document
from loadprobe.outputs.folder.film import LEGEND, draw_axis, draw_strips, fit_window
from loadprobe.outputs.folder.reader import RunData
from loadprobe.outputs.report.brief import run_line
from loadprobe.outputs.report.budget import budget_table, budget_title
from loadprobe.outputs.report.clients import COLUMNS as CLIENT_COLUMNS
from loadprobe.outputs.report.clients import LEGEND as CLIENT_LEGEND
from loadprobe.outputs.report.clients import clients_rows, clients_title
from loadprobe.outputs.report.connects import CONNECT_COLUMNS, connect_rows
from loadprobe.outputs.report.dark import dark_table
from loadprobe.outputs.report.incidents import incidents_view
from loadprobe.outputs.report.rows import Rows
from loadprobe.outputs.report.steps import (
    expectation_line,
    scenario_title,
    steps_view,
)
from loadprobe.outputs.report.styles import STYLES
from loadprobe.outputs.report.timeline import Timeline, make_timelines, shown_offset
from loadprobe.outputs.wording import printable

SHOWN_INCIDENTS = 5
SHOWN_MOMENTS = 60
FILM_COLUMNS = 80

_INDENT = (0, 0, 0, 2)


def render_json(run: RunData) -> bytes:
    """Return the whole report (all but the film) as one JSON document.

    Raises:
        UsageError: the folder holds what JSON cannot.
    """
    try:
        return _encoded(run)
    except TypeError as exc:  # too deep
        raise UsageError(f"{run.path} cannot be shown as JSON: {exc}") from exc


def _encoded(run: RunData) -> bytes:
    return encode_document(
        {
            "schema_version": SCHEMA_VERSION,
            "path": str(run.path),
            "run": run.info,
            "summary": run.summary,
            "outages": run.outages,
            "events": [event.line for event in run.events],
        }
    )


def render_text(run: RunData) -> RenderableType:
    """Return the report for a terminal of any width; 100 columns are enough for all."""
    summary = run.summary
    parts: list[RenderableType] = [
        Text(run_line(run), style="bold"),
        _verdict(summary),
    ]
    parts += incidents_view(summary)
    if summary.scenario is not None:
        parts += _scenario(summary.scenario, run)
    parts += _titled("Dark time", dark_table(summary))
    if summary.connects:
        table = Rows(CONNECT_COLUMNS, 2, connect_rows(summary.connects))
        parts += _titled("New connections (not in the dark time above)", table)
    parts += _clients(summary)
    if summary.slo:
        parts += _titled("Thresholds", *map(_slo_line, summary.slo))
    budget = summary.error_budget
    if budget is not None:
        parts += _titled(budget_title(budget), budget_table(budget))
    timelines = make_timelines(
        run.events, run.outages, summary.incidents, summary.end_unix_ns
    )
    for timeline in timelines[:SHOWN_INCIDENTS]:
        parts += _titled(
            f"Timeline: {timeline.title}, from {clock_text(timeline.zero_ns)} UTC",
            _timeline_table(timeline),
        )
    parts += _more(len(timelines), "timelines")
    incidents = [i for i in summary.incidents if not (i.is_probe_only or i.is_planned)]
    for incident in incidents[:SHOWN_INCIDENTS]:
        start = incident.start_unix_ns
        length_ns = incident.end_unix_ns - start
        parts += _titled(
            f"Film: incident {incident.number}, {clock_text(start)} UTC, "
            f"{length_ns / NS_PER_MS:.0f} ms",
            _FilmView(run, incident),
        )
    parts += _more(len(incidents), "incidents")
    parts += _titled("Latency in ms (served and late)", _latency_table(summary))
    parts += _titled("The probe itself", *_observer_lines(summary.observer, summary))
    parts.append(_footer(run))
    return Group(*parts)


def _verdict(summary: Summary) -> RenderableType:
    told = f" - {printable(summary.headline)}" if summary.headline else ""
    style = f"bold {STYLES[summary.state]}"
    lines = [Text(f"Verdict: {summary.state}{told}", style=style)]
    lines += [Text(printable(sentence)) for sentence in summary.verdict]
    table = Table.grid(padding=(0, 1))
    for line in lines[1:]:
        table.add_row("-", line)
    return Group(lines[0], table)


def _scenario(scenario: ScenarioSummary, run: RunData) -> list[RenderableType]:
    steps = steps_view(scenario, run.events)
    parts = _titled(scenario_title(scenario), *steps)
    if scenario.expectations:
        lines = map(expectation_line, scenario.expectations)
        parts += _titled("Expectations", *lines)
    return parts


def _clients(summary: Summary) -> list[RenderableType]:
    parts: list[RenderableType] = []
    for comparison in summary.clients[:SHOWN_INCIDENTS]:
        table = Rows(CLIENT_COLUMNS, 1, clients_rows(comparison))
        parts += _titled(clients_title(comparison), table, Text(CLIENT_LEGEND))
    count = len(summary.clients)
    return parts + _more(count, "comparisons of clients", where="summary.json")


def _titled(title: str, *parts: RenderableType) -> list[RenderableType]:
    heading = Text(f"\n{title}", style="bold")
    return [heading, *(Padding(part, _INDENT) for part in parts)]


def _more(
    count: int, noun: str, *, where: str = "outages.json"
) -> list[RenderableType]:
    hidden = count - SHOWN_INCIDENTS
    return [Text(f"\n{hidden} more {noun}: see {where}")] if hidden > 0 else []


def _slo_line(check: SloResult) -> Text:
    actual = "no value" if check.actual is None else f"{check.actual:.6g}"
    word = "met" if check.is_met else "MISSED"
    if check.possible is not None:
        word = f"met by what was seen, at most {check.possible:.6g} with what was not"
    return Text(f"{check.name}: {word} ({actual}, limit {check.limit:.6g})")


# incidents


def _timeline_table(timeline: Timeline) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    for moment in timeline.moments[:SHOWN_MOMENTS]:
        table.add_row(shown_offset(moment, timeline), Text(moment.text))
    hidden = len(timeline.moments) - SHOWN_MOMENTS
    if hidden > 0:
        table.add_row("", Text(f"{hidden} more: see events.ndjson and outages.json"))
    return table


@dataclass(frozen=True, slots=True)
class _FilmView:
    """The film of one incident, as wide as there is room (at most FILM_COLUMNS)."""

    run: RunData
    incident: IncidentSummary

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> RenderResult:
        scopes = [
            (lane.name, shard)
            for lane in self.run.summary.lanes
            for shard in lane.downtime_ms.shards
        ]
        margin = max((len(f"{lane} {shard}") for lane, shard in scopes), default=0) + 2
        columns = max(20, min(FILM_COLUMNS, options.max_width - margin))
        yield _film_text(self.run, self.incident, scopes, margin, columns)


def _film_text(
    run: RunData,
    incident: IncidentSummary,
    scopes: Sequence[tuple[str, str]],
    margin: int,
    columns: int,
) -> Text:
    clock = run.info.start.clock
    start_ns = clock.to_mono(incident.start_unix_ns)
    end_ns = clock.to_mono(incident.end_unix_ns)
    window = fit_window(start_ns, end_ns, columns=columns)
    film: Iterable[Frame] = run.film
    strips = draw_strips(film, window, scopes=scopes)
    lines = [
        f"{f'{strip.lane} {strip.shard}':<{margin}}{strip.line}" for strip in strips
    ]
    axis = draw_axis(window, zero_ms=start_ns // NS_PER_MS)
    lines.append(" " * margin + axis)
    lines.append(f"one column is {window.step_ms} ms; blank: nothing was due")
    lines.append(LEGEND)
    return Text("\n".join(lines))


# latency, observer


def _latency_table(summary: Summary) -> RenderableType:
    rows = [
        [lane.name, op, kind, *_quantile_cells(quantiles)]
        for lane in summary.lanes
        for kind, by_op in (
            ("response", lane.response_ms),
            ("service", lane.service_ms),
        )
        for op, quantiles in by_op.items()
    ]
    columns = ("lane", "op", "time", "p50", "p90", "p99", "p99.9", "max", "count")
    return Rows(columns, 3, rows)


def _quantile_cells(quantiles: Quantiles) -> list[str]:
    q = quantiles
    times = map(_ms, (q.p50, q.p90, q.p99, q.p99_9, q.max))
    return [*times, f"{q.count:,}"]


def _ms(value_ms: float | None) -> str:
    return "-" if value_ms is None else f"{value_ms:,.2f}"


def _observer_lines(observer: ObserverSummary, summary: Summary) -> list[Text]:
    lateness = observer.lateness_ms
    cores = observer.cpu_seconds / summary.duration_s if summary.duration_s else 0.0
    return [
        Text(
            f"loop lag max {observer.max_loop_lag_ms:.2f} ms, GC pause max "
            f"{observer.max_gc_pause_ms:.2f} ms, CPU {cores:.2f} cores"
        ),
        Text(
            f"sent after due: p50 {_ms(lateness.p50)} ms, p99 {_ms(lateness.p99)} ms, "
            f"max {_ms(lateness.max)} ms; {observer.late_sends:,} late sends, "
            f"{observer.skipped:,} skipped"
        ),
        Text(
            f"blind {observer.blind_ms:.1f} ms (neither downtime nor served); "
            f"{observer.unseen_arrivals:,} arrivals unseen"
        ),
    ]


def _of_absent_keys(summary: Summary) -> list[str]:
    """Return how often nil was the right reply; nothing if it never was."""
    count = sum(lane.absent_reads for lane in summary.lanes)
    return [f"reads of absent keys {count:,} (nil is right)"] if count else []


def _of_replicas(summary: Summary) -> list[str]:
    """Return what is said of reads by replicas; nothing if there were none."""
    if not any("replica_read" in lane.response_ms for lane in summary.lanes):
        return []
    return [f"stale reads of replicas {_count(summary.replica_stale_reads)}"]


def _footer(run: RunData) -> RenderableType:
    summary = run.summary
    checks = ", ".join(
        (
            f"lost writes {_count(summary.lost_writes)}",
            f"stale reads {_count(summary.stale_reads)}",
            *_of_replicas(summary),
            f"wrong replies {summary.wrong:,}",
            *_of_absent_keys(summary),
        )
    )
    return Group(
        Text(f"\nData: {checks}"),
        Text(
            f"Time clients lost in failed calls: {summary.client_seconds_lost:,.1f} s "
            "(a sum over clients, not downtime)"
        ),
        *(Text(f"Problem: {problem}") for problem in run.info.problems),
        *(Text(f"Torn: the last line of {name} is left out") for name in run.torn),
        *(Text(f"Missing: {what}") for what in run.missing),
        Text("What the words and error bars mean: docs/measuring.md"),
        Text(f"Run folder: {run.path}", no_wrap=True, overflow="ignore"),
    )


def _count(value: int | None) -> str:
    return "not checked" if value is None else f"{value:,}"
