"""Reading a configuration file: TOML, unknown keys refused, errors in our words.

What one key takes is said in ``keys``; what several have to agree on is checked here
and in ``lane_rules``. The rest of the program may rely on both. What a value names (a
file, a host) is looked at when it is used, or by the preflight of a run.
``LOADPROBE_<SECTION>_<KEY>`` in the environment overrides a key of the file.
"""

import ipaddress
import os
import re
from collections.abc import Mapping, Sequence

import msgspec

from loadprobe.config.addresses import check_url
from loadprobe.config.client import for_single
from loadprobe.config.iam import check_iam, with_iam_user
from loadprobe.config.keys import (
    LARGEST_LANES,
    LARGEST_PORT,
    SECTIONS,
    Config,
    Control,
    Lane,
    Target,
)
from loadprobe.config.lane_rules import check_keyspaces, check_lane
from loadprobe.config.reach import check_tunnel
from loadprobe.config.remote_write import check_remote_write
from loadprobe.config.toml import Keys, convert, decode, read_file, suggest
from loadprobe.config.webhooks import check_webhooks
from loadprobe.errors import ConfigError

_ENV_PREFIX = "LOADPROBE_"
_TABLES = ("address_map", "extra_labels", "tunnel")
_LISTS = {
    "lanes": "one to 32 [[lanes]] sections",
    "webhooks": "up to 16 [[webhooks]] sections",
}
_BY_REFERENCE = (
    "a secret is not part of the configuration; set password_file or password_env"
)
_KEYS = Keys(
    SECTIONS,
    words={name: _LISTS.get(name, f"a [{name}] section") for name in SECTIONS if name},
    refused={
        "password": _BY_REFERENCE,
        "auth_token": _BY_REFERENCE,
        "bearer_token": "a secret is not part of the configuration; set "
        "bearer_token_file",
        "token": "a secret is not part of the configuration; set token_file or "
        "token_env",
        "routing_key": "a secret is not part of the configuration; set "
        "routing_key_file or routing_key_env",
    },
    items={"webhooks": "a [[webhooks]] section"},
    otherwise="a [[lanes]] section",
)
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
    return make_config(decode(text, where=where), where=where, environ=environ)


def make_config(
    raw: dict[str, object],
    *,
    where: str,
    environ: Mapping[str, str] | None = None,
    over: Mapping[str, Mapping[str, object]] | None = None,
) -> Config:
    """Make and check a configuration of what a file would hold.

    Args:
        raw: as a file is parsed.
        where: where that is from, for messages.
        environ: environment whose LOADPROBE_ variables go over it.
        over: keys of sections that go over that: what a command says itself.

    Raises:
        ConfigError: as for ``parse_config``.
    """
    _override(raw, environ or {})
    for section, keys in (over or {}).items():
        before = raw.get(section)
        raw[section] = {**(before if isinstance(before, dict) else {}), **keys}
    config = convert(raw, Config, keys=_KEYS, where=where)
    _check(config, where)
    return with_iam_user(config)


def load_config(path: str) -> Config:
    """Read a configuration file and the environment (see ``parse_config``)."""
    return parse_config(read_file(path), where=path, environ=os.environ)


def add_lanes(config: Config, lanes: Sequence[Lane], *, where: str) -> Config:
    """Return a configuration with further lanes.

    They are written for groups of either shape: what only clients of a cluster have is
    left out without cluster mode.

    Args:
        config: as it was read.
        lanes: those to add.
        where: name of the file they are from, for messages.

    Raises:
        ConfigError: they do not fit; the message names file, key and remedy.
    """
    if not lanes:
        return config
    if not config.target.cluster:
        lanes = [for_single(lane) for lane in lanes]
    added = msgspec.structs.replace(config, lanes=(*config.lanes, *lanes))
    if len(added.lanes) > LARGEST_LANES:
        raise ConfigError(
            f"{where}: lanes",
            f"{len(lanes)} beside {len(config.lanes)} of the configuration; at most "
            f"{LARGEST_LANES} can run, remove some",
        )
    names = {lane.name for lane in config.lanes}
    for index, lane in enumerate(lanes):
        at = f"{where}: lanes[{index}]"
        if lane.name in names:
            raise ConfigError(
                f"{at}.name", f"{lane.name!r} is used by another lane; rename one"
            )
        names.add(lane.name)
        check_lane(lane, config.target, at)
    check_keyspaces(added.lanes, where)
    return added


def describe_key(section: str, key: str) -> str | None:
    """Return which values a key takes, in words; None if there is no such key.

    Args:
        section: a name in ``SECTIONS``.
        key: a key of that section.
    """
    return _KEYS.describe(section, key)


def _override(raw: dict[str, object], environ: Mapping[str, str]) -> None:
    """Put the LOADPROBE_ variables of an environment over the keys of a file.

    Raises:
        ConfigError: a variable has no key, or its value is none for that key.
    """
    known = {
        _ENV_PREFIX + f"{section}_{key}".lstrip("_").upper(): (section, key, field)
        for section in SECTIONS
        for key, field in _KEYS.fields(section).items()
        if section.partition(".")[0] not in _LISTS
        and "." not in section
        and key not in SECTIONS
        and key not in _TABLES
    }
    given = {name: environ[name] for name in environ if name.startswith(_ENV_PREFIX)}
    for section in ("target", "remote_write"):
        keys = raw.get(section)
        by_file = keys.get("password_env") if isinstance(keys, dict) else None
        named = f"{_ENV_PREFIX}{section}_password_env".upper()
        given.pop(given.get(named, str(by_file)), None)
    for named in _named_by_webhooks(raw):
        given.pop(named, None)
    for name, text in sorted(given.items()):
        if name not in known:
            problem = f"not the environment variable of a key{suggest(name, known)}"
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


def _named_by_webhooks(raw: Mapping[str, object]) -> list[str]:
    """Return the environment variables in which secrets of webhooks are."""
    sections = raw.get("webhooks")
    return [
        value
        for section in (sections if isinstance(sections, list) else ())
        if isinstance(section, dict)
        for key, value in section.items()
        if isinstance(value, str) and key.endswith("_env")
    ]


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
    if not config.target.host and config.control is None:
        raise ConfigError(
            f"{where}: target.host",
            f"missing; expected {describe_key('target', 'host')}, or a [control] "
            "section to ask the API for the endpoint",
        )
    _check_target(config.target, f"{where}: target")
    if config.control is not None:
        _check_named(config.control, f"{where}: control")
    if config.control is not None and config.control.endpoint_url is not None:
        check_url(
            config.control.endpoint_url,
            f"{where}: control.endpoint_url",
            expected='expected "https://host:port", without user, password and query '
            "(credentials are those of AWS tools)",
            what="an API",
        )
    if config.remote_write is not None:
        check_remote_write(config.remote_write, f"{where}: remote_write")
    check_webhooks(config.webhooks, where)
    check_iam(config, f"{where}: target")
    names = [lane.name for lane in config.lanes]
    for index, lane in enumerate(config.lanes):
        at = f"{where}: lanes[{index}]"
        if lane.name in names[:index]:
            raise ConfigError(
                f"{at}.name", f"{lane.name!r} is used by two lanes; rename one"
            )
        check_lane(lane, config.target, at)
    check_keyspaces(config.lanes, where)


def _check_named(control: Control, at: str) -> None:
    """Check that exactly one of what the API knows is named."""
    if (control.replication_group is None) == (control.serverless_cache is None):
        are_both = control.replication_group is not None
        raise ConfigError(
            at,
            f"{'both' if are_both else 'neither'} replication_group "
            f"{'and' if are_both else 'nor'} serverless_cache "
            f"{'are' if are_both else 'is'} given; name what is behind [target], one "
            "of the two",
        )


def _check_target(target: Target, at: str) -> None:
    for key in ("host", "reader_host"):
        host = getattr(target, key)
        if host and not _is_host(host):
            # The value is not shown: a URL may have a password in it.
            raise ConfigError(
                f"{at}.{key}",
                "not a host; expected a name or an address alone, without scheme, "
                "user, port and path (the port is a key of its own)",
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
    if target.tunnel is not None:
        check_tunnel(target, at)
    for side in (*target.address_map, *target.address_map.values()):
        if not _is_address(side):
            raise ConfigError(
                f"{at}.address_map",
                f"{side!r} is not of the form host:port, port 1 to {LARGEST_PORT}",
            )
