"""Lengths as people write them on a command line."""

import re

from loadprobe.errors import UsageError

_LONGEST_S = 366 * 86_400.0
_DURATION = re.compile(r"(?P<number>\d+(?:\.\d+)?)(?P<unit>ms|s|m|h|d)")
_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_duration(text: str, *, option: str) -> float:
    """Return seconds from ``90s``, ``10m``, ``1h30m``.

    Args:
        text: what was given.
        option: the option it was given to, for messages.

    Raises:
        UsageError: there is no unit, or something else in the text; it is 0, or more
            than a year.
    """
    parts = list(_DURATION.finditer(text))
    if not parts or "".join(part[0] for part in parts) != text:
        raise UsageError(
            f"{option} {text!r} is not a duration; write a number with its unit, "
            "for example 90s, 10m or 1h30m"
        )
    seconds = sum(float(part["number"]) * _UNIT_S[part["unit"]] for part in parts)
    if not 0 < seconds <= _LONGEST_S:
        raise UsageError(f"{option} {text}: expected more than 0, and at most 366d")
    return seconds
