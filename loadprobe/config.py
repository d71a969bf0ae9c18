"""The configuration: TOML with units in the key names, unknown keys refused.

Values are checked here and nowhere else, so the rest of the program may rely on them.
Secrets are references (``password_file``, ``password_env``); their values are read by
``Target.read_password`` at the moment of use and are never part of a Config.
"""

import os
import re
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from loadprobe.errors import ConfigError

Port = Annotated[int, Meta(ge=1, le=65535)]
Ratio = Annotated[float, Meta(ge=0.0, le=1.0)]
Name = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")]


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

    host: Annotated[str, Meta(min_length=1)]
    port: Port = 6379
    tls_port: Port | None = None
    cluster: bool = True
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    server_name: str | None = None
    username: str | None = None
    password_file: str | None = None
    password_env: str | None = None
    address_map: dict[str, str] = {}

    def read_password(self) -> str | None:
        """Return the password behind the reference, or None if there is none.

        Raises:
            ConfigError: the file or environment variable is missing or empty.
        """
        if self.password_file is not None:
            try:
                lines = Path(self.password_file).read_text().splitlines()
            except OSError as exc:
                raise ConfigError(
                    "target.password_file",
                    f"cannot read {self.password_file!r}: {exc.strerror}",
                ) from exc
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
                    f"environment variable {self.password_env!r} is not set",
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
    ramp_s: Annotated[float, Meta(gt=0.0)] | None = None
    read_ratio: Ratio = 0.8
    miss_ratio: Ratio = 0.0
    deadline_ms: Annotated[int, Meta(ge=1, le=60_000)] = 250
    value_bytes: Annotated[int, Meta(ge=24, le=1_048_576)] = 64
    keys: Annotated[int, Meta(ge=1, le=10_000_000)] = 10_000
    prefill: bool = True
    processes: Annotated[int, Meta(ge=1, le=64)] = 1


class Control(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the ElastiCache API is, and which replication group is the target."""

    replication_group: str
    region: str = "us-east-1"
    endpoint_url: str | None = None


class Http(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where metrics and health are served; an empty ``listen`` serves nothing."""

    listen: Annotated[str, Meta(pattern=r"^$|^[^\s]+:\d{1,5}$")] = "127.0.0.1:9121"

    @property
    def address(self) -> tuple[str, int] | None:
        """Return (host, port), or None if nothing is to be served."""
        if not self.listen:
            return None
        host, _, port = self.listen.rpartition(":")
        return host.strip("[]"), int(port)


class Output(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where run folders are written."""

    dir: str = "runs"


class Slo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Thresholds; a run that misses one exits with code 3."""

    max_outage_ms: Annotated[float, Meta(ge=0.0)] | None = None
    availability: Ratio | None = None
    p99_ms: Annotated[float, Meta(gt=0.0)] | None = None


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


def parse_config(text: str, *, where: str) -> Config:
    """Parse and check a configuration.

    Args:
        text: TOML.
        where: name of the file, for messages.

    Raises:
        ConfigError: anything is wrong; the message names file, key and remedy.
    """
    try:
        config = msgspec.toml.decode(text, type=Config)
    except msgspec.ValidationError as exc:
        raise ConfigError(*_explain(where, str(exc))) from exc
    except msgspec.DecodeError as exc:
        raise ConfigError(where, f"not valid TOML: {exc}") from exc
    _check(config, where)
    return config


def load_config(path: str) -> Config:
    """Read a configuration file (see ``parse_config``)."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as exc:
        raise ConfigError(path, f"cannot read it: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise ConfigError(path, f"not UTF-8 text: {exc}") from exc
    return parse_config(text, where=path)


def masked(config: Config) -> dict[str, object]:
    """Return the resolved configuration as plain data; it holds no secret values."""
    plain: dict[str, object] = msgspec.to_builtins(config)
    return plain


_PATH = re.compile(r"^(?P<problem>.*?)(?: - at `(?:\$|key in \$)(?P<path>.*)`)?$", re.S)
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<key>[^`]*)`")


def _explain(where: str, message: str) -> tuple[str, str]:
    """Turn msgspec's message into (where, problem) in our words."""
    match = _PATH.match(message)
    assert match is not None
    path = (match["path"] or "").lstrip(".")
    problem = match["problem"]
    unknown = _UNKNOWN.search(problem)
    if unknown is not None:
        path = f"{path}.{unknown['key']}" if path else unknown["key"]
        problem = f"unknown key{_suggest(path)}"
    return (f"{where}: {path}" if path else where), problem


_SECTIONS: dict[str, type[msgspec.Struct]] = {
    "": Config,
    "target": Target,
    "lanes[...]": Lane,
    "control": Control,
    "http": Http,
    "output": Output,
    "slo": Slo,
    "probe": Probe,
}


def _suggest(path: str) -> str:
    section, _, key = path.rpartition(".")
    section = re.sub(r"\[\d+\]", "[...]", section)
    struct = _SECTIONS.get(section)
    if struct is None:
        return ""
    known = [f.name for f in msgspec.structs.fields(struct)]
    # Imported here: only a mistake needs it.
    from difflib import get_close_matches

    close = get_close_matches(key, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(known)}"


def _check(config: Config, where: str) -> None:
    target = config.target
    if target.password_file is not None and target.password_env is not None:
        raise ConfigError(
            f"{where}: target", "give password_file or password_env, not both"
        )
    if target.username is not None and not (
        target.password_file or target.password_env
    ):
        raise ConfigError(
            f"{where}: target.username",
            "a user needs password_file or password_env beside it",
        )
    if (target.cert_file is None) != (target.key_file is None):
        raise ConfigError(
            f"{where}: target", "cert_file and key_file belong together: give both"
        )
    for side in (*target.address_map, *target.address_map.values()):
        if not re.fullmatch(r"[^\s]+:\d{1,5}", side):
            raise ConfigError(
                f"{where}: target.address_map", f"{side!r} is not of the form host:port"
            )
    names = [lane.name for lane in config.lanes]
    for index, lane in enumerate(config.lanes):
        at = f"{where}: lanes[{index}]"
        if lane.name in names[:index]:
            raise ConfigError(f"{at}.name", f"{lane.name!r} is used by two lanes")
        if lane.schedule == "ramp" and (
            lane.ramp_s is None or lane.ramp_from_per_s is None
        ):
            raise ConfigError(at, "a ramp needs ramp_from_per_s and ramp_s")
        if lane.schedule != "ramp" and (
            lane.ramp_s or lane.ramp_from_per_s is not None
        ):
            raise ConfigError(
                at, 'ramp_from_per_s and ramp_s need schedule = "ramp" beside them'
            )
        if lane.loop == "closed" and lane.schedule != "constant":
            raise ConfigError(f"{at}.schedule", "a closed loop has no schedule")
        if lane.processes > lane.workers:
            raise ConfigError(
                f"{at}.processes",
                f"{lane.processes} processes cannot share {lane.workers} workers",
            )
        if lane.keys < lane.processes:
            raise ConfigError(f"{at}.keys", "there must be a key for every process")
