"""Times and lengths in words. Pure. Wall times are UTC; every length names its unit."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from loadprobe.clock import NS_PER_MS, NS_PER_S
from loadprobe.core.judging.outages import Outage
from loadprobe.core.judging.outcome import ErrorClass
from loadprobe.core.verdict.incidents import DarkTime, dark_time

_MINUTE_S = 60
_HOUR_S = 3600
_GOOD_PART = 0.05
"""More than this part of a time unseen: an estimate of it would say too much."""


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


def dark_text(time: DarkTime, where: str = "of it") -> str:
    """Return a dark time with its error bars: ``410 ms [408, 412]``.

    If the probe was blind for a good part of it: ``at least 408 ms, at most 912 ms: the
    probe was blind for 500 ms at its end``.

    Args:
        time: the time.
        where: which part of it the probe did not see.
    """
    estimate, lower, upper, unseen = (
        t / NS_PER_MS
        for t in (time.estimate_ns, time.lower_ns, time.upper_ns, time.unseen_ns)
    )
    digits = 0 if estimate >= 100 else 1
    if unseen > _GOOD_PART * upper:
        return (
            f"at least {lower:,.{digits}f} ms, at most {upper:,.{digits}f} ms: "
            f"the probe was blind for {unseen:,.{digits}f} ms {where}"
        )
    return f"{estimate:.{digits}f} ms [{lower:.{digits}f}, {upper:.{digits}f}]"


def outages_text(outages: Sequence[Outage]) -> str:
    """Return how long at least one of some outages was going on; see ``dark_text``."""
    return dark_text(dark_time(outages), _unseen_part(outages))


def _unseen_part(outages: Sequence[Outage]) -> str:
    """Say which part of outages was not seen, if it is one part."""
    unseen = [(o, span) for o in outages for span in o.unseen]
    if all(start < o.core_start_ns for o, (start, _) in unseen):
        return "at its start"
    if all(end > o.core_end_ns for o, (_, end) in unseen):
        return "at its end"
    if any(
        start < o.core_start_ns or end > o.core_end_ns for o, (start, end) in unseen
    ):
        return "of it"
    return "in its midst"


def main_reason(outages: Iterable[Outage]) -> ErrorClass:
    """Return what most of the arrivals failed with; there is at least one outage."""
    classes: Counter[ErrorClass] = Counter()
    for outage in outages:
        classes.update(outage.classes)
    return classes.most_common(1)[0][0]
