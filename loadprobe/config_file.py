"""Reading a configuration file: TOML, unknown keys refused, errors in our words.

Values are checked here and nowhere else, so the rest of the program may rely on them.
``LOADPROBE_<SECTION>_<KEY>`` in the environment overrides a key of the file.
"""

import ipaddress
import os
import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path

import msgspec
from msgspec import inspect as types

from loadprobe.config import LARGEST_PORT, SECTIONS, Config, Lane, Target
from loadprobe.errors import ConfigError

_ENV_PREFIX = "LOADPROBE_"
_UNITS = {
    "_per_s": "arrivals per second",
    "_ms": "milliseconds",
    "_s": "seconds",
    "_bytes": "bytes",
}
_PATH = re.compile(
    r"^(?P<problem>.*?)(?: - at `(?:\$|key in \$)(?P<path>.*)`)?$", re.DOTALL
)
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<key>[^`]*)`")
_MISSING = re.compile(r"Object missing required field `(?P<key>[^`]*)`")
_LABELS = re.compile(r"[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")


def parse_config(
    text: str, *, where: str, environ: Mapping[str, str] | None = None
) -> Config:
    """Parse and check a configuration.

    Args:
        text: TOML.
        where: name of the file, for messages.
        environ: environment whose LOADPROBE_ variables override the file.

    Raises:
        ConfigError: anything is wrong; the message names file, key and remedy.
    """
    try:
        raw = msgspec.toml.decode(text)
    except msgspec.DecodeError as exc:
        raise ConfigError(where, f"not valid TOML: {exc}") from exc
    except (ValueError, RecursionError) as exc:  # let out by the parser
        problem = "not valid TOML: a number of thousands of digits, or tables nested "
        raise ConfigError(where, f"{problem}hundreds deep; remove it") from exc
    _override(raw, environ or {})
    try:
        config = msgspec.convert(raw, Config)
    except msgspec.ValidationError as exc:
        raise ConfigError(*_explain(where, str(exc), raw)) from exc
    _check(config, where)
    return config


def load_config(path: str) -> Config:
    """Read a configuration file and the environment (see ``parse_config``)."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as exc:
        raise ConfigError(
            path, f"cannot read it: {exc.strerror}; give the path of a TOML file"
        ) from exc
    except ValueError as exc:  # a NUL in the path, or no UTF-8 in the file
        raise ConfigError(path, f"not UTF-8 text: {exc}") from exc
    return parse_config(text, where=path, environ=os.environ)


def describe_key(section: str, key: str) -> str | None:
    """Return which values a key takes, in words; None if there is no such key.

    Args:
        section: a name in ``SECTIONS``.
        key: a key of that section.
    """
    fields = _fields(section)
    if key not in fields:
        return None
    if not section and key in SECTIONS:
        many = key == "lanes"
        return "one to 32 [[lanes]] sections" if many else f"a [{key}] section"
    unit = next((word for end, word in _UNITS.items() if key.endswith(end)), None)
    text = _describe(types.type_info(fields[key].type))
    return f"{text} ({unit}, without the unit)" if unit else text


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


def _fields(section: str) -> dict[str, msgspec.structs.FieldInfo]:
    return {f.name: f for f in msgspec.structs.fields(SECTIONS[section])}


def _override(raw: dict[str, object], environ: Mapping[str, str]) -> None:
    """Put the LOADPROBE_ variables of an environment over the keys of a file.

    Raises:
        ConfigError: a variable has no key, or its value is none for that key.
    """
    known = {
        _ENV_PREFIX + f"{section}_{key}".lstrip("_").upper(): (section, key, field)
        for section in SECTIONS
        for key, field in _fields(section).items()
        if section != "lanes" and key not in SECTIONS and key != "address_map"
    }
    given = {name: environ[name] for name in environ if name.startswith(_ENV_PREFIX)}
    target = raw.get("target")
    by_file = target.get("password_env") if isinstance(target, dict) else None
    given.pop(given.get(f"{_ENV_PREFIX}TARGET_PASSWORD_ENV", str(by_file)), None)
    for name, text in sorted(given.items()):
        if name not in known:
            problem = f"not the environment variable of a key{_suggest(name, known)}"
            raise ConfigError(name, f"{problem} (or unset it)")
        section, key, field = known[name]
        try:
            value = msgspec.convert(text, field.type, strict=False)
        except msgspec.ValidationError as exc:
            expected = describe_key(section, key)
            problem = f"{text!r} is not usable; expected {expected}"
            raise ConfigError(name, problem) from exc
        keys = raw.setdefault(section, {}) if section else raw
        if isinstance(keys, dict):  # if not, the file is wrong, and is told so
            keys[key] = value


def _explain(where: str, message: str, raw: dict[str, object]) -> tuple[str, str]:
    """Turn msgspec's message into (where, problem) in our words."""
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
    section = parent.partition("[")[0]
    if unknown is not None:
        known = _fields(section)
        problem = f"unknown key{_suggest(key, known)}"
        if key in ("password", "auth_token"):
            problem = (
                "a secret is not part of the configuration; set password_file or "
                "password_env"
            )
    elif missing is not None:
        problem = f"missing; expected {describe_key(section, key)}"
    else:
        expected = describe_key(section, key) or "a [[lanes]] section"
        problem = f"{_shown(raw, path)} is not usable; expected {expected}"
    return f"{where}: {path}", problem


def _shown(raw: object, path: str) -> str:
    """Return the value at a path such as ``lanes[0].keys``, as TOML shows it."""
    for step in re.findall(r"[^.\[\]]+", path):
        if isinstance(raw, dict):
            raw = raw[step]
        elif isinstance(raw, list):
            raw = raw[int(step)]
    if isinstance(raw, bool):
        return str(raw).lower()
    if isinstance(raw, dict | list):
        return "a table" if isinstance(raw, dict) else f"a list of {len(raw)}"
    return f'"{raw}"' if isinstance(raw, str) else str(raw)


def _suggest(name: str, known: Mapping[str, object]) -> str:
    close = get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(known)}"


def _is_host(text: str) -> bool:
    """Tell whether a text is an address or a name that can be looked up."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return _LABELS.fullmatch(text) is not None
    return True


def _is_address(text: str) -> bool:
    """Tell whether a text is host:port, an IPv6 host in brackets or not."""
    host, _, port = text.rpartition(":")
    has_port = port.isdecimal() and port.isascii() and 0 < int(port) <= LARGEST_PORT
    return has_port and _is_host(host.strip("[]"))


def _check(config: Config, where: str) -> None:
    """Check what no single key can tell."""
    _check_target(config.target, f"{where}: target")
    names = [lane.name for lane in config.lanes]
    for index, lane in enumerate(config.lanes):
        at = f"{where}: lanes[{index}]"
        if lane.name in names[:index]:
            raise ConfigError(
                f"{at}.name", f"{lane.name!r} is used by two lanes; rename one"
            )
        _check_lane(lane, at)


def _check_target(target: Target, at: str) -> None:
    if not _is_host(target.host):
        # The value is not shown: a URL may have a password in it.
        raise ConfigError(
            f"{at}.host",
            "not a host; expected a name or an address alone, without scheme, user, "
            "port and path (the port is a key of its own)",
        )
    if target.server_name is not None and not _is_host(target.server_name):
        raise ConfigError(
            f"{at}.server_name",
            f"{target.server_name!r} is not a host; "
            "expected a name or an address alone",
        )
    if target.password_file is not None and target.password_env is not None:
        raise ConfigError(at, "give password_file or password_env, not both")
    if target.username is not None and not (
        target.password_file or target.password_env
    ):
        raise ConfigError(
            f"{at}.username",
            "a user needs password_file or password_env beside it",
        )
    if (target.cert_file is None) != (target.key_file is None):
        raise ConfigError(at, "cert_file and key_file belong together: give both")
    for side in (*target.address_map, *target.address_map.values()):
        if not _is_address(side):
            raise ConfigError(
                f"{at}.address_map",
                f"{side!r} is not of the form host:port, port 1 to {LARGEST_PORT}",
            )


def _check_lane(lane: Lane, at: str) -> None:
    if lane.schedule == "ramp" and (
        lane.ramp_s is None or lane.ramp_from_per_s is None
    ):
        raise ConfigError(at, "a ramp needs ramp_from_per_s and ramp_s")
    if lane.schedule != "ramp" and (lane.ramp_s or lane.ramp_from_per_s is not None):
        raise ConfigError(
            at, 'ramp_from_per_s and ramp_s need schedule = "ramp" beside them'
        )
    if lane.loop == "closed" and lane.schedule != "constant":
        raise ConfigError(
            f"{at}.schedule",
            'a closed loop has no schedule; remove it, or set loop = "open"',
        )
    if lane.processes > lane.workers:
        raise ConfigError(
            f"{at}.processes",
            f"{lane.processes} processes cannot share {lane.workers} workers; "
            "lower processes, or raise workers",
        )
    if lane.keys < lane.processes:
        raise ConfigError(
            f"{at}.keys",
            f"{lane.keys} keys for {lane.processes} processes; every process needs one",
        )
