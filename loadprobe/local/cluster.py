"""A real local cluster: server processes on loopback that really replicate and fail.

Nothing outlives the ``async with`` block: processes are killed and the folder is
removed on every way out; after a SIGKILL of this process the kernel kills the
servers, and the next cluster started removes the folder.
"""

import asyncio
import shutil
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from loadprobe.errors import PreflightError, RunError, UsageError
from loadprobe.local.admin import ServerGone, ServerRefused
from loadprobe.local.certificates import CertificateSet, write_certificates
from loadprobe.local.folders import make_cluster_folder
from loadprobe.local.formation import form_cluster, in_sync, until
from loadprobe.local.layout import LocalShard, even_slots, parse_nodes
from loadprobe.local.node import LocalNode, Setting
from loadprobe.local.servers import ServerBinary, find_server

_T = TypeVar("_T")
_FAST_NODE_TIMEOUT_MS = 1_000
_READY_TIMEOUT_S = 20.0
_ASK_TIMEOUT_S = 0.5
# As ElastiCache documents its defaults; stock servers cover fully by default.
_CLUSTER_SETTINGS: dict[str, Setting] = {
    "cluster-enabled": "yes",
    "cluster-require-full-coverage": "no",
    "cluster-allow-reads-when-down": "no",
    "cluster-allow-replica-migration": "no",
}
_COMMON_SETTINGS: dict[str, Setting] = {
    "save": "",
    "appendonly": "no",
    "repl-diskless-sync-delay": "0",
    # CLUSTER SLOTS leaves out replicas with offset 0; a ping makes it move.
    "repl-ping-replica-period": "1",
    "enable-debug-command": "yes",
}


class LocalCluster:
    """Start a cluster on entering, end it on leaving.

    With ``tls`` every node serves plaintext and TLS at the same time, on two ports,
    and CLUSTER SLOTS tells each asker the ports of its own kind.

    Args:
        shards: node groups; 1 when ``cluster_mode`` is off.
        replicas_per_shard: replicas beside each primary.
        tls: serve TLS beside plaintext.
        password: requirepass of every node.
        server: the program; None searches one (see ``find_server``).
        node_timeout_ms: cluster-node-timeout; failure detection follows it.
        cluster_mode: False makes one standalone primary with replicas.
        mutual_tls: servers demand client certificates.
        name: prefix of node names ("local" -> "local-0001-001").

    Raises:
        PreflightError: on entering: no server, or TLS wanted and the server has none.
        RunError: on entering: a server or the cluster did not come up.
    """

    host = LocalNode.host

    def __init__(
        self,
        *,
        shards: int = 3,
        replicas_per_shard: int = 1,
        tls: bool = True,
        password: str | None = None,
        server: str | Path | None = None,
        node_timeout_ms: int = 1_000,
        cluster_mode: bool = True,
        mutual_tls: bool = False,
        name: str = "local",
    ) -> None:
        if shards < 1 or (shards > 1 and not cluster_mode):
            raise UsageError(
                f"a local cluster of {shards} shards with cluster_mode={cluster_mode}: "
                "expected at least 1, and exactly 1 with cluster mode off"
            )
        self.name = name
        self.cluster_mode = cluster_mode
        self.tls = tls
        self.password = password
        self.shards: list[LocalShard] = []
        self._shard_count = shards
        self._replicas_per_shard = replicas_per_shard
        self._wanted_server = server
        self._node_timeout_ms = node_timeout_ms
        self._mutual_tls = mutual_tls
        self._server: ServerBinary | None = None
        self._folder: Path | None = None
        self._certificates: CertificateSet | None = None

    @property
    def server(self) -> ServerBinary:
        """The program in use."""
        return _started(self._server)

    @property
    def folder(self) -> Path:
        """The temporary folder of certificates, configuration and logs."""
        return _started(self._folder)

    @property
    def nodes(self) -> list[LocalNode]:
        """All nodes, by shard."""
        return [node for shard in self.shards for node in shard.nodes]

    @property
    def endpoint(self) -> LocalNode:
        """A node that is up now: what a configuration endpoint would resolve to."""
        return next((node for node in self.nodes if node.is_responsive), self.nodes[0])

    @property
    def port(self) -> int:
        """The endpoint's plaintext port."""
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
        """What clients have to trust, if TLS is on."""
        return self._certificates.ca if self.tls and self._certificates else None

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

        Raises:
            RunError: no live node of the shard is a primary now.
        """
        found = await self.find_primary(self.shard(node_group_id))
        if found is None:
            raise RunError(f"node group {node_group_id} has no live primary now")
        return found

    async def find_primary(self, shard: LocalShard) -> LocalNode | None:
        """Return the live primary of a shard, or None.

        A primary that comes back after a failover still claims its slots for a
        moment: of several claims the greatest configuration epoch wins.
        """
        claims = [(await self._claim(node), node) for node in shard.nodes]
        best, node = max(claims, key=lambda claim: claim[0])
        return node if best >= 0 else None

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
        if self._server.has_tls:
            self._certificates = write_certificates(self._folder)
        settings = self._settings()
        ranges = even_slots(self._shard_count)
        for index, owned in enumerate(ranges):
            shard = LocalShard(f"{index + 1:04d}", [owned] if self.cluster_mode else [])
            self.shards.append(shard)
            for member in range(1 + self._replicas_per_shard):
                shard.nodes.append(self._new_node(shard, member + 1, settings))
        try:
            async with asyncio.TaskGroup() as starting:
                for node in self.nodes:
                    starting.create_task(node.start())
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from failed
        await (self._form() if self.cluster_mode else self._replicate())

    def _new_node(
        self, shard: LocalShard, number: int, settings: dict[str, Setting]
    ) -> LocalNode:
        return LocalNode(
            f"{self.name}-{shard.node_group_id}-{number:03d}",
            folder=self.folder,
            server=self.server,
            settings=settings,
            has_tls_port=self.tls,
            password=self.password,
        )

    def _settings(self) -> dict[str, Setting]:
        settings = dict(_COMMON_SETTINGS)
        if self.cluster_mode:
            first = min(self._node_timeout_ms, _FAST_NODE_TIMEOUT_MS)
            settings |= _CLUSTER_SETTINGS | {"cluster-node-timeout": str(first)}
        if self.password is not None:
            settings |= {"requirepass": self.password, "masterauth": self.password}
        if self._certificates is not None:
            # Also when TLS is off: it can then be turned on without a restart.
            settings |= {
                "tls-ca-cert-file": str(self._certificates.ca),
                "tls-cert-file": str(self._certificates.server.certificate),
                "tls-key-file": str(self._certificates.server.key),
                "tls-auth-clients": "yes" if self._mutual_tls else "no",
            }
        if self.tls:
            settings |= {"tls-replication": "yes"}
            if self.cluster_mode:
                settings |= {"tls-cluster": "yes"}
        return settings

    async def _form(self) -> None:
        await form_cluster(self.shards, timeout_s=_READY_TIMEOUT_S)
        if self._node_timeout_ms > _FAST_NODE_TIMEOUT_MS:
            wanted = {"cluster-node-timeout": str(self._node_timeout_ms)}
            for node in self.nodes:
                await node.configure(wanted)

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

    async def _claim(self, node: LocalNode) -> int:
        """Return the epoch with which a node claims to be a primary, or -1."""
        if not node.is_responsive:
            return -1
        try:
            if not self.cluster_mode:
                role = await node.command("ROLE", timeout_s=_ASK_TIMEOUT_S)
                return 0 if role[0] == "master" else -1
            text = await node.command("CLUSTER", "NODES", timeout_s=_ASK_TIMEOUT_S)
        except (ServerGone, ServerRefused):
            return -1
        mine = next(line for line in parse_nodes(text) if "myself" in line.flags)
        return mine.config_epoch if "master" in mine.flags and mine.slots else -1

    async def _end(self) -> None:
        for node in self.nodes:
            node.signal_kill()  # all at once, before anything can be cancelled
        try:
            for node in self.nodes:
                await node.kill()
        finally:
            self.shards.clear()
            if self._folder is not None:
                shutil.rmtree(self._folder, ignore_errors=True)


def _started(value: _T | None) -> _T:
    if value is None:
        raise UsageError("the local cluster is not started: use it in `async with`")
    return value
