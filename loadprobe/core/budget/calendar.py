"""Over which times a budget is reckoned: calendar months, 28 days, burn windows.

Pure; all times are UNIX nanoseconds. UNIX days have 86,400 s, and UTC months begin with
a whole hour of them, so a leap second is in no length and moves no edge.
"""

from datetime import UTC, datetime
from fractions import Fraction
from typing import NamedTuple

from loadprobe.clock import NS_PER_S

MINUTE_NS = 60 * NS_PER_S
HOUR_NS = 60 * MINUTE_NS
DAY_NS = 24 * HOUR_NS
ROLLING_DAYS = 28
_DECEMBER = 12

WINDOWS_NS = {
    "5m": 5 * MINUTE_NS,
    "30m": 30 * MINUTE_NS,
    "1h": HOUR_NS,
    "6h": 6 * HOUR_NS,
    "3d": 3 * DAY_NS,
}
"""Windows of burn rates: those of the SRE workbook (Google, 2018, chapter 5), each of
the long ones with the short one that shows whether it still burns."""

FINE_NS = WINDOWS_NS["6h"]
"""Windows up to this length begin with a whole minute, others with a whole hour."""


class Period(NamedTuple):
    """A time that has a budget.

    Args:
        name: "month" or "28d".
        start_ns: when it began.
        length_ns: of the whole of it, which may not be over.
    """

    name: str
    start_ns: int
    length_ns: int


def periods(now_ns: int) -> tuple[Period, Period]:
    """Return the calendar month (UTC) that a time lies in, and the 28 days before it.

    The 28 days begin with a whole hour, at most an hour earlier than 28 days before.
    """
    start = datetime.fromtimestamp(now_ns // NS_PER_S, UTC).replace(
        day=1, hour=0, minute=0, second=0
    )
    is_last = start.month == _DECEMBER
    end = start.replace(
        year=start.year + is_last, month=1 if is_last else start.month + 1
    )
    start_ns, end_ns = (int(at.timestamp()) * NS_PER_S for at in (start, end))
    rolling_ns = ROLLING_DAYS * DAY_NS
    return (
        Period("month", start_ns, end_ns - start_ns),
        Period("28d", now_ns // HOUR_NS * HOUR_NS - rolling_ns, rolling_ns),
    )


def window_start_ns(length_ns: int, now_ns: int) -> int:
    """Return when a burn window of a length begins: with a whole minute, or hour."""
    step_ns = MINUTE_NS if length_ns <= FINE_NS else HOUR_NS
    return now_ns // step_ns * step_ns - length_ns


def allowed_ns(length_ns: int, target: float) -> int:
    """Return how long it may be dark in a time, by a target such as 0.9999."""
    return int(length_ns * (1 - Fraction(str(target))))
