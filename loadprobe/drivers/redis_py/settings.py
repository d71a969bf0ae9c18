"""What redis-py is told: what an application tells it, and nothing else.

A key that is not set is not passed on, so redis-py's own default holds, whichever it is
in the version that is installed. RESP version, decoding and the SSL contexts (one for
every connection) are left as they come.
"""

import copy
import inspect
from collections.abc import Callable
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import AbstractBackoff, ExponentialWithJitterBackoff, NoBackoff
from redis.cluster import LoadBalancingStrategy
from redis.credentials import CredentialProvider

from loadprobe.config import Client, Target

Address = tuple[str, int]

_SAME = (
    "socket_keepalive",
    "max_connections",
    "require_full_coverage",
    "reinitialize_steps",
    "dynamic_startup_nodes",
)


class Login(CredentialProvider):
    """How to log in now: asked by redis-py for every connection it opens.

    Args:
        username: ACL user, None for the user ``default``.
        password: the password, None to not log in.
    """

    def __init__(self, username: str | None, password: str | None) -> None:
        self.username = username
        self.password = password

    def get_credentials(self) -> tuple[str] | tuple[str, str] | tuple[()]:  # type: ignore[override]
        """Return the arguments of AUTH; none at all leaves AUTH out."""
        if self.password is None:
            return ()
        if self.username is None:
            return (self.password,)
        return self.username, self.password


def make_arguments(
    target: Target, client: Client, login: Login, *, tls: bool
) -> dict[str, Any]:
    """Return the arguments of ``RedisCluster``, or of ``Redis`` without cluster mode.

    Args:
        target: where to.
        client: what the application sets.
        login: who is asked for credentials.
        tls: connect by TLS.
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
    given["socket_timeout"] = _seconds(client.socket_timeout_ms)
    given["socket_connect_timeout"] = _seconds(client.socket_connect_timeout_ms)
    given["health_check_interval"] = client.health_check_interval_s
    arguments |= {key: value for key, value in given.items() if value is not None}
    for key in ("socket_timeout", "socket_connect_timeout"):
        if arguments.get(key) == 0:
            arguments[key] = None  # wait for ever
    if client.retries is not None:
        arguments["retry"] = _make_retry(client, client.retries)
    if client.read_from not in (None, "primary"):
        strategy = client.read_from.replace("-", "_")
        arguments["load_balancing_strategy"] = LoadBalancingStrategy(strategy)
    return arguments


def make_remap(target: Target) -> Callable[[Address], Address]:
    """Return what turns an announced address into the one to connect to."""

    def remap(address: Address) -> Address:
        host, port = address
        mapped = target.address_map.get(f"{host}:{port}")
        if mapped is None:
            return host, int(port)
        host, _, text = mapped.rpartition(":")
        return host.strip("[]"), int(text)

    return remap


def _seconds(milliseconds: int | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000


def _make_retry(client: Client, retries: int) -> Retry:
    """Return redis-py's default with another number of tries, or another pause."""
    default: Retry = inspect.signature(Redis.__init__).parameters["retry"].default
    if client.backoff is None:
        retry = copy.deepcopy(default)
        retry.update_retries(retries)
        return retry
    backoff: AbstractBackoff = NoBackoff()
    if client.backoff == "exponential-jitter":
        parts = {"base": client.backoff_base_ms, "cap": client.backoff_cap_ms}
        backoff = ExponentialWithJitterBackoff(
            **{key: ms / 1000 for key, ms in parts.items() if ms is not None}
        )
    return Retry(backoff, retries)


def make_client(arguments: dict[str, Any], *, cluster: bool) -> "RedisCluster | Redis":
    """Return a client object that is not connected yet."""
    return RedisCluster(**arguments) if cluster else Redis(**arguments)
