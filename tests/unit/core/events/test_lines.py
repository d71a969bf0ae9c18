"""Lines of the journal: what each kind looks like, and what becomes of others."""

from typing import Any, get_args

import orjson
import pytest

from loadprobe.core.events import (
    Event,
    HoldBegun,
    KnownEvent,
    MutationSettled,
    PhaseDetails,
    PhaseEntered,
    UnknownEvent,
)
from loadprobe.core.events.lines import PlainEvent, plain, read
from tests.support.event_lines import AT, Line
from tests.support.lines_of_controller import CONTROLLER_LINES
from tests.support.lines_of_run import RUN_LINES
from tests.support.lines_of_target import TARGET_LINES

LINES: list[Line] = [
    *RUN_LINES,
    *TARGET_LINES,
    *CONTROLLER_LINES,
    (UnknownEvent(AT, "moon", "rises", {"at": 1}), "moon", "rises", '{"at":1}'),
]


@pytest.mark.parametrize(
    ("event", "source", "kind", "fields"),
    LINES,
    ids=[type(getattr(row[0], "details", row[0])).__name__ for row in LINES],
)
def test_format(event: Event, source: str, kind: str, fields: str) -> None:
    """Each kind is written as it always was, to the byte, and read back as itself."""
    told = plain(event)
    assert (told.source, told.kind) == (source, kind)
    assert orjson.dumps(told.fields).decode() == fields
    assert read(AT, PlainEvent(source, kind, orjson.loads(fields))) == (event, {})


def test_all_kinds_are_here() -> None:
    """Whoever adds a kind, or a phase, says in a table what its line looks like."""
    events = [event for event, *_ in LINES]
    assert {type(event) for event in events} == {*get_args(KnownEvent), UnknownEvent}
    phases = {type(e.details) for e in events if isinstance(e, PhaseEntered)}
    assert phases == {*get_args(PhaseDetails)}


@pytest.mark.parametrize(
    ("source", "kind", "fields"),
    [
        ("run", "restarted", {"name": "x"}),
        ("probe", "started", {"name": "x"}),
        ("controller", "exec/line", {"line": "x"}),
        ("controller", "phase", {"phase": "rested"}),
        ("controller", "phase", {"phase": "accepted/evident"}),
        ("controller", "phase", {"phase": ["settled"]}),
        ("controller", "phase", {}),
        ("", "", {}),
    ],
)
def test_an_unknown_kind_is_kept(
    source: str, kind: str, fields: dict[str, Any]
) -> None:
    """A line that another version wrote is an event, and is written as it was."""
    line = PlainEvent(source, kind, fields)
    event, unknown = read(AT, line)
    assert isinstance(event, UnknownEvent)
    assert unknown == {}
    assert plain(event) == line


@pytest.mark.parametrize(
    ("kind", "fields", "event"),
    [
        (
            "phase",
            {"step": "f", "operation": "x", "shard": None, "phase": "settled"},
            PhaseEntered(AT, "f", "x", None, MutationSettled()),
        ),
        ("hold", {"seconds": 3.0}, HoldBegun(AT, 3.0)),
    ],
)
def test_an_unknown_field_is_kept(
    kind: str, fields: dict[str, Any], event: Event
) -> None:
    """What a line holds beyond its kind is given back beside the event."""
    more = {"event": "x", "mono_ns": 9, "details": {"call": "y"}, "evidence": "z"}
    line = PlainEvent("controller", kind, {**fields, **more})
    assert read(AT, line) == (event, more)


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        (
            "step",
            {"step": "f", "state": "settled", "reason": ""},
            "event 'step' of 'controller': Object missing required field `operation`",
        ),
        (
            "step",
            {"step": "f", "operation": "x", "state": "resting", "reason": ""},
            "event 'step' of 'controller': Invalid enum value 'resting' - at `$.state`",
        ),
        (
            "hold",
            {"seconds": "many"},
            (
                "event 'hold' of 'controller': Expected `float`, got `str` - "
                "at `$.seconds`"
            ),
        ),
        (
            "phase",
            {"step": "f", "operation": "x", "shard": None, "phase": "api_call"},
            (
                "event 'phase' of 'controller': Object missing required field `call` - "
                "at `$.details`"
            ),
        ),
    ],
)
def test_what_is_wrong_is_named(
    kind: str, fields: dict[str, Any], message: str
) -> None:
    """A field that is missing, or is not what it should be, is named with its kind."""
    with pytest.raises(ValueError, match="^event") as caught:
        read(AT, PlainEvent("controller", kind, fields))
    assert str(caught.value) == message
