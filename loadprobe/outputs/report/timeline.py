"""What happened in which order: the operator's call, the provider, and the load.

Pure. Offsets count from the API call of an operation, or from the incident where
nobody called anything; outages appear with the estimates of ``outages.json``.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from loadprobe.clock import NEVER_NS, NS_PER_MS, NS_PER_S
from loadprobe.core.events import CallBegun, PhaseEntered, ProviderTold
from loadprobe.core.verdict.attribution import Cause
from loadprobe.core.verdict.outage_document import OutageRow
from loadprobe.core.verdict.summary import IncidentSummary
from loadprobe.outputs.folder.reader import PastEvent
from loadprobe.outputs.wording import event_text, offset_text

AROUND_NS = 10 * NS_PER_S
"""How much before and after an incident belongs to it, where no call was made."""


_SHOWN = 4
"""So many shards are named; of more their number is told."""

_ROUNDED_NS = 2
"""Estimates are whole nanoseconds, lengths milliseconds with six places."""


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """One line of a timeline: when, and what."""

    wall_ns: int
    text: str


@dataclass(frozen=True, slots=True)
class Timeline:
    """What belongs to one operation or incident.

    Args:
        title: what it is about.
        zero_ns: wall time from which offsets count.
        moments: by time.
    """

    title: str
    zero_ns: int
    moments: tuple[TimelineEntry, ...]


def make_timelines(
    events: Sequence[PastEvent],
    outages: Sequence[OutageRow],
    incidents: Sequence[IncidentSummary],
    end_unix_ns: int,
) -> list[Timeline]:
    """Return one timeline per API call; without any call, one per incident.

    Args:
        events: of the run.
        outages: of the run.
        incidents: of the run.
        end_unix_ns: end of the load.
    """
    moments = sorted(
        [*_event_moments(events), *_outage_moments(outages, end_unix_ns)],
        key=lambda moment: moment.wall_ns,
    )
    calls = [
        (past.line.wall_ns, past.event)
        for past in events
        if isinstance(past.event, PhaseEntered)
        if isinstance(past.event.details, CallBegun)
    ]
    if not calls:
        return [
            _cut(
                f"incident {incident.number}",
                incident.start_unix_ns,
                moments,
                incident.start_unix_ns - AROUND_NS,
                incident.end_unix_ns + AROUND_NS,
            )
            for incident in incidents
        ]
    ends = [at_ns for at_ns, _ in calls[1:]] + [NEVER_NS]
    return [
        _cut(_title(call), at_ns, moments, at_ns, end_ns)
        for (at_ns, call), end_ns in zip(calls, ends, strict=True)
    ]


def _title(call: PhaseEntered) -> str:
    """Return what a call is about; the same word once."""
    words = dict.fromkeys((call.step, call.operation, call.shard))
    return " ".join(word for word in words if word)


def _cut(
    title: str,
    zero_ns: int,
    moments: Iterable[TimelineEntry],
    start_ns: int,
    end_ns: int,
) -> Timeline:
    inside = tuple(m for m in moments if start_ns <= m.wall_ns < end_ns)
    return Timeline(title, zero_ns, inside)


def _event_moments(events: Iterable[PastEvent]) -> Iterable[TimelineEntry]:
    for past in events:
        text = event_text(past.event, past.unknown)
        match past.event:
            case ProviderTold(date_unix_ns=dated_ns, seen_unix_ns=seen_ns):
                # The provider's own timestamp decides; it is told late, by polling.
                later = offset_text(seen_ns - dated_ns)
                text = f"{text} (its own time; seen {later} later)"
                yield TimelineEntry(dated_ns, text)
            case _:
                yield TimelineEntry(past.line.wall_ns, text)


def _outage_moments(
    outages: Iterable[OutageRow], end_unix_ns: int
) -> Iterable[TimelineEntry]:
    dark_by_plan: dict[str, list[OutageRow]] = {}
    for row in outages:
        scope = f"{row.lane} {row.shard} {row.op}"
        is_planned = row.attribution == Cause.PLANNED
        first_class = max(row.classes, key=lambda name: row.classes[name], default="")
        begun = "dark when it was first observed" if row.open_start else "first error"
        if is_planned:
            begun = f"{begun} by plan"
        yield TimelineEntry(row.start_unix_ns, f"load: {scope} {begun} ({first_class})")
        if is_planned and is_dark_at(end_unix_ns, row):
            dark_by_plan.setdefault(row.lane, []).append(row)
            continue
        ended = "served again"
        if row.open_end:
            is_end = is_dark_at(end_unix_ns, row)
            ended = "still dark at the end" if is_end else "no more arrivals"
        if row.unseen_ms:
            ended = f"{ended} ({row.unseen_ms:,.0f} ms of it unseen: an estimate)"
        yield TimelineEntry(row.end_unix_ns, f"load: {scope} {ended}")
    for lane, rows in dark_by_plan.items():
        shards = sorted({row.shard for row in rows})
        where = ", ".join(shards) if len(shards) <= _SHOWN else f"{len(shards)} shards"
        text = f"load: {lane} {where} still dark by plan at the end"
        yield TimelineEntry(max(row.end_unix_ns for row in rows), text)


def is_dark_at(end_unix_ns: int, row: OutageRow) -> bool:
    """Tell whether an outage went on when the load ended.

    The end of one that stayed open is estimated in the middle between its last failure
    and when it was over at the latest: the end of the load, if it went on. Between them
    lies no more than the largest gap between two arrivals, and what was not seen.
    """
    latest_ns = row.end_unix_ns + (row.probe_gap_ms + row.unseen_ms) * NS_PER_MS / 2
    return row.open_end and latest_ns >= end_unix_ns - _ROUNDED_NS


def shown_offset(moment: TimelineEntry, timeline: Timeline) -> str:
    """Return the distance of a moment from the zero of its timeline."""
    return offset_text(moment.wall_ns - timeline.zero_ns)
