"""The configuration: TOML with units in the key names, unknown keys refused.

Values are checked here and nowhere else, so the rest of the program may rely on them.
``LOADPROBE_<SECTION>_<KEY>`` in the environment overrides a key of the file.
Secrets are references (``password_file``, ``password_env``); their values are read by
``Target.read_password`` at the moment of use and are never part of a Config.
"""

import ipaddress
import os
import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta
from msgspec import inspect as types

from loadprobe.errors import ConfigError

LARGEST_PORT = 65535
Port = Annotated[int, Meta(ge=1, le=LARGEST_PORT)]
Ratio = Annotated[
    float, Meta(ge=0.0, le=1.0, description="a ratio from 0 to 1 (99.9 % is 0.999)")
]
Name = Annotated[
    str,
    Meta(
        pattern=r"^[a-z0-9][a-z0-9_-]{0,31}\Z",
        description="text: up to 32 of a-z, 0-9, - and _, the first a letter or digit",
    ),
]
Listen = Annotated[
    str,
    Meta(
        pattern=r"^\Z|^[^\s]+:\d{1,5}\Z",
        description='"host:port", or "" to serve nothing',
    ),
]
Text = Annotated[str, Meta(min_length=1)]
AddressMap = Annotated[
    dict[str, str], Meta(description='a table of "host:port" = "host:port"')
]


class Target(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is measured: the configuration endpoint and how to log in.

    Args:
        host: configuration endpoint (cluster mode), or the single endpoint.
        port: port of plaintext lanes, and of TLS lanes when ``tls_port`` is absent.
        tls_port: port of TLS lanes where it differs from ``port``.
        cluster: False for a single endpoint without cluster mode.
        ca_file: PEM file of the certificate authorities to trust (default: system).
        cert_file: client certificate for mutual TLS, with ``key_file``.
        server_name: name to send by SNI and to verify, instead of the node's own.
        username: ACL user (default: the user ``default``).
        password_file: file whose first line is the password.
        password_env: name of the environment variable that holds the password.
        address_map: "host:port" as announced by nodes -> "host:port" to connect to.
    """

    host: Text
    port: Port = 6379
    tls_port: Port | None = None
    cluster: bool = True
    ca_file: Text | None = None
    cert_file: Text | None = None
    key_file: Text | None = None
    server_name: Text | None = None
    username: Text | None = None
    password_file: Text | None = None
    password_env: Text | None = None
    address_map: AddressMap = {}

    def read_password(self) -> str | None:
        """Return the password behind the reference, or None if there is none.

        Raises:
            ConfigError: the file or environment variable is missing or empty.
        """
        if self.password_file is not None:
            try:
                text = Path(self.password_file).read_text(encoding="utf-8")
            except (OSError, ValueError) as exc:
                # ValueError: not UTF-8 (its text would show bytes of the secret)
                why = exc.strerror if isinstance(exc, OSError) else "not UTF-8 text"
                raise ConfigError(
                    "target.password_file",
                    f"cannot read {self.password_file!r}: {why}; it must be a text "
                    "file with the password in line 1",
                ) from None
            lines = text.splitlines()
            if not lines or not lines[0]:
                raise ConfigError(
                    "target.password_file",
                    f"{self.password_file!r} is empty; put the password in line 1",
                )
            return lines[0]
        if self.password_env is not None:
            value = os.environ.get(self.password_env)
            if not value:
                raise ConfigError(
                    "target.password_env",
                    f"the environment variable {self.password_env!r} is not set, or "
                    "empty; put the password into it, or use password_file",
                )
            return value
        return None


class Lane(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One stream of load: a transport, a schedule and a set of workers.

    Args:
        name: label of the lane in files and metrics.
        driver: which client sends the arrivals.
        tls: connect by TLS.
        workers: concurrent workers; the wire driver opens one connection per worker
            and shard.
        loop: "open" sends every arrival at its due time; "closed" sends the next
            after the reply (maximum throughput; under-samples outages).
        schedule: "constant", "ramp" or "poisson" arrivals (open loop only).
        rate_per_s: arrivals per second of the whole lane (open loop).
        ramp_from_per_s: rate at the start of a ramp.
        ramp_s: length of the ramp in seconds; the rate is constant after it.
        read_ratio: share of reads among the arrivals.
        miss_ratio: share of the reads that ask for a key known to be absent.
        deadline_ms: an arrival is served if its reply is parsed by due + deadline.
        value_bytes: size of the written values.
        keys: number of keys of the lane.
        prefill: write all keys before the load starts.
        processes: probe processes that share the lane.
    """

    name: Name
    driver: Literal["wire"] = "wire"
    tls: bool = False
    workers: Annotated[int, Meta(ge=1, le=20_000)] = 200
    loop: Literal["open", "closed"] = "open"
    schedule: Literal["constant", "ramp", "poisson"] = "constant"
    rate_per_s: Annotated[float, Meta(gt=0.0, le=1_000_000.0)] = 1000.0
    ramp_from_per_s: Annotated[float, Meta(ge=0.0, le=1_000_000.0)] | None = None
    ramp_s: Annotated[float, Meta(gt=0.0, le=86_400.0)] | None = None
    read_ratio: Ratio = 0.8
    miss_ratio: Ratio = 0.0
    deadline_ms: Annotated[int, Meta(ge=1, le=60_000)] = 250
    value_bytes: Annotated[int, Meta(ge=24, le=1_048_576)] = 64
    keys: Annotated[int, Meta(ge=1, le=10_000_000)] = 10_000
    prefill: bool = True
    processes: Annotated[int, Meta(ge=1, le=64)] = 1


class Control(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the ElastiCache API is, and which replication group is the target."""

    replication_group: Text
    region: Text = "us-east-1"
    endpoint_url: Text | None = None


class Http(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where metrics and health are served; an empty ``listen`` serves nothing."""

    listen: Listen = "127.0.0.1:9121"

    @property
    def address(self) -> tuple[str, int] | None:
        """Return (host, port), or None if nothing is to be served."""
        if not self.listen:
            return None
        host, _, port = self.listen.rpartition(":")
        return host.strip("[]"), int(port)


class Output(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where run folders are written."""

    dir: Text = "runs"


class Slo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Thresholds; a run that misses one exits with code 3."""

    max_outage_ms: Annotated[float, Meta(ge=0.0, le=86_400_000.0)] | None = None
    availability: Ratio | None = None
    p99_ms: Annotated[float, Meta(gt=0.0, le=86_400_000.0)] | None = None


class Probe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How probe processes judge themselves and when a cell is sealed.

    Args:
        stall_ms: loop lag above which the probe calls itself blind.
        settle_ms: slack after the deadline before an arrival is judged for good;
            a reply within it makes the arrival late, none makes it unknown.
        max_in_flight: arrivals a connection may have outstanding (open loop).
        connect_timeout_ms: a connection attempt is given up after this time.
        quiet_ms: outages closer together than this are one incident.
    """

    stall_ms: Annotated[int, Meta(ge=5, le=1000)] = 20
    settle_ms: Annotated[int, Meta(ge=100, le=60_000)] = 1000
    max_in_flight: Annotated[int, Meta(ge=1, le=100_000)] = 1024
    connect_timeout_ms: Annotated[int, Meta(ge=10, le=60_000)] = 1000
    quiet_ms: Annotated[int, Meta(ge=1, le=600_000)] = 1000


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole configuration file."""

    target: Target
    lanes: Annotated[tuple[Lane, ...], Meta(min_length=1, max_length=32)]
    name: Name = "run"
    control: Control | None = None
    http: Http = Http()
    output: Output = Output()
    slo: Slo = Slo()
    probe: Probe = Probe()


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


def masked(config: Config) -> dict[str, object]:
    """Return the resolved configuration as plain data; it holds no secret values."""
    plain: dict[str, object] = msgspec.to_builtins(config)
    return plain


SECTIONS: dict[str, type[msgspec.Struct]] = {
    "": Config,
    "target": Target,
    "lanes": Lane,
    "control": Control,
    "http": Http,
    "output": Output,
    "slo": Slo,
    "probe": Probe,
}
"""Name of a section of the file -> its keys; "" is the top of the file."""

_ENV_PREFIX = "LOADPROBE_"
_UNITS = {
    "_per_s": "arrivals per second",
    "_ms": "milliseconds",
    "_s": "seconds",
    "_bytes": "bytes",
}


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


_PATH = re.compile(
    r"^(?P<problem>.*?)(?: - at `(?:\$|key in \$)(?P<path>.*)`)?$", re.DOTALL
)
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<key>[^`]*)`")
_MISSING = re.compile(r"Object missing required field `(?P<key>[^`]*)`")


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


_LABELS = re.compile(r"[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")


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
