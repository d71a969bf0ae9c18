"""When people are told of an incident, in virtual time."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest

from loadprobe.core.judging.cells import BlindSpan
from loadprobe.core.judging.outages import Outage
from loadprobe.core.judging.outcome import OpKind
from loadprobe.core.verdict.beside import Planned
from loadprobe.core.verdict.incident_so_far import KEPT_OUTAGES
from loadprobe.core.verdict.incident_tracker import MOST_WORSENINGS, IncidentTracker
from loadprobe.core.verdict.incidents import DarkTime, group_incidents
from loadprobe.core.verdict.occasions import (
    Occasion,
    OccasionKind,
    OpenIncident,
    TellingRules,
)
from tests.support.outages import MS, outage
from tests.support.telling import STEP, Played, play

RULES = TellingRules(
    quiet_ns=1000 * MS,
    min_dark_ns=200 * MS,
    worse_dark_ns=10_000 * MS,
    pause_ns=30_000 * MS,
)


def kinds(occasions: Sequence[Occasion]) -> list[str]:
    """Return what was told, in order."""
    return [occasion.kind.value for occasion in occasions]


def told_at(occasions: Sequence[Occasion]) -> list[int]:
    """Return when, in ms."""
    return [occasion.at_ns // MS for occasion in occasions]


def test_one_opening_and_one_closing() -> None:
    """An outage is told once it is long enough, and when all was quiet after it."""
    told = play(RULES, [outage(1000, 3000)], until=10_000).told
    assert kinds(told) == ["opened", "closed"]
    assert told_at(told) == [1250, 4250]
    opened, closed = told
    assert opened.incident == closed.incident == "i1000"
    assert (opened.number, closed.number) == (1, 2)
    assert opened.end_ns is None
    assert closed.end_ns == 3000 * MS
    assert (closed.dark.lower_ns, closed.dark.upper_ns) == (1998 * MS, 2002 * MS)
    assert closed.dark.estimate_ns == 2000 * MS
    assert closed.outage_count == 1


def test_what_is_short_is_not_told() -> None:
    """Many short outages of one incident are told when they come to enough together."""
    short = outage(1000, 1150)
    assert play(RULES, [short], until=10_000).told == []
    several = [short, outage(1600, 1750)]
    told = play(RULES, several, until=10_000).told
    assert kinds(told) == ["opened", "closed"]
    assert told[-1].dark.estimate_ns == 300 * MS
    every = replace(RULES, min_dark_ns=0)
    assert kinds(play(every, [short], until=10_000).told) == ["opened", "closed"]


def test_scopes_of_one_incident_make_one() -> None:
    """Lanes, op kinds and shards that go dark together are one opening."""
    together = [
        outage(1000, 2000, lane=lane, shard=shard, op=op)
        for lane in ("tcp", "tls")
        for shard in ("0001", "0002")
        for op in (OpKind.READ, OpKind.WRITE)
    ]
    told = play(RULES, together, until=10_000).told
    assert kinds(told) == ["opened", "closed"]
    assert told[0].places == told[1].places
    assert len(told[0].places) == 4
    assert told[1].outage_count == 8
    assert told[1].dark.estimate_ns == 1000 * MS


def test_another_shard_makes_it_worse_after_a_pause() -> None:
    """What joins is told all at once when the pause is over, while it is dark."""
    rows = [
        outage(1000, 60_000),
        outage(3000, 60_000, shard="0002"),
        outage(5000, 60_000, lane="tls"),
    ]
    calm = replace(RULES, worse_dark_ns=10**15)
    told = play(calm, rows, until=70_000).told
    assert kinds(told) == ["opened", "worsened", "closed"]
    assert told_at(told)[1] == 1250 + 30_000
    assert told[1].joined == (("tcp", "0002"), ("tls", "0001"))
    assert told[2].joined == ()


def test_what_joined_and_is_over_makes_it_no_worse() -> None:
    """Nothing is told for the worse when nothing is dark any more."""
    rows = [outage(1000, 3000), outage(3500, 5000, shard="0002")]
    told = play(replace(RULES, pause_ns=3000 * MS), rows, until=20_000).told
    assert kinds(told) == ["opened", "worsened", "closed"]
    told = play(RULES, rows, until=20_000).told
    assert kinds(told) == ["opened", "closed"]
    assert told[1].joined == (("tcp", "0002"),)


def test_a_long_outage_is_told_ever_more_rarely() -> None:
    """It is worse when it was dark for twice as long as at the last telling."""
    told = play(RULES, [outage(1000, 600_000)], until=700_000).told
    assert kinds(told) == ["opened", *["worsened"] * 5, "closed"]
    at_s = [at // 1000 for at in told_at(told)]
    assert at_s[:5] == [1, 31, 61, 122, 243]
    dark = [occasion.dark.estimate_ns for occasion in told]
    assert all(b >= 2 * a for a, b in pairwise(dark[1:-1]))


def test_worsenings_are_bounded() -> None:
    """However many shards join one by one, there is an end to it."""
    often = replace(RULES, pause_ns=STEP)
    rows = [
        outage(1000 * n, 100_000, shard=f"{n:04}")
        for n in range(1, MOST_WORSENINGS + 9)
    ]
    told = play(often, rows, until=110_000).told
    assert kinds(told) == ["opened", *["worsened"] * MOST_WORSENINGS, "closed"]
    assert len(told[-1].places) == len(rows)


def test_incidents_are_those_of_the_verdict() -> None:
    """Quiet time and blind time divide and join them as they do there."""
    rows = [outage(1000, 2000), outage(2900, 4000), outage(9000, 9500)]
    blind = [BlindSpan("tcp", 9600 * MS, 11_000 * MS)]
    rows.append(outage(11_500, 12_000))
    told = play(RULES, rows, blind, until=20_000).told
    assert kinds(told) == ["opened", "closed"] * 2
    expected = group_incidents(rows, blind, quiet_ns=RULES.quiet_ns)
    assert len(expected) == 2
    closed = [o for o in told if o.kind is OccasionKind.CLOSED]
    assert [o.outage_count for o in closed] == [len(i.outages) for i in expected]


def test_blind_time_alone_is_no_incident() -> None:
    """The probe's own trouble is not told."""
    assert play(RULES, [], [BlindSpan("tcp", 0, 9000 * MS)], until=20_000).told == []


def test_a_late_batch_tells_all_of_it() -> None:
    """Judged in one go, two incidents are still two openings and two closings."""
    tracker = IncidentTracker(RULES, name=lambda start_ns: f"i{start_ns // MS}")
    rows = [outage(1000, 2000), outage(9000, 9500)]
    told = tracker.take(closed=rows, current={}, until_ns=20_000 * MS)
    assert kinds(told) == ["opened", "closed"] * 2
    assert [o.incident for o in told] == ["i1000", "i1000", "i9000", "i9000"]


def test_new_connections_are_apart() -> None:
    """An outage of new connections alone is no incident, as in the verdict."""
    rows = [outage(1000, 3000, op=OpKind.CONNECT)]
    assert play(RULES, rows, until=10_000).told == []


def test_what_a_slow_lane_has_not_looked_at_again_goes_on() -> None:
    """Another shard that goes dark meanwhile joins, and nothing is called over."""
    tracker = IncidentTracker(RULES, name=str)
    slow = outage(1000, 1300)  # as far as its last failure
    told = tracker.take(closed=[], current={slow.scope: slow}, until_ns=1500 * MS)
    assert kinds(told) == ["opened"]
    other = outage(8000, 8400, shard="0002")
    both = {slow.scope: slow, other.scope: other}
    assert tracker.take(closed=[], current=both, until_ns=8500 * MS) == []
    ended = [outage(1000, 9000), outage(8000, 9000, shard="0002")]
    told = tracker.take(closed=ended, current={}, until_ns=12_000 * MS)
    assert kinds(told) == ["closed"]
    assert told[0].outage_count == 2


def test_what_was_dark_before_goes_on_though_another_shard_goes_dark() -> None:
    """Nobody has seen it lit since the process before."""
    slow = outage(1000, 2000)
    left = OpenIncident(
        "i1000",
        1000 * MS,
        told=1,
        worsenings=0,
        dark=DarkTime(1000 * MS, 1000 * MS, 1000 * MS),
        next_dark_ns=10_000 * MS,
        places=(("tcp", "0001"),),
        outages=1,
        dark_now=(slow.scope,),
    )
    tracker = IncidentTracker(RULES, name=str, resumed=left)
    other = outage(108_000, 108_400, shard="0002")

    def take(
        until_ms: int, *, is_lit: bool, closed: Sequence[Outage] = ()
    ) -> list[str]:
        return kinds(
            tracker.take(
                closed=closed,
                current={},
                until_ns=until_ms * MS,
                is_lit=lambda _scope: is_lit,
            )
        )

    assert take(100_000, is_lit=False) == []
    assert take(109_000, is_lit=False, closed=[other]) == []
    assert take(115_000, is_lit=False) == []
    assert take(116_000, is_lit=True) == ["closed"]


# --- darkness by plan -----------------------------------------------------------------


def test_planned_darkness_wakes_nobody() -> None:
    """It is told only to those who want it, as incidents of its own."""
    rows = [outage(2000, 9000)]
    plans = [Planned("tcp", 2000 * MS, 9000 * MS)]
    assert play(RULES, rows, planned=plans, until=20_000).told == []
    wanted = replace(RULES, is_planned=True)
    told = play(wanted, rows, planned=plans, until=20_000).told
    assert kinds(told) == ["opened", "closed"]
    assert all(occasion.is_planned for occasion in told)
    assert play(wanted, rows, until=20_000).told == []


def test_darkness_beyond_the_plan_is_told() -> None:
    """An outage that goes on long after its plan is an incident from there on."""
    rows = [outage(2000, 20_000)]
    plans = [Planned("tcp", 2000 * MS, 9000 * MS)]
    told = play(RULES, rows, planned=plans, until=30_000).told
    assert kinds(told) == ["opened", "closed"]
    assert told[0].at_ns >= 10_000 * MS
    assert told[1].dark.estimate_ns == 11_000 * MS


def test_a_plan_that_is_announced_late_ends_what_was_told() -> None:
    """Nobody waits for the end of what turned out to be by plan."""
    played = Played(RULES)
    row = outage(2000, 60_000)
    played.step([row], until=4000)
    assert kinds(played.told) == ["opened"]
    plans = [Planned("tcp", 1500 * MS, 90_000 * MS)]
    played.step([row], planned=plans, until=30_000)
    assert kinds(played.told) == ["opened", "closed"]
    assert played.told[1].outage_count == 0


# --- the end of a run, and the next one -----------------------------------------------


def test_an_incident_that_goes_on_is_left_and_taken_up_again() -> None:
    """The next run tells its end under the same name, and goes on counting."""
    played = Played(RULES)
    played.step([outage(2000, 60_000)], until=4000)
    last = replace(outage(2000, 4250), open_end=True)
    played.end([last], until=4250)
    assert kinds(played.told) == ["opened", "left"]
    left = played.tracker.open_incident
    assert left is not None
    assert left.dark.estimate_ns == 2250 * MS

    again = Played(RULES, resumed=left)
    again.step([], until=100_000, since=100_000)
    # It has been seen lit.
    assert again.tracker.open_incident == replace(left, dark_now=())
    again.step([], until=102_000, since=100_250)
    (closed,) = again.told
    assert (closed.kind, closed.incident) == (OccasionKind.CLOSED, "i2000")
    assert (closed.number, closed.is_resumed) == (3, True)
    assert closed.dark.estimate_ns == 2250 * MS
    assert again.tracker.open_incident is None


def test_an_incident_that_still_goes_on_in_the_next_run_is_the_same() -> None:
    """What is dark from the first moment on belongs to it; later darkness does not."""
    left = OpenIncident(
        "i2000",
        2000 * MS,
        told=1,
        worsenings=0,
        dark=DarkTime(1000 * MS, 1000 * MS, 1000 * MS),
        next_dark_ns=10_000 * MS,
        places=(("tcp", "0001"),),
        outages=1,
    )
    rows = [outage(100_000, 105_000), outage(110_000, 112_000)]
    told = play(RULES, rows, resumed=left, since=100_000, until=120_000).told
    assert kinds(told) == ["closed", "opened", "closed"]
    assert [o.incident for o in told] == ["i2000", "i110000", "i110000"]
    assert told[0].dark.estimate_ns == 6000 * MS
    assert told[0].start_ns == 2000 * MS


def test_an_incident_that_is_over_when_the_run_ends_is_closed() -> None:
    """There is no need to wait for quiet time that nobody looks at."""
    played = Played(RULES)
    played.step([outage(2000, 4000)], until=4250)
    played.end([], until=4500)
    assert kinds(played.told) == ["opened", "closed"]
    assert played.tracker.open_incident is None


def test_what_is_gone_is_not_waited_for() -> None:
    """A shard or a lane that goes while it is dark: nobody will see it lit."""
    gone = replace(outage(2000, 4000), open_end=True)
    told = play(RULES, [gone], until=10_000).told
    assert kinds(told) == ["opened", "closed"]
    assert told_at(told)[-1] == 5250


def test_what_was_not_told_is_not_left() -> None:
    """A run that ends in a short outage says nothing."""
    played = Played(RULES)
    played.end([replace(outage(2000, 2100), open_end=True)], until=2100)
    assert played.told == []


def test_what_is_kept_is_bounded() -> None:
    """An incident of very many outages is counted on, its times are at least."""
    rows = [outage(10 * n, 10 * n + 5) for n in range(100, 100 + KEPT_OUTAGES + 50)]
    tracker = IncidentTracker(RULES, name=str)
    told = tracker.take(closed=rows, current={}, until_ns=10**12)
    assert kinds(told) == ["opened", "closed"]
    assert told[-1].outage_count == KEPT_OUTAGES + 50
    assert len(told[-1].outages) == KEPT_OUTAGES


def test_an_outage_that_waits_for_its_error_bars_goes_on() -> None:
    """While it is neither open nor closed nothing is called over."""
    tracker = IncidentTracker(replace(RULES, quiet_ns=MS), name=str)
    row = outage(1000, 2000)
    assert kinds(tracker.take(closed=[], current={row.scope: row}, until_ns=2000 * MS))
    assert tracker.take(closed=[], current={}, until_ns=2500 * MS) == []
    told = tracker.take(closed=[row], current={}, until_ns=2600 * MS)
    assert kinds(told) == ["closed"]


@pytest.mark.parametrize("until", [0, 5000])
def test_a_run_in_which_nothing_is_dark_tells_nothing(until: int) -> None:
    """Neither before the first arrival nor after it."""
    played = Played(RULES)
    played.step([], until=until)
    played.end([], until=until)
    assert played.told == []
