"""What could not be reached is not the cluster's doing: by events, span by span."""

import pytest

from loadprobe.clock import NEVER_NS
from loadprobe.core.events import (
    Event,
    NodeForwarded,
    NodeReached,
    NodeUnreached,
    RunContinued,
    TunnelAnswered,
    TunnelBroken,
    TunnelOpened,
    TunnelStalled,
)
from loadprobe.core.verdict.attribution import Attribution, Cause, attribute
from loadprobe.core.verdict.beside import Blocked, LaneFacts, make_context
from loadprobe.core.verdict.blocked_log import BlockedLog
from tests.support.outages import MS, outage

LANE = LaneFacts(
    "tcp",
    tls=False,
    is_witness=True,
    shards=("0001", "0002"),
    begin_ns=0,
    end_ns=9_000 * MS,
)
BROKEN = TunnelBroken(1_200 * MS, "bastion", "it was killed", silent_ms=300.0)
OPENED = TunnelOpened(2_000 * MS, "bastion", broken_ms=800.0)


def spans(*events: Event) -> list[tuple[int, int, str | None, str]]:
    """Return what was blocked: begin and end in ms, the shard and the cause."""
    log = BlockedLog()
    for event in events:
        log.take_event(event)
    return [
        (
            b.start_ns // MS,
            b.end_ns if b.end_ns == NEVER_NS else b.end_ns // MS,
            b.shard,
            b.cause,
        )
        for b in log.spans
    ]


def test_a_tunnel_is_broken_since_a_node_answered_last() -> None:
    """One that hangs is noticed late: it may be broken since the last answer."""
    assert spans(BROKEN) == [(900, NEVER_NS, None, "transport")]
    assert spans(BROKEN, OPENED) == [(900, 2000, None, "transport")]


def test_a_tunnel_that_stalls_blocks_until_it_answers() -> None:
    """The echo of its other end says so; one that then breaks is blocked to the end."""
    stalled = TunnelStalled(1_000 * MS, "bastion", silent_ms=200.0)
    answered = TunnelAnswered(1_700 * MS, "bastion", stalled_ms=900.0)
    assert spans(stalled) == [(800, NEVER_NS, None, "transport")]
    assert spans(stalled, answered) == [(800, 1700, None, "transport")]
    assert spans(stalled, BROKEN, OPENED) == [
        (900, 2000, None, "transport"),
        (800, 2000, None, "transport"),
    ]


def test_a_node_blocks_its_shard_while_it_is_primary() -> None:
    """A replica that cannot be reached costs nothing; a primary does, until mended."""
    replica = NodeUnreached(1_000 * MS, "a:1", "", "no entry", 0.0)
    primary = NodeUnreached(1_500 * MS, "a:1", "0001", "no entry", 500.0)
    reached = NodeReached(3_000 * MS, "a:1", is_gone=False)
    assert spans(replica, reached) == []
    assert spans(replica, primary, reached) == [(1000, 3000, "0001", "path")]
    assert spans(primary) == [(1000, NEVER_NS, "0001", "path")]


def test_a_forward_that_came_late_blocks_what_waited_for_it() -> None:
    """Only a primary's is waited for by arrivals."""
    late = NodeForwarded(1_000 * MS, "a:1", "0001", 5000, 250.0)
    assert spans(late) == [(750, 1000, "0001", "transport")]
    assert spans(NodeForwarded(1_000 * MS, "a:1", "", 5000, 250.0)) == []


def test_what_was_blocked_is_known_until_a_process_is_gone() -> None:
    """The one that goes on tells anew what still is, and not what no longer is."""
    unreached = NodeUnreached(1_500 * MS, "a:1", "0001", "no entry", 500.0)
    continued = RunContinued(
        9_000 * MS,
        segment=2,
        blind_ms=4_000.0,
        was_killed=True,
        is_other_boot=False,
        wall_step_ms=0.0,
    )
    again = NodeUnreached(8_500 * MS, "a:2", "0002", "no entry", 100.0)
    assert spans(BROKEN, unreached, continued) == [
        (900, 5000, None, "transport"),
        (1000, 5000, "0001", "path"),
    ]
    assert spans(BROKEN, again, continued) == [
        (900, 5000, None, "transport"),
        (8400, NEVER_NS, "0002", "path"),
    ]


@pytest.mark.parametrize(
    ("blocked", "cause"),
    [
        pytest.param((900, 2_000, None), Cause.TRANSPORT, id="all of it"),
        pytest.param((900, 1_600, None), Cause.TRANSPORT, id="most of it"),
        pytest.param((900, 1_400, None), Cause.SHARD, id="less than half"),
        pytest.param((2_100, 3_000, None), Cause.SHARD, id="afterwards"),
        pytest.param((900, 2_000, "0001"), Cause.TRANSPORT, id="this shard"),
        pytest.param((900, 2_000, "0002"), Cause.SHARD, id="another shard"),
    ],
)
def test_what_could_not_be_reached_is_not_blamed_on_the_shard(
    blocked: tuple[int, int, str | None], cause: Cause
) -> None:
    """Resets and refusals look like a server's end; what is known of the way counts."""
    start_ms, end_ms, shard = blocked
    span = Blocked(start_ms * MS, end_ms * MS, "transport", "it broke", shard)
    dark = outage(1000, 2000)
    context = make_context([LANE], [dark], blocked=[span])
    found = attribute(dark, context)
    assert found.cause is cause
    assert (found.evidence == "it broke") == (cause is Cause.TRANSPORT)


def test_a_node_that_nothing_leads_to_is_the_path() -> None:
    """It serves, and cannot be asked from here."""
    span = Blocked(900 * MS, 2_000 * MS, "path", "no entry", "0001")
    dark = outage(1000, 2000)
    found = attribute(dark, make_context([LANE], [dark], blocked=[span]))
    assert found == Attribution(Cause.PATH, "no entry")
