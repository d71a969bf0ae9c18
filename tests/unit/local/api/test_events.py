"""The event log: what is visible, to whom, and when."""

from datetime import UTC, datetime, timedelta

import pytest

from loadprobe.local.api.events import ApiEvent, EventFilter, EventLog, event_filter
from loadprobe.local.api.faults import ApiFault

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def minutes(count: float) -> datetime:
    """Return a moment so many minutes after noon."""
    return NOON + timedelta(minutes=count)


def any_event(
    *,
    source_identifier: str | None = None,
    source_type: str | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    duration_min: int | None = None,
    after_number: int = 0,
    now: datetime = NOON,
) -> EventFilter:
    """Return a filter that asks for nothing but what is given."""
    return event_filter(
        source_identifier=source_identifier,
        source_type=source_type,
        start=start,
        end=end,
        duration_min=duration_min,
        after_number=after_number,
        now=now,
    )


def filled_log(*, delay_s: float = 0.0) -> EventLog:
    """Return a log with an event each 30 minutes from 10:00 to 12:00."""
    log = EventLog(delay_s=delay_s)
    for step in range(5):
        source_type = "cache-cluster" if step % 2 else "replication-group"
        log.add(source_type, f"rg-{step % 2}", f"event {step}", now=minutes(30 * step))
    return log


def messages(events: list[ApiEvent]) -> list[str]:
    """Return the texts of events."""
    return [event.message for event in events]


LATER = minutes(120)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (any_event(now=LATER), ["event 2", "event 3", "event 4"]),
        (any_event(duration_min=30, now=LATER), ["event 3", "event 4"]),
        (any_event(start=NOON, end=minutes(30), now=LATER), ["event 0", "event 1"]),
        (any_event(end=minutes(60), now=LATER), ["event 0", "event 1", "event 2"]),
        (
            any_event(start=NOON, source_type="cache-cluster", now=LATER),
            ["event 1", "event 3"],
        ),
        (
            any_event(start=NOON, source_identifier="rg-1", now=LATER),
            ["event 1", "event 3"],
        ),
        (any_event(start=NOON, after_number=3, now=LATER), ["event 3", "event 4"]),
    ],
)
def test_finds_what_was_asked_for(wanted: EventFilter, expected: list[str]) -> None:
    """The window (default: the last hour), the source and the marker all filter."""
    assert messages(filled_log().find(wanted, now=LATER)) == expected


def test_events_become_visible_after_the_delay() -> None:
    """An event is found only once its delay has passed, with its own date."""
    log = filled_log(delay_s=600)
    wanted = any_event(start=minutes(100), end=minutes(200), now=LATER)
    assert log.find(wanted, now=minutes(129.9)) == []
    (event,) = log.find(wanted, now=minutes(130))
    assert event.date == minutes(120)


def test_events_are_kept_for_fourteen_days() -> None:
    """Events older than fourteen days are gone."""
    log = filled_log()
    late = minutes(30) + timedelta(days=14)
    log.add("replication-group", "rg-0", "new", now=late)
    found = log.find(any_event(start=NOON, now=late), now=late)
    assert messages(found) == ["event 1", "event 2", "event 3", "event 4", "new"]


def test_refuses_a_window_given_twice_or_backwards() -> None:
    """Duration beside a start or end, and a start after the end, are faults."""
    with pytest.raises(ApiFault) as twice:
        any_event(start=NOON, duration_min=5)
    assert twice.value.code == "InvalidParameterCombination"
    with pytest.raises(ApiFault) as backwards:
        any_event(start=minutes(1), end=NOON)
    assert backwards.value.code == "InvalidParameterValue"
