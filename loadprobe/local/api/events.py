"""The event log of the control plane: what DescribeEvents shows.

Pure: the caller gives the time. Events are kept in the order of their dates.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from loadprobe.local.api.faults import ApiFault

KEPT = timedelta(days=14)
DEFAULT_WINDOW = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class ApiEvent:
    """One event; it has no identity in the API beside its four members.

    Args:
        number: position in the log, from 1; used in markers only.
        source_identifier: a replication group's id, or a node's.
        source_type: "replication-group" or "cache-cluster".
        message: the text.
        date: when it happened.
    """

    number: int
    source_identifier: str
    source_type: str
    message: str
    date: datetime


@dataclass(frozen=True, slots=True)
class EventFilter:
    """What is asked for; None means any.

    Args:
        source_identifier: exactly this source.
        source_type: exactly this type.
        start: not earlier.
        end: not later.
        after_number: only events with a greater number (from a marker).
    """

    source_identifier: str | None
    source_type: str | None
    start: datetime
    end: datetime
    after_number: int


class EventLog:
    """Append events, and find those that are visible.

    Args:
        delay_s: how long after its date an event becomes visible, in seconds.
    """

    def __init__(self, *, delay_s: float) -> None:
        self._delay = timedelta(seconds=delay_s)
        self._events: list[ApiEvent] = []
        self._next_number = 1

    def add(
        self, source_type: str, source_identifier: str, message: str, *, now: datetime
    ) -> None:
        """Append one event; drop those older than 14 days."""
        self._events.append(
            ApiEvent(self._next_number, source_identifier, source_type, message, now)
        )
        self._next_number += 1
        while self._events[0].date < now - KEPT:
            del self._events[0]

    def find(self, wanted: EventFilter, *, now: datetime) -> list[ApiEvent]:
        """Return the visible events that match, oldest first."""
        return [
            event
            for event in self._events
            if event.number > wanted.after_number
            and event.date + self._delay <= now
            and wanted.start <= event.date <= wanted.end
            and wanted.source_type in (None, event.source_type)
            and wanted.source_identifier in (None, event.source_identifier)
        ]


def event_filter(
    *,
    source_identifier: str | None,
    source_type: str | None,
    start: datetime | None,
    end: datetime | None,
    duration_min: int | None,
    after_number: int,
    now: datetime,
) -> EventFilter:
    """Resolve the time window of a request (default: the last hour).

    Raises:
        ApiFault: the window is empty, or given twice.
    """
    if duration_min is not None and (start is not None or end is not None):
        raise ApiFault(
            "InvalidParameterCombination",
            "Duration cannot be combined with StartTime or EndTime.",
        )
    window = DEFAULT_WINDOW
    if duration_min is not None:
        window = timedelta(minutes=duration_min)
    until = now if end is None else end.astimezone(UTC)
    since = until - window if start is None else start.astimezone(UTC)
    if since > until:
        raise ApiFault("InvalidParameterValue", "StartTime must be before EndTime.")
    return EventFilter(source_identifier, source_type, since, until, after_number)
