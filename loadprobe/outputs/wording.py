"""How times, lengths and events are worded, in the live view and in the report.

Pure. Wall times are UTC; every length names its unit.
"""

import re
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from types import MappingProxyType

from loadprobe.clock import NS_PER_MS, NS_PER_S
from loadprobe.core.events import (
    Event,
    ExecEnded,
    ExecLine,
    MarkMade,
    PhaseEntered,
    ProviderTold,
    ScenarioBegun,
    ScenarioEnded,
    StepBegun,
    StepEnded,
    UnknownEvent,
)
from loadprobe.core.events.lines import plain
from loadprobe.core.verdict.texts import clock_text

_MS_PER_S = 1000
_LONG_MS = 10 * _MS_PER_S
_STEP_FIELDS = ("step", "operation", "state")
_SCENARIO_FIELDS = ("name", "state")
_SHOWN_FIELDS: dict[type[Event], tuple[str, ...]] = {
    PhaseEntered: ("step", "operation", "shard", "phase"),
    StepBegun: _STEP_FIELDS,
    StepEnded: _STEP_FIELDS,
    ScenarioBegun: _SCENARIO_FIELDS,
    ScenarioEnded: _SCENARIO_FIELDS,
    ExecLine: ("step", "stream", "line"),
    ExecEnded: ("step",),
}
"""Fields that are told without their names, by kind of event; the same word once."""
_UNSHOWN_FIELDS = frozenset(
    {"date_unix_ns", "seen_unix_ns", "failover_id", "request_id", "provider_offset_ms"}
)
_PLAIN_WORDS = (
    (r"\b(both|all \d+|\d+ of \d+) lanes\b", r"\1 kinds of clients"),
    (r"\blanes (?=\S)", "clients "),
    (r"\blane (\S+) is\b", r"\1 clients are"),
    (r"\bno outage on lane (\S+)", r"no outage for \1 clients"),
    (r"\bon lane (?=\S)", "for clients "),
    (r"\blane (?=\S)", "clients "),
    (r"\bwitness lane\b", "clients"),
    (r"\bdark\b", "down"),
    (r"\bthe probe was blind\b", "loadprobe itself stalled"),
    (r"\barrival(s?)\b", r"request\1"),
)
"""How texts are put that are made of our words."""
_NOTHING: Mapping[str, object] = MappingProxyType({})


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


def plain_words(text: str) -> str:
    """Return a sentence of ours with words that need no glossary."""
    for pattern, word in _PLAIN_WORDS:
        text = re.sub(pattern, word, text)
    return printable(text)


def about_node(message: str, node: str | None) -> str:
    """Return what a provider told, with the node if it does not name it itself."""
    return message if node is None or node in message else f"{node}: {message}"


def event_text(event: Event, unknown: Mapping[str, object] = _NOTHING) -> str:
    """Return one line for an event: source, what happened, and its details.

    Line breaks and control characters of foreign texts are shown as spaces.

    Args:
        event: what happened.
        unknown: what its line holds beyond that.
    """
    source, kind, fields = plain(event)
    shown: Collection[str] = fields
    match event:
        case ProviderTold():
            what = about_node(event.message, event.node)
        case MarkMade():
            what = event.message
        case UnknownEvent() if "message" in fields:
            what = str(fields["message"])
        case _:
            shown = _SHOWN_FIELDS.get(type(event), ())
            words = dict.fromkeys(str(v) for k in shown if (v := fields[k]))
            prefix = () if isinstance(event, PhaseEntered) else (kind,)
            what = " ".join((*prefix, *words))
    details = " ".join(
        f"{name}={', '.join(value) if isinstance(value, tuple) else value}"
        for name, value in {**fields, **unknown}.items()
        if name not in shown
        if name not in _UNSHOWN_FIELDS and value not in (None, "")
    )
    return printable(f"{source}: {what} {details}".rstrip())
