"""The configuration: sections and keys, with their units, ranges and defaults.

``config.file`` reads and checks a file; the rest of the program relies on the values.
Secrets are references (``password_file``, ``password_env``); their values are read by
``Target.read_password`` at the moment of use and are never part of a Config.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from loadprobe.config.lane import Client, Lane
from loadprobe.config.load import Load
from loadprobe.config.remote_write import RemoteWrite
from loadprobe.config.secret_refs import read_secret
from loadprobe.config.servers import Servers
from loadprobe.config.values import LARGEST_PORT, Name, Port, Ratio, Text
from loadprobe.config.webhooks import LARGEST_WEBHOOKS, Webhook

__all__ = [
    "LARGEST_LANES",
    "LARGEST_PORT",
    "SDK_VARIABLES",
    "SECTIONS",
    "Client",
    "Config",
    "Control",
    "Http",
    "Lane",
    "Name",
    "Output",
    "Port",
    "Probe",
    "Ratio",
    "Servers",
    "Slo",
    "Target",
    "Text",
    "Tunnel",
    "secret_variables",
    "to_plain",
    "with_endpoint",
]

LARGEST_LANES = 32
_POLL_AWS_S = 10.0
_POLL_LOCAL_S = 0.5
Listen = Annotated[
    str,
    Meta(
        pattern=r"^\Z|^[^\s]+:\d{1,5}\Z",
        description='"host:port", or "" to serve nothing',
    ),
]
NameServer = Annotated[
    str,
    Meta(pattern=r"^\S+:\d{1,5}\Z", description='the "address:port" of a name server'),
]
AddressMap = Annotated[
    dict[str, str], Meta(description='a table of "host:port" = "host:port"')
]

SshHost = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9\[][^\s]*\Z",
        max_length=512,
        description='what ssh logs in to, such as "ec2-user@bastion"',
    ),
]
SshOption = Annotated[str, Meta(pattern=r"^[A-Za-z]+[ =][^\n\r]+\Z", max_length=2048)]
SshOptions = Annotated[
    tuple[SshOption, ...],
    Meta(max_length=64, description='a list of options of ssh, such as "Port=2222"'),
]


class Tunnel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A way to the nodes through a host that reaches them: forwards of ``ssh``.

    Args:
        ssh: where to log in, as ``ssh`` takes it: a host of its configuration,
            user@host, or ssh://user@host:port.
        options: of ``ssh``, each as its ``-o`` takes it; no secrets.
    """

    ssh: SshHost
    options: SshOptions = ()


TunnelSection = Annotated[Tunnel, Meta(description="a [target.tunnel] section")]


class Target(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is measured: the configuration endpoint and how to log in.

    Args:
        host: configuration endpoint (cluster mode), or the single endpoint. It is ""
            only if it is to be asked of the API (there is a [control] section).
        port: port of plaintext lanes, and of TLS lanes when ``tls_port`` is absent.
        tls_port: port of TLS lanes where it differs from ``port``.
        cluster: False for a single endpoint without cluster mode.
        ca_file: PEM file of the certificate authorities to trust (default: system).
        cert_file: client certificate for mutual TLS, with ``key_file``.
        server_name: name to send by SNI and to verify, instead of the node's own.
        username: ACL user (default: the user ``default``).
        password_file: file whose first line is the password.
        password_env: name of the environment variable that holds the password.
        iam_user: IAM user to log in as, with tokens instead of a password
            (ElastiCache); ``username`` is the same then.
        iam_cache: replication group or serverless cache that tokens are for.
        iam_region: where that is.
        iam_serverless: it is a serverless cache.
        address_map: "host:port" as announced by nodes -> "host:port" to connect to.
            With a tunnel it is not configured: its forwards are kept in it, and it
            grows while a run lasts. All who connect share the one table.
        reader_host: endpoint of the replicas, without cluster mode; what it points to
            is known to belong to the group. It has the ports of ``host``.
        name_server: "host:port" of the name server to ask, instead of the system's.
        tunnel: the only way to the nodes, if there is none without it.
    """

    host: Text = ""
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
    iam_user: Text | None = None
    iam_cache: Text | None = None
    iam_region: Text | None = None
    iam_serverless: bool = False
    address_map: AddressMap = {}
    reader_host: Text | None = None
    name_server: NameServer | None = None
    tunnel: TunnelSection | None = None

    def at(self, *, tls: bool, host: str, port: int) -> "Target":
        """Return the target with another endpoint for lanes of one transport."""
        if tls:
            return msgspec.structs.replace(self, host=host, tls_port=port)
        return msgspec.structs.replace(self, host=host, port=port)

    def with_certificates_of(self, other: "Target") -> "Target":
        """Return the target with the certificate files of another one."""
        return msgspec.structs.replace(
            self,
            ca_file=other.ca_file,
            cert_file=other.cert_file,
            key_file=other.key_file,
        )

    def way_to(self, host: str, port: int) -> "tuple[str, int] | None":
        """Return where to connect to for an announced address.

        Without an entry in ``address_map`` that is the address itself; with a tunnel
        it is None, for nothing else leads there.
        """
        mapped = self.address_map.get(f"{host}:{port}")
        if mapped is None and ":" in host:
            mapped = self.address_map.get(f"[{host}]:{port}")
        if mapped is None:
            return None if self.tunnel is not None else (host, int(port))
        address, _, text = mapped.rpartition(":")
        return address.strip("[]"), int(text)

    def port_of(self, *, tls: bool) -> int:
        """Return the port of the endpoint for lanes of a transport."""
        return (self.tls_port or self.port) if tls else self.port

    def read_password(self) -> str | None:
        """Return the password behind the reference, or None if there is none.

        Raises:
            ConfigError: the file or environment variable is missing or empty.
        """
        return read_secret(
            "target", "password", file=self.password_file, env=self.password_env
        )


class Control(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the ElastiCache API is, and which group or cache there is the target.

    Exactly one of ``replication_group`` and ``serverless_cache`` is given.
    """

    replication_group: Text | None = None
    region: Text = "us-east-1"
    endpoint_url: Text | None = None
    serverless_cache: Text | None = None

    @property
    def cache(self) -> str:
        """Return the name of what is the target: one of the two is given."""
        return self.replication_group or self.serverless_cache or ""

    @property
    def is_serverless(self) -> bool:
        """Tell whether it is a serverless cache."""
        return self.serverless_cache is not None

    @property
    def poll_s(self) -> float:
        """Pause between two looks at the group: only AWS limits how often is asked."""
        return _POLL_AWS_S if self.endpoint_url is None else _POLL_LOCAL_S


class Http(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where metrics, health and the API are served, and who may come in.

    Args:
        listen: address; "" serves nothing.
        web_config_file: TLS and logins, in the format of Prometheus' exporters.
        marks_token_file: file whose first line lets one write marks.
        insecure_listen: listen on any address without TLS and logins.
    """

    listen: Listen = "127.0.0.1:9121"
    web_config_file: Text | None = None
    marks_token_file: Text | None = None
    insecure_listen: bool = False

    @property
    def address(self) -> tuple[str, int] | None:
        """Return (host, port), or None if nothing is to be served."""
        if not self.listen:
            return None
        host, _, port = self.listen.rpartition(":")
        return host.strip("[]"), int(port)


class Output(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where and how run folders are written, and what of them is kept.

    Args:
        dir: the folder of the run folders.
        resume: go on with the newest run of the same name and configuration that no
            process writes any more.
        segment_hours: a run without an end begins a new segment of its folder so often.
        seconds_hours: counts of single seconds are kept so long, then of minutes.
        latency_seconds_hours: the same of latencies, which take most of the room.
        minutes_days: what is kept of minutes becomes hours after so long.
        retain_days: segments are removed after so long; folders of incidents stay.
        retain_gb: with more the oldest goes, incidents last.
        max_disk_ratio: the same when the disk is as full as that, whoever fills it.
    """

    dir: Text = "runs"
    resume: bool = False
    segment_hours: Annotated[float, Meta(ge=0.01, le=168.0)] = 1.0
    seconds_hours: Annotated[float, Meta(ge=0.0, le=87_600.0)] = 6.0
    latency_seconds_hours: Annotated[float, Meta(ge=0.0, le=87_600.0)] = 2.0
    minutes_days: Annotated[float, Meta(ge=0.0, le=3650.0)] = 7.0
    retain_days: Annotated[float, Meta(gt=0.0, le=3650.0)] = 90.0
    retain_gb: Annotated[float, Meta(gt=0.0, le=100_000.0)] = 10.0
    max_disk_ratio: Ratio = 0.9


_Count = Annotated[int, Meta(ge=0, le=1_000_000_000_000)]


class Slo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Thresholds; a run that misses one exits with code 3.

    Args:
        max_outage_ms: the longest outage of any scope.
        availability: the least share of arrivals served.
        p99_ms: the largest 99th percentile of response times.
        max_lost_writes: acknowledged writes that may be gone.
        max_errors: arrivals that may fail, those by plan left out.
        max_blind_ms: the longest time in which a lane was not looked at.
    """

    max_outage_ms: Annotated[float, Meta(ge=0.0, le=86_400_000.0)] | None = None
    availability: Ratio | None = None
    p99_ms: Annotated[float, Meta(gt=0.0, le=86_400_000.0)] | None = None
    max_lost_writes: _Count | None = None
    max_errors: _Count | None = None
    max_blind_ms: Annotated[float, Meta(ge=0.0, le=86_400_000.0)] | None = None


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


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A whole configuration file."""

    target: Target = Target()
    lanes: Annotated[tuple[Lane, ...], Meta(min_length=1, max_length=LARGEST_LANES)]
    name: Name = "run"
    control: Control | None = None
    http: Http = Http()
    remote_write: RemoteWrite | None = None
    webhooks: Annotated[tuple[Webhook, ...], Meta(max_length=LARGEST_WEBHOOKS)] = ()
    output: Output = Output()
    slo: Slo = Slo()
    probe: Probe = Probe()
    load: Load = Load()
    servers: Servers = Servers()


def with_endpoint(
    config: Config,
    host: str,
    port: int,
    *,
    is_cluster: bool | None = None,
    reader_host: str | None = None,
) -> Config:
    """Return a configuration with the endpoint that the API told.

    Args:
        config: as it was read.
        host: of the configuration endpoint, or of the primary without cluster mode.
        port: of it, for all lanes.
        is_cluster: with cluster mode; None: as configured.
        reader_host: of the replicas, without cluster mode.
    """
    target = config.target
    target = msgspec.structs.replace(
        target,
        host=host,
        port=port,
        tls_port=None,
        cluster=target.cluster if is_cluster is None else is_cluster,
        reader_host=target.reader_host or reader_host,
    )
    return msgspec.structs.replace(config, target=target)


SDK_VARIABLES = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN")
"""Secrets of the SDK: what others run beside a run may have a use for them."""


def secret_variables(config: Config) -> frozenset[str]:
    """Return the names of the environment variables that hold secrets.

    Those of the SDK are among them: only the supervisor calls services of AWS.
    """
    remote = config.remote_write
    names = [config.target.password_env, remote.password_env if remote else None]
    names += SDK_VARIABLES
    for hook in config.webhooks:
        names += (hook.url_env, hook.token_env, hook.routing_key_env)
    return frozenset(name for name in names if name)


def to_plain(config: Config) -> dict[str, object]:
    """Return the resolved configuration as plain data; it holds no secret values.

    The forwards of a tunnel are no part of it: they are others in every run.
    """
    target = config.target
    if target.tunnel is not None and target.address_map:
        target = msgspec.structs.replace(target, address_map={})
        config = msgspec.structs.replace(config, target=target)
    plain: dict[str, object] = msgspec.to_builtins(config)
    return plain


SECTIONS: dict[str, type[msgspec.Struct]] = {
    "": Config,
    "target": Target,
    "target.tunnel": Tunnel,
    "lanes": Lane,
    "lanes.client": Client,
    "control": Control,
    "http": Http,
    "remote_write": RemoteWrite,
    "webhooks": Webhook,
    "output": Output,
    "slo": Slo,
    "probe": Probe,
    "load": Load,
    "servers": Servers,
}
"""Name of a section of the file -> its keys; "" is the top of the file."""
