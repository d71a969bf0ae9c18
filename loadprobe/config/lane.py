"""The keys of a lane, and of the client library that sends its arrivals."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from loadprobe.config.values import Name, Ratio

LONGEST_TTL_S = 30 * 86_400
_TTL_S = 3600
_KEYS_PER_TTL_S = 125
"""All keys are renewed in an eighth of the TTL if need be, 1,000 a second at most."""


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
        ttl_s: TTL of the keys, which is renewed while a run lasts; 0 is none. If it is
            not set it is an hour, or what very many keys need (see ``key_ttl_s``).
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
    ttl_s: Annotated[int, Meta(ge=0, le=LONGEST_TTL_S)] | None = None
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
    def key_ttl_s(self) -> int:
        """Return the TTL of its keys in seconds; 0 is none: MSET takes none."""
        if self.ttl_s is not None:
            return self.ttl_s
        return 0 if self.multi_key > 1 else max(_TTL_S, self.least_ttl_s)

    @property
    def least_ttl_s(self) -> int:
        """Return the shortest TTL in which all keys can be renewed in time."""
        return -(-self.keys // _KEYS_PER_TTL_S)

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
