"""What was seen of the cluster itself: its shards, its nodes, its endpoint. Pure."""

from loadprobe.core.events.fact import Fact


class _OfShard(Fact, frozen=True):
    """Something about a shard is not as it was; the kinds follow.

    Args:
        shard: name of the shard.
        detail: what changed, for people.
    """

    shard: str
    detail: str


class RoleChanged(_OfShard, frozen=True, tag="topology/role_change"):
    """Another node is primary."""


class NodeAdded(_OfShard, frozen=True, tag="topology/node_added"):
    """A node joined a shard."""


class NodeRemoved(_OfShard, frozen=True, tag="topology/node_removed"):
    """A node left a shard."""


class ShardAdded(_OfShard, frozen=True, omit_defaults=True, tag="topology/shard_added"):
    """A shard is new.

    Args:
        gained: its slots; left out of the line if there are none.
    """

    gained: int = 0


class ShardRemoved(_OfShard, frozen=True, tag="topology/shard_removed"):
    """A shard is gone."""


class SlotsMoved(_OfShard, frozen=True, omit_defaults=True, tag="topology/slots_moved"):
    """A shard has other slots than before.

    Args:
        gained: slots that it did not have before; left out of the line if there are
            none.
    """

    gained: int = 0


TopologyChange = (
    RoleChanged | NodeAdded | NodeRemoved | ShardAdded | ShardRemoved | SlotsMoved
)
"""What is different between two topologies."""


class NodeStateSeen(Fact, frozen=True, tag="topology/cluster_state"):
    """A node says something else of the state of the cluster.

    Args:
        node: its address.
        state: "ok", "fail", or "silent" if it does not answer.
        reason: why it does not answer, else "".
    """

    node: str
    state: str
    reason: str


class EpochRaised(Fact, frozen=True, tag="topology/epoch"):
    """The configuration epoch of the cluster rose.

    Args:
        epoch: as it is now.
        previous: as it was.
    """

    epoch: int
    previous: int


class EndpointMoved(Fact, frozen=True, tag="topology/endpoint_moved"):
    """The name of the endpoint points elsewhere.

    Args:
        host: the name.
        from_addresses: where it pointed, separated by commas.
        to_addresses: where it points, separated by commas.
        gap_ms: since when it was not looked at: it moved within that time.
    """

    host: str
    from_addresses: str
    to_addresses: str
    gap_ms: float


class EndpointLost(Fact, frozen=True, tag="topology/endpoint_lost"):
    """The name of the endpoint cannot be resolved any more.

    Args:
        host: the name.
        reason: why not.
    """

    host: str
    reason: str
