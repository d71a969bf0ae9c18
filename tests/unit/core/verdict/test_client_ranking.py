"""Client lanes beside each other: one promise of the ranking per test."""

from dataclasses import replace

from loadprobe.core.judging.activity import Activity, Work
from loadprobe.core.judging.latency import P99Log
from loadprobe.core.judging.outages import Outage
from loadprobe.core.judging.outcome import Outcome
from loadprobe.core.verdict.client_document import ClientRates
from loadprobe.core.verdict.client_ranking import (
    Happening,
    compare_clients,
    find_happenings,
)
from loadprobe.core.verdict.client_words import client_sentences
from loadprobe.core.verdict.incidents import group_incidents
from loadprobe.core.verdict.phases import find_phases
from loadprobe.core.verdict.quantities import Bounds
from loadprobe.core.verdict.step_phases import LoadSeen
from tests.support.client_lanes import (
    CLOCK,
    LANES,
    QUICK,
    SHARDS,
    SLOW,
    WIRE,
    active,
    by_lane,
    compared,
    lane,
)
from tests.support.outages import outage
from tests.support.scenario_run import MS, S, step


def test_one_client_alone_is_not_compared() -> None:
    """There is nothing to rank."""
    happening = Happening("failover", 11 * S, 12 * S, (WIRE, SLOW))
    assert compare_clients([happening], LANES[:2], Activity(), CLOCK) == []


def test_who_is_served_again_first_is_first() -> None:
    """The witness comes without a rank, then the clients by the end of their dark."""
    found = compared(WIRE, SLOW, QUICK)
    assert [(row.lane, row.rank) for row in found.rows] == [
        ("wire", None),
        ("quick", 1),
        ("slow", 2),
    ]
    rows = by_lane(found)
    assert rows["quick"].recovered_ms == 440
    assert rows["slow"].recovered_ms == 900
    assert found.start_unix_ns == CLOCK.wall_ns + 11 * S


def test_who_was_never_dark_is_before_who_was_and_open_ends_are_last() -> None:
    """No outage is the best, one that goes on is the worst."""
    dark = replace(QUICK, open_end=True)
    found = compared(WIRE, dark, SLOW, activity=active({}, served_until={"quick": 12}))
    assert [row.lane for row in found.rows] == ["wire", "slow", "quick"]
    assert by_lane(found)["quick"].recovered_ms is None
    found = compared(WIRE, SLOW)
    assert [row.lane for row in found.rows] == ["wire", "quick", "slow"]
    assert by_lane(found)["quick"].recovered_ms == 0


def test_intervals_that_overlap_rank_nothing() -> None:
    """A lane whose return was not seen is neither before nor behind the others."""

    def unseen(end_ms: int) -> Outage:
        end_ns = end_ms * MS
        return replace(QUICK, hull_end_ns=end_ns, unseen=((QUICK.end_ns, end_ns),))

    for end_ms, ranks in ((11_800, [1, 2]), (12_000, [1, 1])):
        rows = by_lane(compared(WIRE, unseen(end_ms), SLOW))
        assert [rows["quick"].rank, rows["slow"].rank] == ranks


def test_darkness_beyond_the_witness_has_bars() -> None:
    """What is dark on a shard while the witness is served there was added."""
    elsewhere = outage(11_200, 11_300, lane="slow", shard="0002")
    row = by_lane(compared(WIRE, SLOW, elsewhere, QUICK))["slow"]
    # 500 ms on the same shard, and 100 ms of them and of shard 0002 are others' time.
    assert row.beyond_witness_ms == Bounds(600.0, 596.0, 606.0)
    assert row.dark_ms.estimate == 800
    assert row.longest_ms == 800
    alone = by_lane(compared(SLOW, QUICK, lanes=LANES[1:]))["slow"]
    assert alone.beyond_witness_ms is None


def test_a_lane_that_raised_nothing_hides() -> None:
    """Late arrivals without an error are hidden; an error is none."""
    late = replace(SLOW, outcomes={Outcome.LATE: 2})
    activity = active({"quick": Work(attempts=10, raised=4)}, worst_ms=800)
    found = compared(WIRE, late, QUICK, activity=activity)
    rows = by_lane(found)
    assert rows["slow"].is_hiding
    assert (rows["slow"].failed, rows["slow"].worst_response_ms) == ({"late": 2}, 800)
    assert not rows["quick"].is_hiding
    assert rows["quick"].raised == 4
    assert not rows["wire"].is_hiding


def test_a_lane_that_was_only_slow_hides_too() -> None:
    """Nothing failed, but responses took much longer than at rest."""
    rows = by_lane(compared(WIRE, activity=active({}, worst_ms=200)))
    assert rows["slow"].is_hiding
    assert not rows["quick"].is_hiding
    rows = by_lane(compared(SLOW, activity=active({}, worst_ms=200)))
    assert not rows["slow"].is_hiding, "the witness was served all the time"


def test_rates_beside_those_at_rest() -> None:
    """What a lane does in the dark seconds is compared with all the others."""
    busy = Work(attempts=32, connects=50, refreshes=7)
    row = by_lane(compared(WIRE, SLOW, activity=active({"slow": busy})))["slow"]
    rates, rest = row.rates, row.rates_at_rest
    assert rates.attempts_per_arrival == 3.2
    assert (rates.connects_per_s, rates.refreshes_per_s) == (50, 7)
    assert rest.attempts_per_arrival == 1
    assert (rest.connects_per_s, rest.refreshes_per_s) == (0, 0)
    assert row.amplifies == ["attempts", "connects", "refreshes"]
    quick = by_lane(compared(WIRE, SLOW, activity=active({"slow": busy})))["quick"]
    assert quick.amplifies == []


def test_a_client_that_cannot_be_counted_has_no_rates() -> None:
    """Nothing known is not zero: who never told an attempt has no rates at all."""
    lanes = [*LANES, lane("closed")]
    row = by_lane(compared(WIRE, SLOW, lanes=lanes))["closed"]
    assert row.rates == row.rates_at_rest == ClientRates(None, None, None)
    assert row.amplifies == []


def test_a_lane_of_the_other_transport_has_its_own_witness() -> None:
    """A client by TLS is not measured against what became of TCP."""
    lanes = [
        lane("wire", is_witness=True),
        lane("tls", is_witness=True, tls=True),
        lane("slow", tls=True),
        lane("quick"),
    ]
    row = by_lane(compared(WIRE, SLOW, lanes=lanes))["slow"]
    assert row.beyond_witness_ms == Bounds(800.0, 798.0, 802.0)


def test_what_is_compared_in() -> None:
    """Steps with what belongs to them, and the incidents that belong to none."""
    later = outage(40_000, 40_500, lane="slow")
    outages = (WIRE, SLOW, later)
    load = LoadSeen({"wire": SHARDS, "slow": SHARDS}, outages, (), P99Log(), 0, 60 * S)
    failover = step("f", "failover", "0001", api_call=11_000, settled=12_500)
    waiting = step("h", "hold", begun=13_000)
    found = find_happenings(
        find_phases([failover, waiting], load),
        group_incidents(outages, (), quiet_ns=S),
    )
    assert [(h.about, h.start_ns, h.end_ns, h.outages) for h in found] == [
        ("f", 11 * S, 12_500 * MS, (WIRE, SLOW)),
        ("incident 2", 40 * S, 40_500 * MS, (later,)),
    ]


def test_the_comparison_in_words() -> None:
    """Who was first, what was added, who hid it and who made it worse."""
    late = replace(SLOW, outcomes={Outcome.LATE: 2})
    busy = {"quick": Work(attempts=32, connects=50, raised=9)}
    found = compared(WIRE, late, QUICK, activity=active(busy, worst_ms=800))
    assert client_sentences([found]) == [
        "failover: client lanes by their return: quick after 440 ms, slow after 900 ms",
        (
            "failover: dark while the witness was served: quick 40 ms [38, 42], "
            "slow 500 ms [498, 504]"
        ),
        (
            "failover: slow hid it: it raised no error, arrivals 2 late, longest "
            "response 800 ms"
        ),
        (
            "failover: quick amplified it: 3.2 attempts per arrival (at rest 1.0), "
            "50.0 connections per second (at rest 0.0)"
        ),
    ]
    assert client_sentences([compared()]) == []
