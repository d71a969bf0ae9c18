"""What each client library can be told, and which package it is.

Values are those of the version that is pinned; a key that a library has no argument for
is refused rather than ignored.
"""

from importlib.util import find_spec

import msgspec

from loadprobe.config.keys import Client, Lane, Target
from loadprobe.errors import ConfigError

PACKAGES = {
    "redis-py": "redis",
    "valkey-py": "valkey",
    "coredis": "coredis",
    "valkey-glide": "glide",
}
"""Driver -> the package that it imports; the extra has the driver's name."""

_TIMEOUTS = ("socket_timeout_ms", "socket_connect_timeout_ms")
_BACKOFF = ("backoff", "backoff_base_ms", "backoff_cap_ms")
_FORKS = (
    "retries",
    *_TIMEOUTS,
    "socket_keepalive",
    "max_connections",
    "health_check_interval_s",
    "check_hostname",
    "require_full_coverage",
    "reinitialize_steps",
    "dynamic_startup_nodes",
    "read_from",
)
_KEYS: dict[str, tuple[str, ...]] = {
    "redis-py": (*_FORKS, *_BACKOFF),
    "valkey-py": (*_FORKS, "connect_retries"),
    "coredis": (
        "retries",
        "retry_delay_ms",
        *_TIMEOUTS,
        "pool_timeout_ms",
        "max_connections",
        "max_connections_per_node",
        "check_hostname",
        "require_full_coverage",
        "reinitialize_steps",
        "dynamic_startup_nodes",
        "read_from",
    ),
    "valkey-glide": (
        "request_timeout_ms",
        "socket_connect_timeout_ms",
        "inflight_requests_limit",
        "dynamic_startup_nodes",
        "read_from",
    ),
}
_READS: dict[str, tuple[str, ...]] = {
    "redis-py": (
        "primary",
        "round-robin",
        "round-robin-replicas",
        "random",
        "random-replica",
    ),
    "valkey-py": ("primary", "round-robin"),
    "coredis": ("primary", "random-replica"),
    "valkey-glide": ("primary", "prefer-replica"),
}
_CLUSTER_ONLY = (
    "require_full_coverage",
    "reinitialize_steps",
    "dynamic_startup_nodes",
    "read_from",
    "connect_retries",
    "max_connections_per_node",
)


def for_single(lane: Lane) -> Lane:
    """Return a lane without the settings that only clients of a cluster have."""
    if lane.client is None:
        return lane
    unset = dict.fromkeys(_CLUSTER_ONLY)
    client = msgspec.structs.replace(lane.client, **unset)
    return msgspec.structs.replace(lane, client=client)


def check_client(lane: Lane, target: Target, at: str) -> None:
    """Refuse what the client library of a lane cannot be told.

    Args:
        lane: of a driver other than "wire".
        target: where it connects to.
        at: path of the lane in the configuration.

    Raises:
        ConfigError: a key or value is not one of the library's, or it is not installed.
    """
    name = lane.driver
    if find_spec(PACKAGES[name]) is None:
        raise ConfigError(
            f"{at}.driver",
            f"{name} is not installed; pip install 'loadprobe[{name}]', or set another "
            "driver",
        )
    if name == "coredis" and (target.address_map or target.tunnel is not None):
        key = "address_map" if target.address_map else "tunnel"
        raise ConfigError(
            f"{at}.driver",
            f"coredis cannot be told target.{key}; remove that, or use another driver",
        )
    if name == "valkey-glide" and target.name_server is not None:
        raise ConfigError(
            f"{at}.driver",
            "valkey-glide asks the system for names and cannot be told "
            "target.name_server; remove that, or use another driver",
        )
    client = lane.client
    if client is None:
        return
    given = [
        key
        for key in Client.__struct_fields__
        if key != "clients" and getattr(client, key) is not None
    ]
    known = _KEYS[name]
    for key in given:
        if key not in known:
            raise ConfigError(
                f"{at}.client.{key}",
                f"{name} has no such setting; expected clients, {', '.join(known)}",
            )
        if key in _CLUSTER_ONLY and not target.cluster:
            raise ConfigError(
                f"{at}.client.{key}",
                "only clients of a cluster have it; remove it, or [target] cluster = "
                "false",
            )
    if client.retry_delay_ms is not None and client.retries is None:
        raise ConfigError(
            f"{at}.client.retry_delay_ms",
            "a pause between tries needs retries beside it",
        )
    if client.read_from is not None and client.read_from not in _READS[name]:
        values = " or ".join(f'"{value}"' for value in _READS[name])
        raise ConfigError(
            f"{at}.client.read_from",
            f'{name} cannot read from "{client.read_from}"; expected {values}',
        )
