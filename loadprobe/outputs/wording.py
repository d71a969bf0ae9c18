"""How times, lengths and events are worded, in the live view and in the report.

Pure. Wall times are UTC; every length names its unit.
"""

from collections.abc import Mapping
from datetime import UTC, datetime

from loadprobe.clock import NS_PER_MS, NS_PER_S

_MINUTE_S = 60
_HOUR_S = 3600
_UNSHOWN_FIELDS = frozenset({"date_unix_ns", "seen_unix_ns", "failover_id"})


def clock_text(wall_ns: int) -> str:
    """Return the time of day with milliseconds: ``12:34:56.789``."""
    seconds, rest_ns = divmod(wall_ns, NS_PER_S)
    at = datetime.fromtimestamp(seconds, UTC)
    return f"{at:%H:%M:%S}.{rest_ns // NS_PER_MS:03d}"


def date_text(wall_ns: int) -> str:
    """Return date and time with milliseconds: ``2026-01-02 12:34:56.789 UTC``."""
    at = datetime.fromtimestamp(wall_ns // NS_PER_S, UTC)
    return f"{at:%Y-%m-%d} {clock_text(wall_ns)} UTC"


def duration_text(duration_ns: int) -> str:
    """Return a length in the units a person would use: ``1 h 02 min``, ``12.3 s``."""
    tenths = round(10 * duration_ns / NS_PER_S)
    if tenths < 10 * _MINUTE_S:
        return f"{tenths / 10:.1f} s"
    seconds = round(tenths / 10)
    if seconds < _HOUR_S:
        return f"{seconds // _MINUTE_S} min {seconds % _MINUTE_S:02d} s"
    return f"{seconds // _HOUR_S} h {seconds % _HOUR_S // _MINUTE_S:02d} min"


def offset_text(offset_ns: int) -> str:
    """Return a signed distance in milliseconds: ``+123.4 ms``."""
    return f"{offset_ns / NS_PER_MS:+,.1f} ms"


def event_text(source: str, kind: str, fields: Mapping[str, object]) -> str:
    """Return one line for an event: source, what happened, and its details.

    Line breaks and control characters of foreign texts are shown as spaces.
    """
    if kind == "phase":
        shown = ("operation", "shard", "phase")
        what = " ".join(str(fields[name]) for name in shown if name in fields)
        rest = {k: v for k, v in fields.items() if k not in shown}
    elif "message" in fields:
        what = str(fields["message"])
        rest = {}
    else:
        what = kind
        rest = dict(fields)
    details = " ".join(
        f"{name}={value}"
        for name, value in rest.items()
        if name not in _UNSHOWN_FIELDS and value is not None
    )
    line = f"{source}: {what} {details}".rstrip()
    return "".join(c if c.isprintable() else " " for c in line)
