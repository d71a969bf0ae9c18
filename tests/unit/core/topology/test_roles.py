"""Who is the primary without cluster mode: rules, and what nodes tell."""

from collections.abc import Mapping

import pytest

from loadprobe.core.topology.roles import (
    Address,
    RoleView,
    parse_replication,
    tell_group,
)
from loadprobe.core.topology.topology import Topology

A, B, C = ("10.0.0.1", 6379), ("10.0.0.2", 6379), ("10.0.0.3", 6379)
PRIMARY = RoleView(is_primary=True)
REPLICA = RoleView(is_primary=False, is_linked=True)
CUT_OFF = RoleView(is_primary=False)


def primary_of(topology: Topology | None) -> Address:
    """Return the address of the primary."""
    assert topology is not None
    (shard,) = topology.shards
    return shard.primary.host, shard.primary.port


def replicas_of(topology: Topology | None) -> list[Address]:
    """Return the addresses of the replicas."""
    assert topology is not None
    return [(node.host, node.port) for node in topology.shards[0].replicas]


GROUP = tell_group({A: PRIMARY, B: REPLICA, C: REPLICA}, None, (A,))


def test_a_group_is_one_shard_with_all_slots() -> None:
    """The topology is that of a cluster with one shard."""
    assert GROUP is not None
    (shard,) = GROUP.shards
    assert (shard.name, shard.ranges) == ("0001", ((0, 16383),))
    assert primary_of(GROUP) == A
    assert replicas_of(GROUP) == [B, C]


@pytest.mark.parametrize(
    ("views", "moved_to", "primary"),
    [
        # The old one is gone; one of the others says that it was promoted.
        ({B: PRIMARY, C: REPLICA}, (), B),
        # Nobody has taken over yet: it stays who it was.
        ({B: CUT_OFF, C: CUT_OFF}, (), A),
        ({}, (), A),
        # The endpoint has moved, but its node is still a replica.
        ({B: CUT_OFF, C: CUT_OFF}, (B,), A),
        # Nobody tells anything, and the endpoint has moved.
        ({}, (B,), B),
        # Two at once: the old one was cut off, or the other is nobody's replica yet.
        ({A: PRIMARY, B: PRIMARY}, (), A),
        ({A: PRIMARY, B: PRIMARY}, (B,), B),
        # The endpoint has moved to one that is not there.
        ({A: PRIMARY, B: REPLICA}, (C,), A),
    ],
)
def test_who_is_the_primary(
    views: Mapping[Address, RoleView], moved_to: tuple[Address, ...], primary: Address
) -> None:
    """Roles are believed; the endpoint decides where they do not."""
    assert primary_of(tell_group(views, GROUP, moved_to)) == primary


def test_a_promotion_is_a_later_epoch() -> None:
    """Two views can be told apart by which is the newer."""
    assert GROUP is not None
    promoted = tell_group({B: PRIMARY}, GROUP, ())
    assert promoted is not None
    assert promoted.shards[0].epoch == GROUP.shards[0].epoch + 1
    same = tell_group({B: PRIMARY, C: REPLICA}, promoted, ())
    assert same is not None
    assert same.shards[0].epoch == promoted.shards[0].epoch


def test_replicas_are_kept_while_the_primary_is_silent() -> None:
    """Without a primary none is in step, and one of them is about to take over."""
    assert replicas_of(tell_group({B: CUT_OFF, C: CUT_OFF}, GROUP, ())) == [B, C]
    assert replicas_of(tell_group({}, GROUP, ())) == [B, C]
    assert replicas_of(tell_group({A: PRIMARY, B: CUT_OFF}, GROUP, ())) == []


def test_replicas_that_are_not_in_step_do_not_count() -> None:
    """Neither by its own word nor by that of the primary: it is none for now."""
    told = RoleView(is_primary=True, replicas=(C,))
    group = tell_group({A: told, B: CUT_OFF, C: CUT_OFF}, GROUP, ())
    assert replicas_of(group) == [C]


def test_the_endpoint_is_the_primary_if_nobody_tells() -> None:
    """A server that does not tell its role is taken for what it is used as."""
    assert primary_of(tell_group({}, None, (B,))) == B
    assert tell_group({}, None, ()) is None


def test_all_transports_have_one_name() -> None:
    """Shards of two transports, whose ports differ, have a member in common."""
    tls = tell_group({("10.0.0.1", 6380): PRIMARY}, None, (("10.0.0.1", 6380),))
    assert GROUP is not None
    assert tls is not None
    assert GROUP.shards[0].members & tls.shards[0].members


def test_a_primary_tells_its_replicas_in_step() -> None:
    """Nodes with addresses of their own have the port that was asked."""
    text = (
        b"# Replication\r\nrole:master\r\nconnected_slaves:3\r\n"
        b"slave0:ip=10.0.0.2,port=6380,state=online,offset=14,lag=0\r\n"
        b"slave1:ip=10.0.0.3,port=6380,state=wait_bgsave,offset=0,lag=0\r\n"
        b"slave2:ip=10.0.0.1,port=7001,state=online,offset=14,lag=0\r\n"
    )
    view = parse_replication(text, A)
    assert view == RoleView(is_primary=True, replicas=(B, ("10.0.0.1", 7001)))


@pytest.mark.parametrize(
    ("link", "since", "is_linked", "is_unsynced"),
    [("up", None, True, False), ("down", 3, False, False), ("down", -1, False, True)],
)
def test_a_replica_tells_whether_it_is_in_step(
    link: str, since: int | None, *, is_linked: bool, is_unsynced: bool
) -> None:
    """One that never had a link since its start answers from what it has by chance."""
    lines = [
        "role:slave",
        "master_host:10.0.0.1",
        "master_port:6380",
        f"master_link_status:{link}",
    ]
    if since is not None:
        lines.append(f"master_link_down_since_seconds:{since}")
    view = parse_replication("\r\n".join(lines).encode(), B)
    assert view == RoleView(
        is_primary=False, is_linked=is_linked, is_unsynced=is_unsynced, primary=A
    )


def test_an_unknown_role_is_refused() -> None:
    """What tells no role is no view."""
    with pytest.raises(ValueError, match="role 'sentinel'"):
        parse_replication(b"role:sentinel\r\n", A)
