"""What servers tell of their work, as they write it."""

from dataclasses import dataclass, field
from typing import cast

import pytest

from loadprobe.control.watch.node_views import NodeSilent, parse_load, read_info
from loadprobe.control.watch.server_load import ServerLoadWatch
from loadprobe.control.watch.topology import TopologyWatch
from loadprobe.core.load.occupancy import ServerLoad
from loadprobe.core.topology.topology import Node, Shard, Topology

ONE_SHARD = Topology((Shard("0001", ((0, 16383),), Node("n", "h", 1), (), 1),))
CLIENTS = b"# Clients\r\nconnected_clients:7\r\n"
STATS = b"# Stats\r\ntotal_commands_processed:90\r\ninstantaneous_ops_per_sec:12\r\n"


def test_connections_and_operations() -> None:
    """Both are told; the number of connections it takes only by newer servers."""
    newer = CLIENTS + b"maxclients:10000\r\n" + STATS
    assert parse_load(read_info(newer)) == ServerLoad(7, 10_000, 12)
    assert parse_load(read_info(CLIENTS + STATS)) == ServerLoad(7, None, 12)


@pytest.mark.parametrize("text", [b"", CLIENTS, STATS, CLIENTS.replace(b"7", b"x")])
def test_what_does_not_tell(text: bytes) -> None:
    """A node that leaves something out, or tells no number, tells nothing."""
    with pytest.raises(NodeSilent, match="do not tell"):
        parse_load(read_info(text))


@dataclass(slots=True)
class Cluster:
    """Knows its primaries, and is each of them.

    Args:
        current: the topology.
        loads: what the primaries tell, in turn; None is nothing.
        opened: addresses that were connected to.
        closed: how many connections were closed.
    """

    current: Topology | None
    loads: list[ServerLoad | None]
    opened: list[tuple[str, int]] = field(default_factory=list)
    closed: int = 0

    def open_node(self, host: str, port: int) -> "Cluster":
        """Return a client."""
        self.opened.append((host, port))
        return self

    async def server_load(self) -> ServerLoad:
        """Tell the next one."""
        told = self.loads.pop(0)
        if told is None:
            raise NodeSilent("NOPERM")
        return told

    async def close(self) -> None:
        """Count it."""
        self.closed += 1


async def test_connections_are_kept_and_silence_is_said() -> None:
    """One connection is used again and again; a silent node gets a new one."""
    told = ServerLoad(7, 100, 12)
    cluster = Cluster(ONE_SHARD, [told, told, None, told])
    taken: list[tuple[str, ServerLoad]] = []
    wanted = [False]
    watch = ServerLoadWatch(
        cast("TopologyWatch", cluster),
        lambda shard, load: taken.append((shard, load)),
        is_wanted=lambda: wanted[-1],
    )
    await watch.look()
    assert (cluster.opened, watch.problem) == ([], None)
    wanted.append(True)
    await watch.look()
    await watch.look()
    assert taken == [("0001", told)] * 2
    assert (len(cluster.opened), cluster.closed, watch.problem) == (1, 0, None)
    await watch.look()
    assert cluster.closed == 1
    assert str(watch.problem).startswith("the primary of shard 0001 does not tell")
    await watch.look()
    assert (len(cluster.opened), watch.problem) == (2, None)
    wanted.append(False)
    await watch.look()
    assert cluster.closed == 2
