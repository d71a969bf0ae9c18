"""Every event, whatever is in it, comes back from the line that it was written as."""

import types
from enum import Enum
from typing import Any, Literal, get_args, get_origin

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from loadprobe.clock import ClockPair
from loadprobe.core.events import Event, KnownEvent, UnknownEvent
from loadprobe.core.events.lines import PlainEvent, read
from loadprobe.outputs.folder.documents import EventLine, encode_json, event_line

CLOCK = ClockPair(0, 1_767_323_045_000_000_000)
PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    bool: st.booleans(),
    int: st.integers(-(1 << 62), 1 << 62),
    float: st.floats(allow_nan=False, allow_infinity=False),
    str: st.text(max_size=20),
    type(None): st.none(),
}
JSON = st.dictionaries(st.text(max_size=5), PLAIN[int] | PLAIN[str] | st.none())


def values(kind: Any) -> st.SearchStrategy[Any]:
    """Return values of a type as events have them."""
    if kind in PLAIN:
        return PLAIN[kind]
    if isinstance(kind, types.UnionType):
        return st.one_of([values(one) for one in get_args(kind)])
    if get_origin(kind) is Literal:
        return st.sampled_from(get_args(kind))
    if get_origin(kind) is tuple:
        return st.lists(values(get_args(kind)[0]), max_size=3).map(tuple)
    if issubclass(kind, Enum):
        return st.sampled_from(kind)
    assert issubclass(kind, msgspec.Struct)
    fields = msgspec.structs.fields(kind)
    return st.builds(kind, **{field.name: values(field.type) for field in fields})


UNKNOWN = st.builds(UnknownEvent, PLAIN[int], st.text(), st.just("odd"), JSON)
EVENTS = st.one_of([*map(values, get_args(KnownEvent)), UNKNOWN])


def read_line(line: EventLine) -> tuple[Event, dict[str, Any]]:
    """Return the event that a line tells, and what else is in it."""
    return read(line.mono_ns, PlainEvent(line.source, line.kind, line.fields))


@given(EVENTS)
def test_round_trip(event: Event) -> None:
    """What is read of a line is equal to the event, and nothing is left over."""
    written = encode_json(event_line(event, CLOCK))
    line = msgspec.json.decode(written, type=EventLine)
    assert read_line(line) == (event, {})
    assert line.wall_ns == CLOCK.to_wall(event.mono_ns)


@given(EVENTS, JSON)
def test_more_than_is_known(event: Event, more: dict[str, Any]) -> None:
    """Fields of another version change nothing, and are given back."""
    line = event_line(event, CLOCK)
    fields = more | line.fields
    changed = msgspec.structs.replace(line, fields=fields)
    found, unknown = read_line(changed)
    if isinstance(event, UnknownEvent):
        assert found == msgspec.structs.replace(event, fields=fields)
    else:
        assert found == event
        assert unknown == {k: v for k, v in more.items() if k not in line.fields}
