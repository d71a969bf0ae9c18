"""Months, windows and what they allow."""

from datetime import UTC, datetime

import pytest

from loadprobe.clock import NS_PER_S
from loadprobe.core.budget.calendar import (
    DAY_NS,
    HOUR_NS,
    MINUTE_NS,
    allowed_ns,
    periods,
    window_start_ns,
)


def unix_ns(text: str) -> int:
    """Return a UTC time."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * NS_PER_S


@pytest.mark.parametrize(
    ("now", "start", "days"),
    [
        ("2026-11-29T16:00:00", "2026-11-01", 30),
        ("2026-12-31T23:59:59", "2026-12-01", 31),
        ("2027-01-01T00:00:00", "2027-01-01", 31),
        ("2027-02-28T12:00:00", "2027-02-01", 28),
        ("2028-02-29T12:00:00", "2028-02-01", 29),
        ("2016-12-31T23:59:59", "2016-12-01", 31),
    ],
)
def test_months_are_those_of_the_calendar(now: str, start: str, days: int) -> None:
    """To the nanosecond; the leap second at the end of 2016 is in no length."""
    now_ns, start_ns = unix_ns(now), unix_ns(start)
    month, rolling = periods(now_ns + NS_PER_S - 1)
    assert month == ("month", start_ns, days * DAY_NS)
    assert rolling.length_ns == 28 * DAY_NS
    assert rolling.start_ns % HOUR_NS == 0
    assert 0 <= now_ns - rolling.start_ns - 28 * DAY_NS < HOUR_NS


@pytest.mark.parametrize(
    ("days", "target", "seconds"),
    [
        (30, 0.9999, 259.2),
        (31, 0.9999, 267.84),
        (28, 0.9999, 241.92),
        (30, 0.999, 2592.0),
        (30, 1.0, 0.0),
        (30, 0.0, 30 * 86_400.0),
    ],
)
def test_what_is_allowed_is_a_part_of_the_time(
    days: int, target: float, seconds: float
) -> None:
    """99.99 % of a month of 30 days leave 4 min 19.2 s."""
    assert allowed_ns(days * DAY_NS, target) / NS_PER_S == seconds


def test_short_windows_begin_with_a_minute_and_long_ones_with_an_hour() -> None:
    """So that whole buckets lie in them."""
    now_ns = unix_ns("2026-11-29T16:07:31")
    assert window_start_ns(HOUR_NS, now_ns) == unix_ns("2026-11-29T15:07:00")
    assert window_start_ns(5 * MINUTE_NS, now_ns) == unix_ns("2026-11-29T16:02:00")
    assert window_start_ns(3 * DAY_NS, now_ns) == unix_ns("2026-11-26T16:00:00")
