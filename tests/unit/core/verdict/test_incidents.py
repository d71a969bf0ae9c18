"""Incidents and downtime: unions and intersections, never sums."""

from loadprobe.core.judging.cells import BlindSpan
from loadprobe.core.judging.columns import Scope
from loadprobe.core.judging.outcome import OpKind
from loadprobe.core.verdict.incidents import (
    DarkTime,
    dark_time,
    downtime,
    group_incidents,
)
from tests.support.outages import MS, outage


def dark(lower: int, estimate: int, upper: int) -> DarkTime:
    """Return a dark time given in ms."""
    return DarkTime(lower * MS, estimate * MS, upper * MS)


def test_dark_time_is_a_union() -> None:
    """Reads and writes that fail together are one downtime."""
    rows = [outage(100, 200), outage(150, 260, op=OpKind.WRITE)]
    assert dark_time(rows) == dark(158, 160, 162)
    assert dark_time([]) == DarkTime()


def test_downtime_over_shards() -> None:
    """Any shard is the union and all shards the intersection over the shards."""
    rows = [outage(100, 200), outage(150, 260, shard="0002")]
    both = downtime(rows, ["0001", "0002"])
    assert both.any_shard == dark(158, 160, 162)
    assert both.all_shards == dark(48, 50, 52)
    assert both.shards == {"0001": dark(98, 100, 102), "0002": dark(108, 110, 112)}


def test_a_shard_that_stayed_up() -> None:
    """With one shard up there was no time at which all shards were down."""
    three = downtime([outage(100, 200)], ["0001", "0002"])
    assert three.all_shards == DarkTime()
    assert three.shards["0002"] == DarkTime()
    assert downtime([], []).any_shard == DarkTime()


def test_neighbours_within_quiet_time_are_one_incident() -> None:
    """Outages less than the quiet time apart belong together, others do not."""
    rows = [outage(100, 200), outage(500, 600, shard="0002"), outage(1602, 1700)]
    first, second = group_incidents(rows, [], quiet_ns=1000 * MS)
    assert (first.number, second.number) == (1, 2)
    assert [o.start_ns // MS for o in first.outages] == [100, 500]
    assert (first.start_ns, first.end_ns) == (99 * MS, 601 * MS)
    assert first.scopes() == {
        Scope("tcp", "0001", OpKind.READ): dark(98, 100, 102),
        Scope("tcp", "0002", OpKind.READ): dark(98, 100, 102),
    }
    lanes = first.downtime({"tcp": ["0001", "0002"], "tls": ["0001"]})
    assert lanes["tcp"].any_shard == dark(196, 200, 204)
    assert lanes["tls"].any_shard == DarkTime()


def test_blind_time_is_an_incident_of_its_own() -> None:
    """A blind span far from any outage is an incident of the probe, not downtime."""
    span = BlindSpan("tcp", 9_000 * MS, 9_100 * MS)
    first, second = group_incidents([outage(100, 200)], [span], quiet_ns=1000 * MS)
    assert not first.is_probe_only
    assert second.is_probe_only
    assert second.blind == (span,)
    assert second.scopes() == {}


def test_a_long_outage_holds_its_incident_together() -> None:
    """The quiet time is counted from the latest end, not from the latest start."""
    rows = [outage(100, 5000), outage(200, 210, shard="0002"), outage(5500, 5600)]
    assert len(group_incidents(rows, [], quiet_ns=1000 * MS)) == 1


def test_planned_outages_are_apart() -> None:
    """What is planned is grouped by itself, and numbers go by time."""
    planned = [outage(150, 90_000), outage(150, 90_000, shard="0002")]
    rows = [outage(100, 200), outage(50_000, 50_100)]
    found = group_incidents(rows, [], quiet_ns=1000 * MS, planned=planned)
    assert [(i.number, i.is_planned, len(i.outages)) for i in found] == [
        (1, False, 1),
        (2, True, 2),
        (3, False, 1),
    ]
