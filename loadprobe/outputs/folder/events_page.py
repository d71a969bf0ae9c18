"""The reference page of all events (``docs/events.md``), made from their types.

``python -m loadprobe.outputs.folder.events_page > docs/events.md`` writes it anew.
"""

import re
import sys
import types
from collections.abc import Iterator
from enum import Enum
from inspect import getdoc
from typing import Any, Literal, get_args, get_origin

import msgspec

from loadprobe.core.events import KnownEvent, PhaseDetails, PhaseEntered
from loadprobe.core.events.fact import Fact

_SOURCES = (
    "run",
    "probe",
    "operator",
    "provider",
    "topology",
    "reach",
    "tunnel",
    "controller",
    "maintenance",
)
_WORDS: dict[Any, str] = {
    str: "text",
    int: "integer",
    float: "number",
    bool: "boolean",
    type(None): "null",
}
_ARG = re.compile(r"^    (\w+): (.+(?:\n     +.+)*)", re.MULTILINE)


def events_page() -> str:
    """Return the page."""
    parts = [_HEAD]
    for source in _SOURCES:
        parts.append(
            f"## {source}\n\n| kind | what happened | fields |\n|---|---|---|\n"
        )
        parts += [
            row for of, row in map(_event_row, get_args(KnownEvent)) if of == source
        ]
        parts.append("\n")
    parts.append(_PHASES)
    parts += map(_phase_row, get_args(PhaseDetails))
    return "".join(parts)


def _event_row(kind: type[Fact]) -> tuple[str, str]:
    """Return the source of a kind, and its row."""
    source, name, *_ = str(kind.__struct_config__.tag).split("/")
    fields = [text for field, text in _fields(kind) if field != "mono_ns"]
    if kind is PhaseEntered:
        fields[-1] = "`phase` and what belongs to it, see [phases](#phases)"
    return source, f"| `{name}` | {_summary(kind)} | {'; '.join(fields)} |\n"


def _phase_row(details: type[msgspec.Struct]) -> str:
    name = str(details.__struct_config__.tag).partition("/")[0]
    fields = "; ".join(text for _, text in _fields(details))
    return f"| `{name}` | {_summary(details)} | {fields} |\n"


def _summary(kind: type) -> str:
    """Return what a docstring says above its arguments."""
    return _line((getdoc(kind) or "").partition("Args:")[0])


def _line(text: str) -> str:
    """Return a text of Python on one line, as of JSON."""
    return " ".join(text.replace("None", "null").replace("``", "`").split())


def _fields(kind: type[msgspec.Struct]) -> Iterator[tuple[str, str]]:
    """Yield each field of a type: its name in Python, and what the page says of it."""
    texts: dict[str, str] = {}
    for base in kind.__mro__:
        texts = dict(_ARG.findall(getdoc(base) or "")) | texts
    for field in msgspec.structs.fields(kind):
        text = _line(texts[field.name].rstrip("."))
        yield field.name, f"`{field.encode_name}` ({_word(field.type)}): {text}"


def _word(kind: Any) -> str:
    """Return what JSON holds for a type."""
    if isinstance(kind, types.UnionType):
        return " or ".join(map(_word, get_args(kind)))
    if get_origin(kind) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(kind))
    if get_origin(kind) is tuple:
        return f"list of {_word(get_args(kind)[0])}"
    if issubclass(kind, Enum):
        return ", ".join(f"`{member.value}`" for member in kind)
    return _WORDS.get(kind, "")


_HEAD = """\
# Events

The lines of `events.ndjson` in a [run folder](run-folder.md#eventsndjson), by `source`
and `kind`, with what stands in their `fields`. [The API](http.md) shows the same. The
tables are made from the types in `loadprobe/core/events`.

A line holds all fields of its kind. Another version may have other kinds, and other
fields besides these: a reader leaves alone what it does not know, and the report shows
it as it is.

"""

_PHASES = """\
## Phases

Of the controller's `phase`, by `phase`:

| phase | what happened | fields |
|---|---|---|
"""


if __name__ == "__main__":
    sys.stdout.write(events_page())
