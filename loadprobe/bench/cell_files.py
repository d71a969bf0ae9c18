"""The two files of a cell: its configuration and its scenario. Pure.

They are what a person would write to run this cell alone, and are kept beside its runs.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import tomli_w

from loadprobe.bench.axes import CLUSTER_AXES
from loadprobe.config.file import parse_config
from loadprobe.config.toml import decode
from loadprobe.control.scenario.file import parse_scenario
from loadprobe.errors import UsageError

MOST_PER_S = 1_000_000.0
"""The highest rate of a lane."""

_SWITCH = {"on": True, "off": False, "true": True, "false": False}


def make_config(
    text: str,
    values: Mapping[str, str],
    *,
    sections: Mapping[str, Mapping[str, object]],
    where: str,
) -> str:
    """Return the configuration of a cell, as TOML.

    Args:
        text: the configuration that was given.
        values: the cell's point of the matrix.
        sections: keys that the place of the cell sets, by section.
        where: name of the file, for messages.

    Raises:
        UsageError, ConfigError: an axis is about no key, or a value does not fit.
    """
    raw: dict[str, Any] = decode(text, where=where)
    for section, keys in sections.items():
        raw[section] = {**raw.get(section, {}), **keys}
    for axis, value in values.items():
        if axis in CLUSTER_AXES or axis.startswith("var."):
            continue
        path = {"driver": "lanes.driver", "tls": "lanes.tls"}.get(axis, axis)
        for table, key in _places(raw, path):
            table[key] = _value(value)
    made = tomli_w.dumps(raw)
    parse_config(made, where=f"{where} with {_shown(values)}")
    return made


def with_rates(text: str, multiple: float) -> str:
    """Return the configuration of a cell with a multiple of the rates of its lanes."""
    rates = [lane.rate_per_s for lane in parse_config(text, where="").lanes]
    raw: dict[str, Any] = decode(text, where="")
    for lane, rate_per_s in zip(raw["lanes"], rates, strict=True):
        lane["rate_per_s"] = min(multiple * rate_per_s, MOST_PER_S)
    return tomli_w.dumps(raw)


def make_scenario(
    text: str,
    values: Mapping[str, str],
    *,
    create: Mapping[str, object] | None,
    where: str,
) -> str:
    """Return the scenario of a cell, as TOML.

    Args:
        text: the scenario that was given.
        values: the cell's point of the matrix; ``var.NAME`` is a variable.
        create: keys of a step that creates the group first; None if it is there.
        where: name of the file, for messages.

    Raises:
        UsageError, ConfigError: a value does not fit.
    """
    raw: dict[str, Any] = decode(text, where=where)
    known = raw.get("vars", {})
    for axis, value in values.items():
        if not axis.startswith("var."):
            continue
        name = axis.removeprefix("var.")
        if name not in known:
            raise UsageError(
                f"axis {axis}: scenario {where} has no variable {name!r}; there are "
                f"{', '.join(known) or 'none'}"
            )
        known[name] = value if isinstance(known[name], str) else _value(value)
    if create is not None:
        raw["steps"] = [{"operation": "create", **create}, *raw.get("steps", ())]
    made = tomli_w.dumps(raw)
    parse_scenario(made, where=f"{where} with {_shown(values)}", name="cell")
    return made


def _places(raw: dict[str, Any], path: str) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield the tables of a dotted path, and its key; lists stand for all they hold."""
    *sections, key = path.split(".")
    tables: list[Any] = [raw]
    for section in sections:
        tables = [_inside(table, section, path) for table in tables]
        tables = [t for found in tables for t in _flat(found)]
    for table in tables:
        if not isinstance(table, dict):
            raise UsageError(
                f"axis {path}: {sections[-1]!r} is no section of the configuration"
            )
        yield table, key


def _inside(table: Any, section: str, path: str) -> Any:
    if not isinstance(table, dict):
        raise UsageError(f"axis {path}: {section!r} is no section of the configuration")
    return table.setdefault(section, {})


def _flat(found: Any) -> Sequence[Any]:
    return found if isinstance(found, list) else [found]


def _value(text: str) -> object:
    """Return what TOML would read: a flag, a number, or else the text."""
    if text in _SWITCH:
        return _SWITCH[text]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _shown(values: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items()) or "no axis"
