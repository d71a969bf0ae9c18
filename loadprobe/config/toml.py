"""Turning TOML into structs, with errors that name the key and say what it takes.

Pure, but for ``read_file``. Which keys there are, their types and their ranges is read
from msgspec structs; a struct for each section of a file.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import inspect as types

from loadprobe.errors import ConfigError

_UNITS = {
    "_per_s": "arrivals per second",
    "_ms": "milliseconds",
    "_s": "seconds",
    "_hours": "hours",
    "_days": "days",
    "_gb": "GB",
    "_bytes": "bytes",
}
_PATH = re.compile(
    r"^(?P<problem>.*?)(?: - at `(?:\$|key in \$)(?P<path>.*)`)?$", re.DOTALL
)
_INDEX = re.compile(r"\[\d+\]")
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<key>[^`]*)`")
_MISSING = re.compile(r"Object missing required field `(?P<key>[^`]*)`")

StructT = TypeVar("StructT", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of a kind of file.

    Args:
        sections: name of a section -> its struct; "" is the top of the file.
        words: key at the top -> what it takes, where its type does not tell.
        refused: unknown key -> what to say of it rather than that it is unknown.
        items: list at the top -> what one of its values takes.
        otherwise: what any other value takes that is no key of a section ("a [[lanes]]
            section").
    """

    sections: Mapping[str, type[msgspec.Struct]]
    words: Mapping[str, str] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    items: Mapping[str, str] = field(default_factory=dict)
    otherwise: str = "a section"

    def fields(self, section: str) -> dict[str, msgspec.structs.FieldInfo]:
        """Return the keys of a section, in their order."""
        return {f.name: f for f in msgspec.structs.fields(self.sections[section])}

    def describe(self, section: str, key: str) -> str | None:
        """Return which values a key takes, in words; None if there is no such key."""
        if section not in self.sections:
            return None
        fields = self.fields(section)
        if key not in fields:
            return None
        if not section and key in self.words:
            return self.words[key]
        unit = next((word for end, word in _UNITS.items() if key.endswith(end)), None)
        text = _describe(types.type_info(fields[key].type))
        return f"{text} ({unit}, without the unit)" if unit else text


def read_file(path: Path | str) -> str:
    """Return the text of a file.

    Raises:
        ConfigError: it cannot be read, or is no text.
    """
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as exc:
        raise ConfigError(
            str(path), f"cannot read it: {exc.strerror}; give the path of a TOML file"
        ) from exc
    except ValueError as exc:  # a NUL in the path, or no UTF-8 in the file
        raise ConfigError(str(path), f"not UTF-8 text: {exc}") from exc


def decode(text: str, *, where: str) -> dict[str, object]:
    """Parse TOML.

    Args:
        text: TOML.
        where: name of the file, for messages.

    Raises:
        ConfigError: it is not valid.
    """
    try:
        raw: dict[str, object] = msgspec.toml.decode(text)
    except msgspec.DecodeError as exc:
        raise ConfigError(where, f"not valid TOML: {exc}") from exc
    except (ValueError, RecursionError) as exc:  # let out by the parser
        problem = "not valid TOML: a number of thousands of digits, or tables nested "
        raise ConfigError(where, f"{problem}hundreds deep; remove it") from exc
    return raw


def convert(
    raw: Mapping[str, object],
    struct: type[StructT],
    *,
    keys: Keys,
    where: str,
    at: str = "",
) -> StructT:
    """Turn parsed TOML into a struct.

    Args:
        raw: what was parsed.
        struct: what it is to become.
        keys: the keys of the file.
        where: name of the file, for messages.
        at: path of ``raw`` in the file, "" for all of it.

    Raises:
        ConfigError: a key is unknown or missing, or its value is none for it.
    """
    try:
        return msgspec.convert(raw, struct)
    except msgspec.ValidationError as exc:
        path, problem = _explain(str(exc), raw, keys)
        path = f"{at}.{path}".strip(".")
        raise ConfigError(f"{where}: {path}", problem) from exc


def suggest(name: str, known: Mapping[str, object]) -> str:
    """Return "; did you mean ...?", or all that is known, to end a message with."""
    close = get_close_matches(name, known, n=1, cutoff=0.55)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(known)}"


def shown(value: object) -> str:
    """Return a value as TOML shows it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict | list):
        return "a table" if isinstance(value, dict) else f"a list of {len(value)}"
    return f'"{value}"' if isinstance(value, str) else str(value)


def _explain(message: str, raw: Mapping[str, object], keys: Keys) -> tuple[str, str]:
    """Turn msgspec's message into (path, problem) in our words."""
    match = _PATH.match(message)
    assert match is not None
    path = (match["path"] or "").removeprefix(".").removesuffix("[...]")
    unknown = _UNKNOWN.search(match["problem"])
    missing = _MISSING.search(match["problem"])
    named = unknown or missing
    if named is not None:
        parent, key = path, named["key"]
        path = f"{parent}.{key}".removeprefix(".")
    else:
        parent, _, key = path.rpartition(".")
    section = _INDEX.sub("", parent)
    if section not in keys.sections:
        section = parent.partition("[")[0]
    if unknown is not None:
        known = keys.fields(section)
        problem = keys.refused.get(key) or f"unknown key{suggest(key, known)}"
    elif missing is not None:
        problem = f"missing; expected {keys.describe(section, key)}"
    else:
        # An item of a list is described as the list is, or as a section.
        whole = _INDEX.sub("", key)
        expected = keys.describe(section, whole) if section else None
        expected = keys.describe(section, key) or expected
        expected = expected or keys.items.get(whole, keys.otherwise)
        problem = f"{shown(_value_at(raw, path))} is not usable; expected {expected}"
    return path, problem


def _value_at(raw: object, path: str) -> object:
    """Return the value at a path such as ``lanes[0].keys``."""
    for step in re.findall(r"[^.\[\]]+", path):
        if isinstance(raw, Mapping):
            raw = raw[step]
        elif isinstance(raw, list):
            raw = raw[int(step)]
    return raw


def _describe(kind: types.Type) -> str:
    match kind:
        case types.Metadata(extra_json_schema={"description": str(words)}):
            return words
        case types.UnionType():
            return _describe(
                next(t for t in kind.types if not isinstance(t, types.NoneType))
            )
        case types.LiteralType():
            return " or ".join(f'"{value}"' for value in kind.values)
        case types.BoolType():
            return "true or false"
        case types.IntType() | types.FloatType():
            whole = "a whole number" if isinstance(kind, types.IntType) else "a number"
            if kind.gt is not None:
                return f"{whole} above {kind.gt:.15g}, up to {kind.le:.15g}"
            return f"{whole} from {kind.ge:.15g} to {kind.le:.15g}"
        case _:
            return "text (not empty)"
