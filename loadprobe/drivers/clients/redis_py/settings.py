"""What redis-py and valkey-py are told: what an application tells them, no more.

A key that is not set is not passed on, so the library's own default holds, whichever it
is in the version that is installed. RESP version, decoding and the SSL contexts (one
for every connection) are left as they come. Only a pool that is too small for the lane
is made larger.
"""

import copy
import inspect
from importlib import import_module
from typing import Any

from loadprobe.config.keys import Client, Target
from loadprobe.drivers.clients.library.address import make_remap
from loadprobe.drivers.clients.library.base import Login, seconds
from loadprobe.drivers.clients.redis_py.forks import Fork

_SAME = (
    "socket_keepalive",
    "max_connections",
    "require_full_coverage",
    "reinitialize_steps",
    "dynamic_startup_nodes",
)


def make_arguments(
    fork: Fork,
    target: Target,
    client: Client,
    login: Login,
    *,
    tls: bool,
    users: int = 1,
) -> dict[str, Any]:
    """Return the arguments of the cluster's client, or of that of a single endpoint.

    Args:
        fork: the library.
        target: where to.
        client: what the application sets.
        login: who is asked for credentials.
        tls: connect by TLS.
        users: how many operations are under way at most.
    """
    remap = make_remap(target)
    host, port = remap((target.host, target.port_of(tls=tls)))
    arguments: dict[str, Any] = {
        "host": host,
        "port": port,
        "credential_provider": login,
    }
    if target.cluster and target.address_map:
        arguments["address_remap"] = remap
    if tls:
        arguments["ssl"] = True
        arguments["ssl_ca_certs"] = target.ca_file
        arguments["ssl_certfile"] = target.cert_file
        arguments["ssl_keyfile"] = target.key_file
        if client.check_hostname is not None:
            arguments["ssl_check_hostname"] = client.check_hostname
    given = {key: getattr(client, key) for key in _SAME}
    if client.max_connections is None and 2 * users > fork.pool_limit:
        # Whose pool is too small for the load sees failures of its own making. Twice:
        # a connection that is being closed counts while its successor is made.
        given["max_connections"] = 2 * users
    given["socket_timeout"] = seconds(client.socket_timeout_ms)
    given["socket_connect_timeout"] = seconds(client.socket_connect_timeout_ms)
    given["health_check_interval"] = client.health_check_interval_s
    arguments |= {key: value for key, value in given.items() if value is not None}
    for key in ("socket_timeout", "socket_connect_timeout"):
        if arguments.get(key) == 0:
            arguments[key] = None  # wait for ever
    arguments |= _make_retries(fork, client, cluster=target.cluster)
    if client.read_from not in (None, "primary"):
        arguments |= _make_reads(fork, client.read_from)
    return arguments


def _make_reads(fork: Fork, read_from: str) -> dict[str, Any]:
    if not fork.retries_in_cluster:
        return {"read_from_replicas": True}  # in turn from all nodes of a shard
    strategies = import_module(f"{fork.package}.cluster").LoadBalancingStrategy
    return {"load_balancing_strategy": strategies(read_from.replace("-", "_"))}


def _make_retries(fork: Fork, client: Client, *, cluster: bool) -> dict[str, Any]:
    if cluster and not fork.retries_in_cluster:
        counts = {
            "cluster_error_retry_attempts": client.retries,
            "connection_error_retry_attempts": client.connect_retries,
        }
        return {key: count for key, count in counts.items() if count is not None}
    if client.retries is None:
        return {}
    raised = fork.exceptions
    errors = [raised.ConnectionError, raised.TimeoutError]
    is_told = fork.retries_in_cluster  # else a single client tries nothing again
    more = {} if is_told else {"retry_on_error": errors}
    return {"retry": _make_retry(fork, client, client.retries), **more}


def _make_retry(fork: Fork, client: Client, retries: int) -> Any:
    """Return the library's default with another number of tries, or another pause."""
    default = inspect.signature(fork.single.__init__).parameters["retry"].default
    if client.backoff is None and default is not None:
        retry = copy.deepcopy(default)
        retry.update_retries(retries)
        return retry
    backoff = fork.backoff.NoBackoff()
    if client.backoff == "exponential-jitter":
        parts = {"base": client.backoff_base_ms, "cap": client.backoff_cap_ms}
        backoff = fork.backoff.ExponentialWithJitterBackoff(
            **{key: ms / 1000 for key, ms in parts.items() if ms is not None}
        )
    return fork.retry(backoff, retries)
