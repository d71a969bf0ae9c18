"""Times and lengths in words. Pure. Wall times are UTC; every length names its unit."""

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime

from loadprobe.clock import NS_PER_MS, NS_PER_S
from loadprobe.core.incidents import DarkTime
from loadprobe.core.outages import Outage
from loadprobe.core.outcome import ErrorClass

_MINUTE_S = 60
_HOUR_S = 3600


def clock_text(wall_ns: int) -> str:
    """Return the time of day with milliseconds: ``12:34:56.789``."""
    seconds, rest_ns = divmod(wall_ns, NS_PER_S)
    at = datetime.fromtimestamp(seconds, UTC)
    return f"{at:%H:%M:%S}.{rest_ns // NS_PER_MS:03d}"


def duration_text(duration_ns: int) -> str:
    """Return a length in the units a person would use: ``1 h 02 min``, ``12.3 s``."""
    tenths = round(10 * duration_ns / NS_PER_S)
    if tenths < 10 * _MINUTE_S:
        return f"{tenths / 10:.1f} s"
    seconds = round(tenths / 10)
    if seconds < _HOUR_S:
        return f"{seconds // _MINUTE_S} min {seconds % _MINUTE_S:02d} s"
    return f"{seconds // _HOUR_S} h {seconds % _HOUR_S // _MINUTE_S:02d} min"


def dark_text(time: DarkTime) -> str:
    """Return a dark time with its error bars: ``410 ms [408, 412]``."""
    estimate, lower, upper = (
        t / NS_PER_MS for t in (time.estimate_ns, time.lower_ns, time.upper_ns)
    )
    digits = 0 if estimate >= 100 else 1
    return f"{estimate:.{digits}f} ms [{lower:.{digits}f}, {upper:.{digits}f}]"


def main_reason(outages: Iterable[Outage]) -> ErrorClass:
    """Return what most of the arrivals failed with; there is at least one outage."""
    classes: Counter[ErrorClass] = Counter()
    for outage in outages:
        classes.update(outage.classes)
    return classes.most_common(1)[0][0]
