"""Keys that no change of a cluster may lose, and clients that may notice nothing."""

from loadprobe.local.cluster.cluster import LocalCluster
from loadprobe.local.cluster.node import LocalNode
from tests.support.prober import Prober

KEYS = 400


async def fill(cluster: LocalCluster) -> None:
    """Set keys that nobody changes afterwards."""
    owners = await primaries(cluster)
    for number in range(KEYS):
        for node in owners:
            (reply,) = await node.pipeline([("SET", f"kept:{number}", f"v{number}")])
            if reply == "OK":
                break


async def kept(cluster: LocalCluster) -> int:
    """Return how many of those keys have their value, each on one primary."""
    found = 0
    for node in await primaries(cluster):
        replies = await node.pipeline([("GET", f"kept:{n}") for n in range(KEYS)])
        found += sum(reply == f"v{n}" for n, reply in enumerate(replies))
    return found


async def primaries(cluster: LocalCluster) -> list[LocalNode]:
    """Return the primary of every shard."""
    return [await cluster.primary_of(shard.node_group_id) for shard in cluster.shards]


def check_untouched(prober: Prober) -> None:
    """Check that clients of this transport had no failed operation."""
    assert prober.failures == {}
    assert prober.served > 0
