"""Groups as the provider and the cluster show them, and what is planned for them."""

from typing import Any

import pytest

from loadprobe.clock import ClockPair
from loadprobe.control.mutations.mutation import Mutation
from loadprobe.control.provider.replies import (
    CacheCluster,
    Call,
    Endpoint,
    Group,
    NodeGroup,
    SlotRanges,
)
from loadprobe.control.provider.secret import Secret
from loadprobe.control.provider.state import ApiCall, GroupState, absent_group
from loadprobe.core.topology.topology import Node, Shard, Topology
from loadprobe.errors import ControlError

_CLOCKS = ClockPair(0, 0)
CALL = Call("DescribeReplicationGroups", _CLOCKS, _CLOCKS, "", None)
THREE = (((0, 5460),), ((5461, 10922),), ((10923, 16383),))
TOKEN = Secret("correct-horse-battery!&#$^<>-")


def state(
    *,
    slots: tuple[SlotRanges, ...] = THREE,
    replicas: tuple[int, ...] = (1, 1, 1),
    engine: str = "redis",
    version: str = "7.1.0",
    more: dict[str, Any] | None = None,
    **group: Any,
) -> GroupState:
    """Return a healthy group of three shards, other than said."""
    shards = {}
    for number, (ranges, count) in enumerate(zip(slots, replicas, strict=True), 1):
        name = f"{number:04d}"
        members = tuple(f"rg-{name}-{n + 1:03d}" for n in range(count + 1))
        shards[name] = NodeGroup(name, "available", ranges, members)
    plain: dict[str, Any] = {
        "id": "rg",
        "status": "available",
        "pending": {},
        "shards": shards,
        "endpoint": Endpoint("here", 6379),
        "tls_mode": "none",
        "call": CALL,
    }
    described = Group(**(plain | group))
    clusters = tuple(
        CacheCluster(member, "available", "cache.t4g.micro", engine, version)
        for member in described.members
    )
    return GroupState(described, clusters, **(more or {}))


def topology(*slots: SlotRanges, replicas: int = 1) -> Topology:
    """Return a topology with these shards."""
    return Topology(
        tuple(
            Shard(
                name=f"{number:04d}",
                ranges=ranges,
                primary=Node(f"p{number}", "h", number),
                replicas=tuple(Node(f"r{n}", "h", 9) for n in range(replicas)),
                epoch=number,
            )
            for number, ranges in enumerate(slots, 1)
        )
    )


def only(mutation: Mutation, of: GroupState | None = None) -> ApiCall:
    """Return the one call of a plan."""
    (call,) = mutation.plan(of or state())
    return call


def refused(mutation: Mutation, of: GroupState | None = None) -> str:
    """Return why a plan is refused."""
    with pytest.raises(ControlError) as caught:
        mutation.plan(of or state())
    return str(caught.value)


def absent() -> GroupState:
    """Return the state of a group that is not there."""
    return GroupState(absent_group("rg", CALL))
