"""redis-py and valkey-py: one library under two names, with a few differences.

Importing one takes 100 ms and 20 MB, so the modules are found when a lane needs them.
"""

import inspect
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any


@dataclass(frozen=True, slots=True)
class Fork:
    """One of the two, as it is installed.

    Args:
        name: of the driver.
        package: which is imported; its names begin with the same word.
        exceptions: module.
        backoff: module.
        retry: class of the asyncio client.
        single: client of a single endpoint.
        cluster: client of a cluster.
        plain: connection by TCP.
        secure: connection by TLS.
        base_error: what all its exceptions are.
        cluster_exception: base of what a cluster's client raises.
    """

    name: str
    package: str
    exceptions: ModuleType
    backoff: ModuleType
    retry: Any
    single: Any
    cluster: Any
    plain: Any
    secure: Any
    base_error: type[Exception]
    cluster_exception: type[Exception]

    @property
    def retries_in_cluster(self) -> bool:
        """Whether the cluster's client takes its number of tries from a ``Retry``."""
        parameters = inspect.signature(self.cluster.__init__).parameters
        return "connection_error_retry_attempts" not in parameters

    @property
    def pool_limit(self) -> int:
        """Connections per node by default, and of all together without cluster mode."""
        parameters = inspect.signature(self.cluster.__init__).parameters
        return int(parameters["max_connections"].default)


def load_fork(name: str) -> Fork:
    """Import ``redis-py`` or ``valkey-py``.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    package = name.removesuffix("-py")
    title = package.capitalize()
    exceptions = import_module(f"{package}.exceptions")
    connection = import_module(f"{package}.asyncio.connection")
    return Fork(
        name=name,
        package=package,
        exceptions=exceptions,
        backoff=import_module(f"{package}.backoff"),
        retry=import_module(f"{package}.asyncio.retry").Retry,
        single=getattr(import_module(f"{package}.asyncio"), title),
        cluster=getattr(import_module(f"{package}.asyncio.cluster"), f"{title}Cluster"),
        plain=connection.Connection,
        secure=connection.SSLConnection,
        base_error=getattr(exceptions, f"{title}Error"),
        cluster_exception=getattr(exceptions, f"{title}ClusterException"),
    )
