"""The configuration: sections and keys, with their units, ranges and defaults.

``config.file`` reads and checks a file; the rest of the program relies on the values.
Secrets are references (``password_file``, ``password_env``); their values are read by
``Target.read_password`` at the moment of use and are never part of a Config.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from loadprobe.config.load import Load
from loadprobe.config.remote_write import RemoteWrite
from loadprobe.config.secret_refs import read_secret
from loadprobe.config.webhooks import LARGEST_WEBHOOKS, Webhook

LARGEST_PORT = 65535
LARGEST_LANES = 32
_POLL_AWS_S = 10.0
_POLL_LOCAL_S = 0.5
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
NameServer = Annotated[
    str,
    Meta(pattern=r"^\S+:\d{1,5}\Z", description='the "address:port" of a name server'),
]
AddressMap = Annotated[
    dict[str, str], Meta(description='a table of "host:port" = "host:port"')
]


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
        reader_host: endpoint of the replicas, without cluster mode; what it points to
            is known to belong to the group. It has the ports of ``host``.
        name_server: "host:port" of the name server to ask, instead of the system's.
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


class Client(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How an application sets its client library up; absent keys are not passed on.

    Args:
        clients: client objects that the workers of a process share.
        retries: how often an operation is tried again.
        connect_retries: how often a connection is tried again (valkey-py).
        retry_delay_ms: pause before an operation is tried again (coredis).
        backoff: pause between two tries (redis-py: without cluster mode only).
        backoff_base_ms: of the first pause.
        backoff_cap_ms: of the longest pause.
        socket_timeout_ms: wait so long for a reply; 0 waits for ever.
        socket_connect_timeout_ms: wait so long for a connection; 0 waits for ever.
        socket_keepalive: let the system probe idle connections.
        request_timeout_ms: wait so long for the end of an operation (valkey-glide).
        pool_timeout_ms: wait so long for a connection of the pool (coredis).
        inflight_requests_limit: operations under way at once (valkey-glide).
        max_connections: connections per node (of all, without cluster mode).
        max_connections_per_node: count them per node (coredis).
        health_check_interval_s: PING before an operation after so long; 0 never.
        check_hostname: verify the name in certificates (the authority always is).
        require_full_coverage: fail while any slot is served by nobody.
        reinitialize_steps: MOVED replies after which all is learnt anew; 0 never.
        dynamic_startup_nodes: learn from the nodes that were found, not the endpoint.
        read_from: which nodes reads go to.
    """

    clients: Annotated[int, Meta(ge=1, le=1000)] = 1
    retries: Annotated[int, Meta(ge=0, le=1000)] | None = None
    connect_retries: Annotated[int, Meta(ge=0, le=1000)] | None = None
    retry_delay_ms: Annotated[int, Meta(ge=0, le=60_000)] | None = None
    backoff: Literal["none", "exponential-jitter"] | None = None
    backoff_base_ms: Annotated[int, Meta(ge=0, le=60_000)] | None = None
    backoff_cap_ms: Annotated[int, Meta(ge=0, le=600_000)] | None = None
    socket_timeout_ms: Annotated[int, Meta(ge=0, le=600_000)] | None = None
    socket_connect_timeout_ms: Annotated[int, Meta(ge=0, le=600_000)] | None = None
    socket_keepalive: bool | None = None
    request_timeout_ms: Annotated[int, Meta(ge=1, le=600_000)] | None = None
    pool_timeout_ms: Annotated[int, Meta(ge=1, le=600_000)] | None = None
    inflight_requests_limit: Annotated[int, Meta(ge=1, le=100_000)] | None = None
    max_connections: Annotated[int, Meta(ge=1, le=100_000)] | None = None
    max_connections_per_node: bool | None = None
    health_check_interval_s: Annotated[int, Meta(ge=0, le=86_400)] | None = None
    check_hostname: bool | None = None
    require_full_coverage: bool | None = None
    reinitialize_steps: Annotated[int, Meta(ge=0, le=1_000_000)] | None = None
    dynamic_startup_nodes: bool | None = None
    read_from: (
        Literal[
            "primary",
            "round-robin",
            "round-robin-replicas",
            "random",
            "random-replica",
            "prefer-replica",
        ]
        | None
    ) = None


ClientSection = Annotated[Client, Meta(description="a [lanes.client] section")]


class Lane(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One stream of load: a transport, a schedule and a set of workers.

    Args:
        name: label of the lane in files and metrics.
        driver: which client sends the arrivals: "wire" is the witness, the others
            are what applications use.
        tls: connect by TLS.
        workers: concurrent workers; the wire driver opens one connection per worker
            and shard if ``connections`` does not say otherwise.
        connections: connections per shard that the workers share ("wire" only).
        pipeline: arrivals that a worker has outstanding (closed loop only: an open loop
            never waits).
        loop: "open" sends every arrival at its due time; "closed" sends the next
            after the reply (maximum throughput; under-samples outages).
        schedule: "constant", "ramp" or "poisson" arrivals (open loop only).
        rate_per_s: arrivals per second of the whole lane (open loop).
        incident_rate_per_s: rate while something goes on (open loop; see [load]).
        ramp_from_per_s: rate at the start of a ramp.
        ramp_s: length of the ramp in seconds; the rate is constant after it.
        read_ratio: share of reads among the arrivals.
        read_only: writes nothing, ever: all arrivals are reads, nothing is prefilled,
            and a key that is not there is served.
        miss_ratio: share of the reads that ask for a key known to be absent.
        deadline_ms: an arrival is served if its reply is parsed by due + deadline.
        value_bytes: size of the written values.
        keys: number of keys of the lane.
        keyspace: lanes of the same one share their keys: each writes its part of them,
            and reads all; the name of the lane if it is not set.
        prefill: write all keys before the load starts.
        processes: probe processes that share the lane.
        connect_rate_per_s: new connections per second and shard ("wire" only; 1 if it
            is not set, 0 makes none).
        read_from: which nodes reads go to ("wire" only; others have their own).
        multi_key: keys of one slot that an arrival reads or writes together.
        client: how the client library is set up (not for "wire").
    """

    name: Name
    driver: Literal["wire", "redis-py", "valkey-py", "coredis", "valkey-glide"] = "wire"
    tls: bool = False
    workers: Annotated[int, Meta(ge=1, le=20_000)] = 200
    connections: Annotated[int, Meta(ge=1, le=20_000)] | None = None
    pipeline: Annotated[int, Meta(ge=1, le=1000)] = 1
    loop: Literal["open", "closed"] = "open"
    schedule: Literal["constant", "ramp", "poisson"] = "constant"
    rate_per_s: Annotated[float, Meta(gt=0.0, le=1_000_000.0)] = 1000.0
    incident_rate_per_s: Annotated[float, Meta(gt=0.0, le=1_000_000.0)] | None = None
    ramp_from_per_s: Annotated[float, Meta(ge=0.0, le=1_000_000.0)] | None = None
    ramp_s: Annotated[float, Meta(gt=0.0, le=86_400.0)] | None = None
    read_ratio: Ratio = 0.8
    read_only: bool = False
    miss_ratio: Ratio = 0.0
    deadline_ms: Annotated[int, Meta(ge=1, le=60_000)] = 250
    value_bytes: Annotated[int, Meta(ge=24, le=1_048_576)] = 64
    keys: Annotated[int, Meta(ge=1, le=10_000_000)] = 10_000
    keyspace: Name | None = None
    prefill: bool = True
    processes: Annotated[int, Meta(ge=1, le=64)] = 1
    connect_rate_per_s: Annotated[float, Meta(ge=0.0, le=100.0)] | None = None
    read_from: Literal["primary", "replica", "any"] = "primary"
    multi_key: Annotated[int, Meta(ge=1, le=1000)] = 1
    client: ClientSection | None = None

    @property
    def is_witness(self) -> bool:
        """Whether it shows what the cluster does, rather than what a client makes."""
        return self.driver == "wire"

    @property
    def as_run(self) -> "Lane":
        """Return the lane with what follows from its keys."""
        if not self.read_only:
            return self
        return msgspec.structs.replace(self, read_ratio=1.0, prefill=False)

    @property
    def key_prefix(self) -> str:
        """Return what the names of its keys begin with, after "lp:"."""
        return self.keyspace or self.name

    @property
    def connects_per_s(self) -> float:
        """Return how many new connections it makes per second and shard."""
        if not self.is_witness or self.connect_rate_per_s is None:
            return float(self.is_witness)
        return self.connect_rate_per_s

    @property
    def reads_replicas(self) -> bool:
        """Tell whether a replica may answer its reads."""
        if self.client is not None:
            return self.client.read_from not in (None, "primary")
        return self.read_from != "primary"


class Control(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the ElastiCache API is, and which replication group is the target."""

    replication_group: Text
    region: Text = "us-east-1"
    endpoint_url: Text | None = None

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


def secret_variables(config: Config) -> frozenset[str]:
    """Return the names of the environment variables that hold secrets."""
    remote = config.remote_write
    names = [config.target.password_env, remote.password_env if remote else None]
    for hook in config.webhooks:
        names += (hook.url_env, hook.token_env, hook.routing_key_env)
    return frozenset(name for name in names if name)


def to_plain(config: Config) -> dict[str, object]:
    """Return the resolved configuration as plain data; it holds no secret values."""
    plain: dict[str, object] = msgspec.to_builtins(config)
    return plain


SECTIONS: dict[str, type[msgspec.Struct]] = {
    "": Config,
    "target": Target,
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
}
"""Name of a section of the file -> its keys; "" is the top of the file."""
