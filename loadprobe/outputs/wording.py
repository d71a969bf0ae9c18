"""How times, lengths and events are worded, in the live view and in the report.

Pure. Wall times are UTC; every length names its unit.
"""

from collections.abc import Mapping
from datetime import UTC, datetime

from loadprobe.clock import NS_PER_MS, NS_PER_S
from loadprobe.core.verdict.scenario_summary import node_of
from loadprobe.core.verdict.texts import clock_text

_MS_PER_S = 1000
_LONG_MS = 10 * _MS_PER_S
_SHOWN_FIELDS = {
    "phase": ("step", "operation", "shard", "phase"),
    "step": ("step", "operation", "state"),
    "scenario": ("name", "state"),
    "exec": ("step", "stream", "line"),
}
"""Fields that are told without their names, by kind of event; the same word once."""
_UNSHOWN_FIELDS = frozenset(
    {"date_unix_ns", "seen_unix_ns", "failover_id", "request_id", "provider_offset_ms"}
)


def date_text(wall_ns: int) -> str:
    """Return date and time with milliseconds: ``2026-01-02 12:34:56.789 UTC``."""
    at = datetime.fromtimestamp(wall_ns // NS_PER_S, UTC)
    return f"{at:%Y-%m-%d} {clock_text(wall_ns)} UTC"


def offset_text(offset_ns: int) -> str:
    """Return a signed distance in milliseconds: ``+123.4 ms``."""
    return f"{offset_ns / NS_PER_MS:+,.1f} ms"


def span_text(span_ms: float) -> str:
    """Return a signed distance: ``+123.4 ms``, from ten seconds on ``+12.345 s``."""
    if abs(span_ms) < _LONG_MS:
        return f"{span_ms:+,.1f} ms"
    return f"{span_ms / _MS_PER_S:+,.3f} s"


def printable(text: str) -> str:
    """Return a foreign text with line breaks and control characters as spaces."""
    return "".join(c if c.isprintable() else " " for c in text)


def about_node(message: str, node: str | None) -> str:
    """Return what a provider told, with the node if it does not name it itself."""
    return message if node is None or node in message else f"{node}: {message}"


def event_text(source: str, kind: str, fields: Mapping[str, object]) -> str:
    """Return one line for an event: source, what happened, and its details.

    Line breaks and control characters of foreign texts are shown as spaces.
    """
    if kind in _SHOWN_FIELDS:
        shown = _SHOWN_FIELDS[kind]
        words = [str(fields[k]) for k in shown if fields.get(k) not in (None, "")]
        prefix = "" if kind == "phase" else f"{kind} "
        what = prefix + " ".join(dict.fromkeys(words))
        rest = {k: v for k, v in fields.items() if k not in shown}
    elif "message" in fields:
        what = about_node(str(fields["message"]), node_of(fields))
        rest = {}
    else:
        what = kind
        rest = dict(fields)
    details = " ".join(
        f"{name}={value}"
        for name, value in rest.items()
        if name not in _UNSHOWN_FIELDS and value not in (None, "")
    )
    line = f"{source}: {what} {details}".rstrip()
    return printable(line)
