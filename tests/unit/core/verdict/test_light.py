"""What others saw of a shard narrows its darkness, never that of a lane."""

from dataclasses import replace

import pytest

from loadprobe.core.judging.cells import BlindSpan
from loadprobe.core.judging.outages import Outage
from loadprobe.core.judging.outcome import OpKind
from loadprobe.core.verdict.beside import LaneFacts
from loadprobe.core.verdict.incidents import DarkTime, dark_time, downtime
from loadprobe.core.verdict.light import add_light
from tests.support.outages import MS, outage

SHARDS = ("0001", "0002")
BLIND = BlindSpan("tcp", 1_500 * MS, 4_000 * MS)


def lane(
    name: str, *blind: BlindSpan, tls: bool = False, app: bool = False
) -> LaneFacts:
    """Return a lane that was observed for nine seconds."""
    return LaneFacts(name, tls, not app, SHARDS, 0, 9_000 * MS, blind)


def half_seen(lane: str = "tcp", start: int = 1_000) -> Outage:
    """Return an outage that was seen until 1.5 s and not from then until 4 s."""
    return replace(
        outage(start, 2_750, lane=lane),
        core_end_ns=1_499 * MS,
        last_due_ns=1_499 * MS,
        hull_end_ns=4_001 * MS,
        unseen=((1_500 * MS, 4_000 * MS),),
    )


def shard_time(*outages: Outage, lanes: list[LaneFacts]) -> DarkTime:
    """Return how long shard 0001 was dark as all lanes know it."""
    lit = add_light(outages, lanes, outages)
    return downtime(lit, SHARDS, of_shards=True).shards["0001"]


def test_a_lane_that_looked_narrows_the_shard() -> None:
    """The shard was dark until the other lane was served, whatever one did not see."""
    other = outage(1_000, 2_400, lane="tcp2")
    lanes = [lane("tcp", BLIND), lane("tcp2")]
    found = shard_time(half_seen(), other, lanes=lanes)
    assert (found.lower_ns, found.upper_ns) == (1_398 * MS, 1_402 * MS)
    assert found.estimate_ns == pytest.approx(1_400 * MS, abs=MS)
    assert found.unseen_ns == 2 * MS, "the bars of the other lane's end"
    own = dark_time([half_seen()])
    assert dark_time(add_light([half_seen()], lanes, [])) == own, "never the lane's own"
    assert (own.lower_ns, own.upper_ns, own.unseen_ns) == (
        498 * MS,
        3_002 * MS,
        2_500 * MS,
    )


def test_a_lane_that_was_never_dark_narrows_most() -> None:
    """If the other lane was served all through, only what was proven was dark."""
    found = shard_time(half_seen(), lanes=[lane("tcp", BLIND), lane("tcp2")])
    assert (found.lower_ns, found.upper_ns) == (498 * MS, 498 * MS)
    assert found.unseen_ns == 0


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(lane("tls", tls=True), id="the other transport"),
        pytest.param(lane("app", app=True), id="a client library"),
        pytest.param(
            lane("tcp2", BlindSpan("tcp2", BLIND.start_ns, BLIND.end_ns)),
            id="blind as well",
        ),
        pytest.param(replace(lane("tcp2"), shards=("0002",)), id="another shard"),
        pytest.param(replace(lane("tcp2"), begin_ns=4_001 * MS), id="began later"),
    ],
)
def test_who_knows_nothing_of_it_narrows_nothing(other: LaneFacts) -> None:
    """Only a witness that looked at the same thing tells that it was lit."""
    found = shard_time(half_seen(), lanes=[lane("tcp", BLIND), other])
    assert found.lower_ns == 498 * MS
    # The bars at either edge are another lane's to narrow even if it was blind then.
    assert 2_998 * MS <= found.upper_ns <= 3_002 * MS
    assert found.unseen_ns == 2_500 * MS


def test_reads_tell_nothing_of_writes() -> None:
    """A scope is narrowed by the same op kind of another lane alone."""
    lanes = [lane("tcp", BLIND), lane("tcp2")]
    writes = replace(half_seen(), scope=half_seen().scope._replace(op=OpKind.WRITE))
    dark_writes = outage(1_000, 3_900, lane="tcp2", op=OpKind.WRITE)
    found = shard_time(writes, dark_writes, lanes=lanes)
    assert (found.lower_ns, found.upper_ns) == (2_898 * MS, 2_902 * MS)


def test_all_shards_at_once_is_narrowed_too() -> None:
    """What one shard did not share with the others is no time of all."""
    lanes = [lane("tcp", BLIND), lane("tcp2")]
    second = outage(1_000, 3_000, shard="0002")
    rows = add_light([half_seen(), second], lanes, [half_seen(), second])
    plain = downtime(rows, SHARDS).all_shards
    narrow = downtime(rows, SHARDS, of_shards=True).all_shards
    assert (plain.lower_ns, plain.upper_ns) == (498 * MS, 2_002 * MS)
    assert (narrow.lower_ns, narrow.upper_ns) == (498 * MS, 498 * MS)
