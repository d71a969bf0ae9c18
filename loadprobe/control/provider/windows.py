"""Weekly maintenance windows, such as "sun:23:00-mon:01:30" (UTC). Pure."""

import re

from loadprobe.clock import NS_PER_S

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_EPOCH_DAY = 3
"""1 January 1970 was a Thursday."""

_DAY_S = 86_400
_WEEK_NS = 7 * _DAY_S * NS_PER_S
_START = re.compile(rf"({'|'.join(_DAYS)}):([01]\d|2[0-3]):([0-5]\d)-")


def next_start_unix_ns(window: str, now_unix_ns: int) -> int | None:
    """Return when a window begins next, at a time or after it; None if it is none."""
    found = _START.match(window.lower())
    if found is None:
        return None
    days = _DAYS.index(found[1]) - _EPOCH_DAY
    offset_s = days * _DAY_S + int(found[2]) * 3600 + int(found[3]) * 60
    since_ns = now_unix_ns - offset_s * NS_PER_S
    return now_unix_ns + -since_ns % _WEEK_NS
