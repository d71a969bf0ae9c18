"""The variables of a scenario file: ``[vars]`` with their defaults, and their use.

Pure. "${name}" in a text stands for a value; a text that is nothing else becomes it.
"""

import re
from collections.abc import Mapping

from loadprobe.config.toml import suggest
from loadprobe.errors import ConfigError, UsageError

Value = str | int | float | bool

_VARIABLE = re.compile(r"\$(?P<escaped>\$)?\{(?P<name>[^}]*)\}")
_FLAGS = {"true": True, "false": False}


def resolve_variables(
    defaults: Mapping[str, Value], given: Mapping[str, str], *, where: str
) -> dict[str, Value]:
    """Put what was given over the defaults, each as a value of its default's type."""
    for name in given:
        if name not in defaults:
            known = suggest(name, defaults) if defaults else "; it has none"
            raise UsageError(f"--var {name}: {where} has no such variable{known}")
    values = {
        name: _typed(name, given[name], default) if name in given else default
        for name, default in defaults.items()
    }
    missing = [name for name, value in values.items() if value == ""]
    if missing:
        more = " ".join(f"--var {name}=VALUE" for name in missing)
        raise ConfigError(f"{where}: vars.{missing[0]}", f"has no value; give {more}")
    return values


def _typed(name: str, text: str, default: Value) -> Value:
    try:
        if isinstance(default, bool):
            return _FLAGS[text]
        return type(default)(text)
    except (KeyError, ValueError):
        takes = {bool: "true or false", int: "a whole number", float: "a number"}
        raise UsageError(
            f"--var {name}: {text!r} is not usable; expected {takes[type(default)]}"
        ) from None


def fill_variables(
    value: object, at: str, values: Mapping[str, Value], where: str
) -> object:
    """Return a value with variables for their names, in texts at any depth."""
    if isinstance(value, dict):
        return {
            k: fill_variables(v, f"{at}.{k}", values, where) for k, v in value.items()
        }
    if isinstance(value, list):
        return [
            fill_variables(v, f"{at}[{i}]", values, where) for i, v in enumerate(value)
        ]
    if not isinstance(value, str):
        return value

    def found(match: re.Match[str]) -> Value:
        if match["escaped"]:
            return match[0][1:]
        name = match["name"]
        if name not in values:
            known = suggest(name, values) if values else "; [vars] is absent or empty"
            raise ConfigError(f"{where}: {at}", f"${{{name}}} is no variable{known}")
        return values[name]

    whole = _VARIABLE.fullmatch(value)
    if whole is not None:
        return found(whole)
    return _VARIABLE.sub(lambda match: str(found(match)), value)
