"""The names of a group without cluster mode, and where they point: primary and reader.

As on AWS, the primary's name is moved after a replica was promoted: ``delay_s`` later,
and an answer that somebody has is good for its TTL. The reader's name points to all
replicas in sync, or to the primary if there is none. Every node has a name, too.
"""

from collections.abc import Sequence

from loadprobe.clock import NS_PER_S, mono_now_ns
from loadprobe.local.cluster.admin import ServerGone, ServerRefused
from loadprobe.local.cluster.cluster import LocalCluster
from loadprobe.local.cluster.formation import in_sync
from loadprobe.local.cluster.node import LocalNode

ZONE = "loadprobe.test"


class LocalEndpoints:
    """Follows the roles of one group's nodes.

    Args:
        group_id: the group; its id is in the names.
        cluster: its servers.
        delay_s: how much later than a promotion the names move, in seconds.
    """

    def __init__(self, group_id: str, cluster: LocalCluster, *, delay_s: float) -> None:
        self.primary = f"{group_id}.{ZONE}"
        self.reader = f"{group_id}-ro.{ZONE}"
        self._cluster = cluster
        self._delay_ns = int(delay_s * NS_PER_S)
        self._pointing: dict[str, tuple[str, ...]] = {}
        self._wanted: dict[str, tuple[int, tuple[str, ...]]] = {}
        self._turn = 0

    @staticmethod
    def of_node(node: LocalNode) -> str:
        """Return the name of a node."""
        return f"{node.name}.{ZONE}"

    def addresses(self, name: str) -> Sequence[str] | None:
        """Return where a name points now, in changing order; None: no such name."""
        if name in (self.primary, self.reader):
            hosts = [node.host for node in self._cluster.nodes[:1]]
            found = self._pointing.get(name) or tuple(hosts)
            if not found:
                return None  # no node is up yet
            self._turn += 1
            first = self._turn % len(found)
            return (*found[first:], *found[:first])
        for node in self._cluster.nodes:
            if name == self.of_node(node):
                return (node.host,)
        return None

    def point_to(self, node: LocalNode) -> bool:
        """Tell whether the primary's or the reader's name points to a node now."""
        return any(node.host in hosts for hosts in self._pointing.values())

    async def look(self) -> None:
        """Look at the roles, and move what is to be moved."""
        if not self._cluster.nodes:
            return
        (shard,) = self._cluster.shards
        primary = await self._cluster.find_primary(shard)
        if primary is None:
            return  # names stay where they are while nobody is primary
        replicas = [
            node.host
            for node in list(shard.nodes)
            if node is not primary and await _is_reader(node)
        ]
        self._want(self.primary, (primary.host,))
        self._want(self.reader, tuple(replicas) or (primary.host,))

    def _want(self, name: str, hosts: tuple[str, ...]) -> None:
        """Let a name point to hosts, once it has been so for the delay."""
        now_ns = mono_now_ns()
        if name not in self._pointing:
            self._pointing[name] = hosts  # a new group is not late
        since_ns, wanted = self._wanted.get(name, (now_ns, ()))
        if set(wanted) != set(hosts):
            since_ns = now_ns
            self._wanted[name] = (now_ns, hosts)
        if now_ns - since_ns >= self._delay_ns:
            self._pointing[name] = hosts


async def _is_reader(node: LocalNode) -> bool:
    if not node.is_responsive:
        return False
    try:
        return await in_sync(node)
    except (ServerGone, ServerRefused):
        return False
