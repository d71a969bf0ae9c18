"""The state file of a running local cluster, and the lock that makes its name unique.

A state names its process by pid *and* start time, so a pid that was reused is never
taken for it. The lock is the kernel's: it ends with the process that holds it.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from loadprobe.errors import RunError, UsageError
from loadprobe.local.cluster.folders import runtime_folder
from loadprobe.local.cluster.processes import is_process

SCHEMA_VERSION = 1


class SavedNode(msgspec.Struct, frozen=True):
    """One node as it was when the cluster became ready.

    Args:
        name: CacheClusterId.
        node_group_id: its shard.
        host: where it listens.
        port: plaintext port.
        tls_port: TLS port, if TLS is on.
    """

    name: str
    node_group_id: str
    host: str
    port: int
    tls_port: int | None


class LocalState(msgspec.Struct, frozen=True):
    """Where a running local cluster is reached.

    Args:
        name: the name it was started with.
        pid: its supervising process.
        start_ticks: when that process started (clock ticks since boot).
        endpoint_url: the API.
        replication_group_id: the group in the API; "" if it was started without one.
        host: where the nodes listen.
        port: plaintext port of one node; 0 without a group.
        tls_port: TLS port of the same node, if TLS is on.
        ca_file: what TLS clients have to trust, if the server can do TLS.
        password_file: the file with the password, if there is one.
        nodes: all nodes.
        cluster_mode: whether the group has cluster mode enabled.
        name_server: who knows the endpoints of groups without cluster mode.
        access_key: who sends it may use the API.
        schema_version: of this document.
    """

    name: str
    pid: int
    start_ticks: int
    endpoint_url: str
    replication_group_id: str
    host: str
    port: int
    tls_port: int | None
    ca_file: str | None
    password_file: str | None
    nodes: list[SavedNode]
    cluster_mode: bool = True
    name_server: str = ""
    access_key: str = ""
    schema_version: int = SCHEMA_VERSION

    @property
    def is_running(self) -> bool:
        """Whether its process is still alive."""
        return is_process(self.pid, self.start_ticks)


class LocalGroupState(msgspec.Struct, frozen=True):
    """One replication group as it is now.

    Args:
        group_id: its id in the API.
        status: its status in the API.
        engine: "redis" or "valkey".
        cluster_mode: cluster mode enabled.
        tls_mode: "none", "preferred" or "required".
        shards: how many node groups.
        nodes: how many nodes.
        host: where its nodes listen.
        port: the port the API shows; None while there is no server.
        ca_file: what TLS clients have to trust, if the server can do TLS.
    """

    group_id: str
    status: str
    engine: str
    cluster_mode: bool
    tls_mode: str
    shards: int
    nodes: int
    host: str
    port: int | None
    ca_file: str | None


def state_path(name: str) -> Path:
    """Return the path of a state file."""
    return runtime_folder() / f"local-{name}.json"


def log_path(name: str) -> Path:
    """Return the path of a background process's log."""
    return runtime_folder() / f"local-{name}.log"


def write_state(state: LocalState) -> None:
    """Write a state file, mode 0600, in one step."""
    path = state_path(state.name)
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    draft.touch(mode=0o600)
    draft.write_bytes(msgspec.json.encode(state))
    draft.replace(path)


def read_state(name: str) -> LocalState | None:
    """Return the state last written under a name, running or not.

    Raises:
        RunError: the file is not a state file of this version.
    """
    path = state_path(name)
    try:
        return msgspec.json.decode(path.read_bytes(), type=LocalState)
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise RunError(
            f"reading the state of the local cluster from {path}: {exc}; if no such "
            "cluster runs, remove the file"
        ) from exc


def remove_state(name: str) -> None:
    """Remove a state file, if there is one."""
    state_path(name).unlink(missing_ok=True)


@contextlib.contextmanager
def claimed(name: str) -> Iterator[None]:
    """Hold a name for the life of the block.

    Raises:
        UsageError: another process holds it.
    """
    path = runtime_folder() / f"local-{name}.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise UsageError(
                f"starting the local cluster {name!r}: one of that name runs already; "
                "end it (loadprobe local down), or choose another name"
            ) from exc
        yield
    finally:
        os.close(descriptor)
