"""What a run says first, as Markdown for a ticket or the summary of a CI job. Pure."""

from collections.abc import Iterator, Sequence

from loadprobe.clock import NS_PER_S
from loadprobe.core.budget.words import budget_words
from loadprobe.core.verdict.attribution import Cause
from loadprobe.core.verdict.quantities import Bounds
from loadprobe.core.verdict.summary import LaneSummary, Summary
from loadprobe.core.verdict.texts import clock_text, duration_text
from loadprobe.outputs.folder.reader import RunData
from loadprobe.outputs.wording import date_text, printable

_MEANT = str.maketrans({mark: f"\\{mark}" for mark in "\\`*_{}[]<>#|!~@"})
_MOST_ROWS = 50


def render_markdown(run: RunData) -> str:
    """Return the verdict, who was down, and what was done; names are text in it."""
    return "\n".join(_lines(run))


def _lines(run: RunData) -> Iterator[str]:
    summary, info = run.summary, run.info
    told = summary.headline or "nothing was dark"
    yield f"## {_text(f'{info.name}: {summary.state} - {told}')}"
    yield ""
    scenario = f", scenario {info.scenario}" if info.scenario else ""
    lasted = duration_text(int(summary.duration_s * NS_PER_S))
    about = f"{info.target}, {date_text(summary.start_unix_ns)}, {lasted}{scenario}"
    yield _text(about)
    yield ""
    yield from (f"- {_text(sentence)}" for sentence in summary.verdict)
    yield ""
    yield from _table(
        ("who", "dark ms", "at least", "at most", "whose fault", "by plan ms"),
        [row for lane in summary.lanes for row in _dark_rows(run, lane)],
        "No shard was dark.",
    )
    if summary.scenario is not None:
        yield ""
        yield from _table(
            ("step", "operation", "from (UTC)", "state"),
            [
                (
                    step.name,
                    step.operation,
                    "-"
                    if step.start_unix_ns is None
                    else clock_text(step.start_unix_ns),
                    step.state,
                )
                for step in summary.scenario.steps
            ],
            "No step was made.",
        )
    yield ""
    yield _text(_checks(summary))
    notes = [*run.missing, *(f"torn: {name}" for name in run.torn), *info.problems]
    if notes:
        yield ""
        yield from (f"> {_text(note)}" for note in notes)


def _dark_rows(run: RunData, lane: LaneSummary) -> Iterator[Sequence[str]]:
    for shard, dark in lane.downtime_ms.shards.items():
        planned = lane.planned_ms.shards.get(shard)
        by_plan = 0.0 if planned is None else planned.estimate
        if not dark.upper and not by_plan:
            continue
        causes = dict.fromkeys(
            row.attribution
            for row in run.outages
            if (row.lane, row.shard) == (lane.name, shard)
            and row.attribution != Cause.PLANNED
        )
        yield (
            f"{lane.name}, shard {shard}",
            *_bounds(dark),
            ", ".join(causes) or "-",
            f"{by_plan:,.0f}",
        )


def _bounds(dark: Bounds) -> tuple[str, str, str]:
    return f"{dark.estimate:,.1f}", f"{dark.lower:,.1f}", f"{dark.upper:,.1f}"


def _table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], otherwise: str
) -> Iterator[str]:
    if not rows:
        yield otherwise
        return
    yield f"| {' | '.join(columns)} |"
    yield f"|{'|'.join('---' for _ in columns)}|"
    for row in rows[:_MOST_ROWS]:
        yield f"| {' | '.join(map(_text, row))} |"
    if len(rows) > _MOST_ROWS:
        yield ""
        yield f"{len(rows) - _MOST_ROWS} more are in summary.json."


def _checks(summary: Summary) -> str:
    parts = [
        f"lost writes {_count(summary.lost_writes)}",
        f"stale reads {_count(summary.stale_reads)}",
        f"wrong replies {summary.wrong:,}",
        f"the probe was blind for {summary.observer.blind_ms:,.0f} ms",
    ]
    if summary.error_budget is not None:
        parts.append(budget_words(summary.error_budget))
    return "; ".join(filter(None, parts))


def _count(value: int | None) -> str:
    return "not checked" if value is None else f"{value:,}"


def _text(text: str) -> str:
    return printable(text).translate(_MEANT)
