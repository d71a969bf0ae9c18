"""Events as lines of the journal, and lines as events. Pure.

A line says ``source`` and ``kind``, and what belongs to it in ``fields``. What is read
of a line that was written is equal to the event; what a line holds beyond that, because
another version wrote it, is given back beside the event.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, get_args

import msgspec

from loadprobe.core.events.fact import TAG_FIELD
from loadprobe.core.events.phases import PhaseDetails, PhaseEntered
from loadprobe.core.events.union import Event, KnownEvent, UnknownEvent
from loadprobe.core.phase_names import Phase

_KINDS = frozenset(
    tuple(str(kind.__struct_config__.tag).split("/")[:2])
    for kind in get_args(KnownEvent)
)
_PHASES = frozenset(
    str(kind.__struct_config__.tag).partition("/")[0] for kind in get_args(PhaseDetails)
)
_PHASE = "controller/phase"
_BEGUN = "begun"


class PlainEvent(NamedTuple):
    """An event as a line says it: plain values."""

    source: str
    kind: str
    fields: dict[str, Any]


def plain(event: Event) -> PlainEvent:
    """Return an event as a line says it."""
    if isinstance(event, UnknownEvent):
        return PlainEvent(event.source, event.kind, dict(event.fields))
    fields = msgspec.to_builtins(event)
    source, kind, *_ = fields.pop(TAG_FIELD).split("/")
    del fields["mono_ns"]
    if isinstance(event, PhaseEntered):
        fields |= {**fields.pop("details"), "phase": event.details.phase.value}
    return PlainEvent(source, kind, fields)


def read(mono_ns: int, line: PlainEvent) -> tuple[Event, dict[str, Any]]:
    """Return the event that a line tells, and those of its fields that are unknown.

    Args:
        mono_ns: time of the line.
        line: the rest of it.

    Raises:
        ValueError: the kind is known, but a field is missing or is not what it should
            be.
    """
    source, kind, fields = line
    tag = _tag(source, kind, fields)
    if tag is None:
        return UnknownEvent(mono_ns, source, kind, fields), {}
    own: dict[str, Any] = {TAG_FIELD: tag, "mono_ns": mono_ns}
    if tag == _PHASE:
        own["details"] = _details(fields)
    try:
        event = msgspec.convert(fields | own, type=KnownEvent)
    except msgspec.ValidationError as exc:
        raise ValueError(f"event {kind!r} of {source!r}: {exc}") from exc
    known = plain(event).fields
    return event, {name: fields[name] for name in fields if name not in known}


def _tag(source: str, kind: str, fields: Mapping[str, Any]) -> str | None:
    """Return the tag of the type that a line is of; None if there is none."""
    if (source, kind) not in _KINDS:
        return None
    tag = f"{source}/{kind}"
    match tag:
        case "controller/scenario" | "controller/step":
            return f"{tag}/begun" if fields.get("state") == _BEGUN else f"{tag}/ended"
        case "controller/exec":
            return f"{tag}/line" if "line" in fields else f"{tag}/ended"
        case "controller/phase":
            phase = fields.get("phase")
            return tag if isinstance(phase, str) and phase in _PHASES else None
        case _:
            return tag


def _details(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the details of a phase, with their tag."""
    phase = fields["phase"]
    is_evident = phase == Phase.ACCEPTED and "evidence" in fields
    return {**fields, "phase": f"{phase}/evident" if is_evident else phase}
