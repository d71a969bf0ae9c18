"""A real local cluster: server processes on loopback that really replicate and fail.

Nothing outlives the ``async with`` block: processes are killed and the folder is
removed on every way out; after a SIGKILL of this process the kernel kills the
servers, and the next cluster started removes the folder.

The modules beside this one change a running cluster: ``transport`` (TLS),
``membership`` (replicas), ``resharding``, ``replacement``, ``passwords``,
``migration``. They keep what is said here true.
"""

import asyncio
import contextlib
import shutil
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from loadprobe.errors import PreflightError, RunError, UsageError
from loadprobe.local.cluster.certificates import (
    CertificateSet,
    copy_certificates,
    write_certificates,
)
from loadprobe.local.cluster.claims import first_claimant, greatest_claimant
from loadprobe.local.cluster.folders import make_cluster_folder
from loadprobe.local.cluster.formation import form_cluster, in_sync, start_all, until
from loadprobe.local.cluster.hosts import Hosts
from loadprobe.local.cluster.layout import LocalShard, even_slots
from loadprobe.local.cluster.node import LOOPBACK, LocalNode, NodePorts
from loadprobe.local.cluster.ports import free_ports
from loadprobe.local.cluster.servers import ServerBinary, find_server
from loadprobe.local.cluster.settings import (
    TLS_MODES,
    LocalAccess,
    Settings,
    TlsMode,
    access_settings,
    base_settings,
    certificate_settings,
    transport_settings,
)

__all__ = ["LocalCluster", "TlsMode"]

_T = TypeVar("_T")
_FAST_NODE_TIMEOUT_MS = 1_000
_READY_TIMEOUT_S = 20.0
_PRIMARY_TIMEOUT_S = 3.0


class LocalCluster:
    """Start a cluster on entering, end it on leaving.

    In TLS mode "preferred" every node serves plaintext and TLS at the same time, on two
    ports, and CLUSTER SLOTS tells each asker the ports of its own kind. "required"
    closes the plaintext ports, "none" those with TLS.

    Without cluster mode every node has a loopback address of its own, and all have the
    same ports: a name can point to any of them, as names hold no ports.

    Args:
        shards: node groups; 1 when ``cluster_mode`` is off.
        replicas_per_shard: replicas beside each primary.
        tls: short for the TLS modes "preferred" and "none".
        tls_mode: the TLS mode; None follows ``tls``.
        password: what every node demands; None lets everyone in.
        server: the program; None searches one (see ``find_server``).
        node_timeout_ms: cluster-node-timeout; failure detection follows it.
        cluster_mode: False makes one standalone primary with replicas.
        mutual_tls: servers demand client certificates.
        name: prefix of node names ("local" -> "local-0001-001").
        certificates: files of another cluster to copy; None makes new ones, and so
            does a cluster that has ended.

    Attributes:
        tls_mode: the TLS mode now.
        access: the passwords that are valid now.
        source: (host, port) of the server that data is migrated from, if any.

    Raises:
        PreflightError: on entering: no server, or TLS wanted and the server has none.
        RunError: on entering: a server or the cluster did not come up.
    """

    def __init__(
        self,
        *,
        shards: int = 3,
        replicas_per_shard: int = 1,
        tls: bool = True,
        tls_mode: TlsMode | None = None,
        password: str | None = None,
        server: str | Path | None = None,
        node_timeout_ms: int = 1_000,
        cluster_mode: bool = True,
        mutual_tls: bool = False,
        name: str = "local",
        certificates: CertificateSet | None = None,
    ) -> None:
        if shards < 1 or (shards > 1 and not cluster_mode):
            raise UsageError(
                f"a local cluster of {shards} shards with cluster_mode={cluster_mode}: "
                "expected at least 1, and exactly 1 with cluster mode off"
            )
        self.name = name
        self.cluster_mode = cluster_mode
        self.tls_mode: TlsMode = tls_mode or ("preferred" if tls else "none")
        if self.tls_mode not in TLS_MODES:
            raise UsageError(
                f"a local cluster with the TLS mode {tls_mode!r}: expected one of "
                f"{', '.join(TLS_MODES)}"
            )
        self.access = LocalAccess.by(password)
        self.source: tuple[str, int] | None = None
        self.shards: list[LocalShard] = []
        self._shard_count = shards
        self._replicas_per_shard = replicas_per_shard
        self._wanted_server = server
        self._node_timeout_ms = node_timeout_ms
        self._mutual_tls = mutual_tls
        self._server: ServerBinary | None = None
        self._folder: Path | None = None
        self._certificates = certificates
        self._hosts = Hosts()
        self._ports: NodePorts | None = None
        self._processes: list[LocalNode] = []  # also those no shard holds (yet)

    @property
    def server(self) -> ServerBinary:
        """The program of new nodes."""
        return _started(self._server)

    @server.setter
    def server(self, server: ServerBinary) -> None:
        self._server = server

    @property
    def tls(self) -> bool:
        """Whether TLS is served."""
        return self.tls_mode != "none"

    @property
    def password(self) -> str | None:
        """The newest password, if there is one."""
        return self.access.newest

    @property
    def folder(self) -> Path:
        """The temporary folder of certificates, configuration and logs."""
        return _started(self._folder)

    @property
    def nodes(self) -> list[LocalNode]:
        """All nodes, by shard."""
        return [node for shard in self.shards for node in shard.nodes]

    @property
    def live_nodes(self) -> list[LocalNode]:
        """All nodes that are up now, also those that are joining or leaving."""
        return [node for node in self._processes if node.is_responsive]

    @property
    def endpoint(self) -> LocalNode:
        """A node that is up now: what a configuration endpoint would resolve to."""
        return next((node for node in self.nodes if node.is_responsive), self.nodes[0])

    @property
    def host(self) -> str:
        """The endpoint's address."""
        return self.endpoint.host if self.nodes else LOOPBACK

    @property
    def port(self) -> int:
        """The endpoint's plaintext port (closed while TLS is required)."""
        return self.endpoint.ports.plain

    @property
    def tls_port(self) -> int | None:
        """The endpoint's TLS port, if TLS is on."""
        return self.endpoint.ports.tls if self.tls else None

    @property
    def certificates(self) -> CertificateSet | None:
        """The certificate files, if the server can do TLS."""
        return self._certificates

    @property
    def ca_file(self) -> Path | None:
        """What TLS clients have to trust, if the server can do TLS (it may be off)."""
        return self._certificates.ca if self._certificates is not None else None

    def shard(self, node_group_id: str) -> LocalShard:
        """Return one shard.

        Raises:
            UsageError: there is none of that id.
        """
        for shard in self.shards:
            if shard.node_group_id == node_group_id:
                return shard
        known = ", ".join(shard.node_group_id for shard in self.shards)
        raise UsageError(f"no node group {node_group_id!r}; there are: {known}")

    async def primary_of(self, node_group_id: str) -> LocalNode:
        """Return the primary of a shard, as the live nodes say.

        Nodes that live are asked again for a while: one may have no time to answer, and
        between two primaries there is none.

        Raises:
            RunError: no live node of the shard is a primary.
        """
        shard = self.shard(node_group_id)
        found: LocalNode | None = None

        async def looked() -> bool:
            nonlocal found
            found = await self.find_primary(shard)
            return found is not None or not any(n.is_responsive for n in shard.nodes)

        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(until(looked), _PRIMARY_TIMEOUT_S)
        if found is None:
            raise RunError(f"node group {node_group_id} has no live primary now")
        return found

    async def find_primary(self, shard: LocalShard) -> LocalNode | None:
        """Return the live primary of a shard, or None."""
        nodes = list(shard.nodes)
        if not self.cluster_mode:
            return await first_claimant(nodes, source=self.source)
        return await greatest_claimant(nodes)

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._end()

    async def _start(self) -> None:
        self._server = await asyncio.to_thread(find_server, self._wanted_server)
        if self.tls and not self._server.has_tls:
            raise PreflightError(
                f"starting a TLS cluster with {self._server.path} "
                f"{self._server.version}: it was built without TLS; install one with "
                "it (apt-get install redis-server), or turn TLS off"
            )
        self._folder = make_cluster_folder()
        if not self._server.has_tls:
            self._certificates = None
        elif self._certificates is None or not self._certificates.ca.exists():
            self._certificates = write_certificates(self._folder)
        else:
            self._certificates = copy_certificates(self._certificates, self._folder)
        if not self.cluster_mode:
            self._ports = NodePorts(*free_ports(3))
        for index, owned in enumerate(even_slots(self._shard_count)):
            shard = LocalShard(f"{index + 1:04d}", [owned] if self.cluster_mode else [])
            self.shards.append(shard)
            for _ in range(1 + self._replicas_per_shard):
                shard.nodes.append(self.new_node(shard))
        await start_all(self.nodes)
        await (self._form() if self.cluster_mode else self._replicate())

    def new_node(
        self,
        shard: LocalShard,
        *,
        name: str | None = None,
        server: ServerBinary | None = None,
    ) -> LocalNode:
        """Make a node, not yet started; it ends with the cluster at the latest.

        Args:
            shard: what it will belong to; it is not added to ``shard.nodes``.
            name: its name; None takes the first that is free.
            server: its program; None takes that of the cluster.
        """
        taken = {node.name for node in self._processes}
        names = (
            f"{self.name}-{shard.node_group_id}-{number:03d}" for number in count(1)
        )
        server = server or self.server
        host = LOOPBACK
        if not self.cluster_mode:
            host = self._hosts.take({node.host for node in self._processes})
        node = LocalNode(
            name or next(each for each in names if each not in taken),
            folder=self.folder,
            server=server,
            settings=self._settings(server),
            has_tls_port=self.tls,
            has_plain_port=self.tls_mode != "required",
            password=self.password,
            host=host,
            ports=self._ports,
        )
        self._processes.append(node)
        return node

    async def retire(self, *nodes: LocalNode) -> None:
        """End nodes for good, and remove their folders."""
        for node in nodes:
            node.signal_kill()
        for node in nodes:
            await node.kill()
            shutil.rmtree(node.folder, ignore_errors=True)
            self._processes.remove(node)

    async def set_node_timeout(self, nodes: Sequence[LocalNode]) -> None:
        """Set the node timeout that was asked for: nodes start with a short one."""
        if self.cluster_mode and self._node_timeout_ms > _FAST_NODE_TIMEOUT_MS:
            wanted = {"cluster-node-timeout": str(self._node_timeout_ms)}
            for node in nodes:
                await node.configure(wanted)

    def _settings(self, server: ServerBinary) -> Settings:
        settings = base_settings(
            cluster_mode=self.cluster_mode,
            node_timeout_ms=min(self._node_timeout_ms, _FAST_NODE_TIMEOUT_MS),
        )
        settings |= access_settings(self.access)
        if self._certificates is not None and server.has_tls:
            # Also when TLS is off: it can then be turned on without a restart.
            settings |= certificate_settings(
                self._certificates, mutual_tls=self._mutual_tls
            )
        if self.tls:
            settings |= transport_settings(tls=True, cluster_mode=self.cluster_mode)
        return settings

    async def _form(self) -> None:
        await form_cluster(self.shards, timeout_s=_READY_TIMEOUT_S)
        await self.set_node_timeout(self.nodes)

    async def _replicate(self) -> None:
        primary, *replicas = self.nodes
        for replica in replicas:
            await self.follow(replica, primary)
        async with asyncio.timeout(_READY_TIMEOUT_S):
            for replica in replicas:
                await until(lambda node=replica: in_sync(node))  # type: ignore[misc]

    async def follow(self, replica: LocalNode, primary: LocalNode) -> None:
        """Make a node replicate another one, now and later (no cluster mode)."""
        port = primary.ports.tls if self.tls else primary.ports.plain
        replica.settings["replicaof"] = (primary.host, str(port))
        if replica.is_alive:
            await replica.command("REPLICAOF", primary.host, port)

    async def _end(self) -> None:
        for node in self._processes:
            node.signal_kill()  # all at once, before anything can be cancelled
        try:
            for node in self._processes:
                await node.kill()
        finally:
            self.shards.clear()
            self._processes.clear()
            if self._folder is not None:
                shutil.rmtree(self._folder, ignore_errors=True)


def _started(value: _T | None) -> _T:
    if value is None:
        raise UsageError("the local cluster is not started: use it in `async with`")
    return value
