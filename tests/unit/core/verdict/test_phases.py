"""Phases: what belongs to which step, when the load went dark and came back."""

from dataclasses import replace

from loadprobe.clock import ClockPair
from loadprobe.core.judging.activity import Activity
from loadprobe.core.judging.counts import SecondCounts
from loadprobe.core.judging.latency import P99Log, SecondP99
from loadprobe.core.judging.outages import Outage
from loadprobe.core.judging.outcome import OpKind, Outcome
from loadprobe.core.steps import (
    ScenarioRecord,
    ScenarioState,
    StepRecord,
    StepState,
)
from loadprobe.core.verdict.controller_log import ControllerLog, SlotMove
from loadprobe.core.verdict.instants import Instant
from loadprobe.core.verdict.phases import find_phases, step_at
from loadprobe.core.verdict.scenario_summary import summarize_scenario
from loadprobe.core.verdict.step_phases import (
    Blast,
    LanePhases,
    LoadSeen,
    P99Course,
    StepPhases,
)
from tests.support.outages import outage
from tests.support.phases import FAILOVER, seen
from tests.support.scenario_run import MS, S, step


def log(*p99_ms: float, lane: str = "tcp", shard: str | None = None) -> P99Log:
    """Return the p99 of the seconds 0, 1, 2 ... of a lane and of one of its shards."""
    found = P99Log()
    for place in {shard, None}:
        found.add(
            SecondP99(lane, place, second, round(value * MS))
            for second, value in enumerate(p99_ms)
            if value
        )
    return found


def one(record: StepRecord, load: LoadSeen) -> LanePhases:
    """Return what the lane saw of a single step."""
    (found,) = find_phases([record], load)
    (lane,) = found.lanes
    return lane


def test_error_and_service() -> None:
    """The first error is the first failed arrival; served is the end of the last."""
    first, last = outage(12_000, 13_000), outage(15_000, 15_500, op=OpKind.WRITE)
    lane = one(FAILOVER, seen(first, last))
    assert lane.first_error == Instant(12_001 * MS, 11_999 * MS, 12_001 * MS)
    assert lane.first_served == Instant(15_500 * MS, 15_499 * MS, 15_501 * MS)
    assert not lane.is_dark_at_end


def test_edges_that_were_not_seen_have_bars() -> None:
    """An edge in blind time lies anywhere in it; the bars are the widest of all."""
    blind = replace(
        outage(12_500, 13_400),
        hull_start_ns=11_500 * MS,
        start_ns=12_250 * MS,
        core_end_ns=12_900 * MS,
        hull_end_ns=13_900 * MS,
        unseen=((11_500 * MS, 12_501 * MS), (12_900 * MS, 13_900 * MS)),
    )
    write = outage(12_000, 13_500, op=OpKind.WRITE)
    lane = one(FAILOVER, seen(blind, write))
    assert lane.first_error == Instant(12_001 * MS, 11_500 * MS, 12_001 * MS)
    assert lane.first_served == Instant(13_500 * MS, 13_499 * MS, 13_900 * MS)
    lane = one(FAILOVER, seen(blind))
    assert lane.first_error == Instant(12_250 * MS, 11_500 * MS, 12_501 * MS)
    assert lane.first_served == Instant(13_400 * MS, 12_900 * MS, 13_900 * MS)


def test_what_another_lane_saw_bounds_the_return_of_all() -> None:
    """When the last lane was served again is known from one that looked."""
    blind = replace(
        outage(12_000, 13_400),
        core_end_ns=12_900 * MS,
        hull_end_ns=13_900 * MS,
        unseen=((12_900 * MS, 13_900 * MS),),
        lit_beside=((13_001 * MS, 13_900 * MS),),
    )
    (found,) = find_phases([FAILOVER], seen(blind, outage(12_000, 13_000)))
    assert found.first_served == Instant(13_001 * MS, 12_999 * MS, 13_001 * MS)
    assert found.lanes[0].first_served == Instant(13_400 * MS, 12_999 * MS, 13_900 * MS)


def test_what_a_controller_saw_after_it_was_away_has_bars() -> None:
    """It happened at any time since it last looked; later things have none."""
    log = ControllerLog(away=((11 * S, 20 * S),))
    load = replace(seen(), controller=log)
    assert log.dated(20 * S) == Instant(20 * S, 11 * S, 20 * S)
    assert log.dated(20_900 * MS) == Instant(20_900 * MS, 11 * S, 20_900 * MS)
    assert log.dated(22 * S) == 22 * S
    assert log.dated(10 * S) == 10 * S
    record = replace(FAILOVER, phases_ns={"api_call": 10 * S, "settled": 20 * S})
    scenario = ScenarioRecord("s", ScenarioState.COMPLETED, (record,))
    summary = summarize_scenario(
        scenario,
        find_phases([record], load),
        load,
        clock=ClockPair(0, 0),
        events=(),
        expectations=(),
    )
    call, settled = summary.steps[0].phases
    assert (call.earliest_ms, call.latest_ms) == (None, None)
    assert (settled.earliest_ms, settled.latest_ms) == (1_000, 10_000)


def test_slots_and_redirects_belong_to_the_step_they_are_seen_in() -> None:
    """A resharding tells when slots moved, how many, and what the lanes followed."""
    moves = [SlotMove(at * S, slots) for at, slots in ((5, 1), (11, 100), (19, 23))]
    activity = Activity()
    for at, counts in (
        (9, {"moved": 50}),
        (12, {"moved": 7, "ask": 3}),
        (20, {"moved": 1}),
        (22, {"moved": 900}),
    ):
        activity.add_redirects("tcp", at * S, counts)
    load = replace(
        seen(), activity=activity, controller=ControllerLog(slot_moves=moves)
    )
    (found,) = find_phases([FAILOVER], load)
    assert list(found.slot_moves) == moves[1:]
    assert found.lanes[0].redirects == {"ask": 3, "moved": 8}
    summary = summarize_scenario(
        ScenarioRecord("s", ScenarioState.COMPLETED, (FAILOVER,)),
        [found],
        load,
        clock=ClockPair(0, 0),
        events=(),
        expectations=(),
    )
    (told,) = summary.steps
    assert told.slots_moved == 123
    assert told.lanes[0].redirects == {"ask": 3, "moved": 8}
    offsets = {phase.phase: phase.offset_ms for phase in told.phases}
    assert (offsets["slots_first_moved"], offsets["slots_last_moved"]) == (1_000, 9_000)


def test_the_way_back_ends_darkness_by_plan() -> None:
    """The step in which a lane came back says when, though another one began it."""
    back = step("back", "tls", "0001", api_call=40_000, settled=45_000)
    dark = outage(12_000, 42_000)
    forth, again = find_phases([FAILOVER, back], seen(planned=(dark,)))
    assert forth.planned_served is None
    assert again.planned_served == Instant(42_000 * MS, 41_999 * MS, 42_001 * MS)
    assert again.first_planned_error is None
    still = replace(outage(12_000, 59_000, shard="0002"), open_end=True)
    _, again = find_phases([FAILOVER, back], seen(planned=(dark, still)))
    assert again.planned_served is None, "a part of the lane is not back"
    _, again = find_phases(
        [FAILOVER, back], seen(planned=(replace(dark, open_end=True),))
    )
    assert again.planned_served is None


def test_what_belongs_to_a_step() -> None:
    """Outages belong from the call on, until 10 s after the last phase."""
    before, after = outage(9_990, 11_000), outage(29_990, 35_000)
    too_late = outage(30_000, 31_000)
    (found,) = find_phases([FAILOVER], seen(before, after, too_late))
    assert (found.start_ns, found.end_ns) == (10 * S, 30 * S)
    assert found.lanes[0].outages == (after,)


def test_the_next_step_ends_a_step() -> None:
    """What begins after the next call belongs to the next step; holds end nothing."""
    later = step("g", "failover", "0002", api_call=22_000, settled=23_000)
    hold = StepRecord("h", "hold", StepState.SETTLED, (), {"begun": 21 * S})
    rows = [outage(21_500, 25_000), outage(22_500, 23_000)]
    first, idle, second = find_phases([FAILOVER, hold, later], seen(*rows))
    assert first.lanes[0].outages == (rows[0],)
    assert second.lanes[0].outages == (rows[1],)
    assert idle == StepPhases(hold)


def test_a_failed_step_lasts() -> None:
    """After a step that failed, what happens belongs to it until the next one."""
    failed = step("f", "scale", api_call=10_000, failed=11_000, reason="refused")
    late = outage(50_000, 51_000)
    assert one(failed, seen(late)).outages == (late,)


def test_steps_that_did_nothing() -> None:
    """Steps that were skipped, or had nothing to do, saw nothing."""
    skipped = StepRecord("s", "tls", StepState.SKIPPED)
    unneeded = StepRecord("u", "tls", StepState.UNNEEDED)
    found = find_phases([skipped, unneeded], seen(outage(1_000, 2_000)))
    assert [step.lanes for step in found] == [(), ()]


def test_planned_is_apart() -> None:
    """Planned darkness has its own first error and is in no other number."""
    by_plan = outage(14_000, 60_000)
    lane = one(FAILOVER, seen(outage(12_000, 13_000), planned=(by_plan,)))
    assert lane.first_planned_error == Instant(14_001 * MS, 13_999 * MS, 14_001 * MS)
    assert lane.first_served is not None
    assert lane.first_served.at_ns == 13_000 * MS
    assert (lane.outages[0].start_ns, lane.planned) == (12_000 * MS, (by_plan,))
    assert lane.p99 is None


def test_open_outage_is_never_served() -> None:
    """A lane that is dark at the end was not served again."""
    row = outage(12_000, 60_000)
    values = {f: getattr(row, f) for f in row.__dataclass_fields__} | {"open_end": True}
    (found,) = find_phases([FAILOVER], seen(Outage(**values)))
    assert found.lanes[0].is_dark_at_end
    assert found.first_served is None
    assert found.first_error is not None


def test_an_outage_without_a_known_end() -> None:
    """It is dark at the end only if it reaches there; served later, it had an end.

    Of a scope that got no more arrivals in mid-run neither is known.
    """
    ceased = replace(outage(12_000, 13_000), open_end=True)
    lasting = replace(ceased, hull_end_ns=60 * S)
    served = SecondCounts(ceased.scope, 14)
    served.counts[Outcome.SERVED] = 1
    for own, rows, is_dark, is_back in (
        (lasting, [], True, False),
        (ceased, [], False, False),
        (ceased, [served], False, True),
    ):
        activity = Activity()
        activity.add_seconds(rows)
        (found,) = find_phases([FAILOVER], replace(seen(own), activity=activity))
        (lane,) = found.lanes
        assert lane.is_dark_at_end is is_dark
        assert (lane.first_served is not None) is is_back
        assert (found.first_served is not None) is is_back


def test_p99_recovers_after_three_calm_seconds() -> None:
    """The band is 1.5 x the median before + 1 ms; two calm seconds are too few."""
    values = [1.0] * 10 + [1.0, 9.0, 2.5, 2.5, 9.0, 2.0, 2.5, 2.4] + [1.0] * 10
    record = step("f", "scale", api_call=10_500, settled=14_200)
    course = one(record, seen(p99=log(*values))).p99
    assert course == P99Course(MS, round(2.5 * MS), 9 * MS, True, 15 * S)


def test_p99_waits_for_the_end_of_outages() -> None:
    """A second with an outage in it is not calm, whatever its served arrivals say."""
    lane = one(FAILOVER, seen(outage(12_000, 13_200), p99=log(*[1.0] * 60)))
    assert lane.p99 is not None
    assert (lane.p99.has_left, lane.p99.recovered_ns) == (True, 14 * S)


def test_p99_that_stays() -> None:
    """A p99 that never left the band did not recover either."""
    course = one(FAILOVER, seen(p99=log(*[1.0] * 60))).p99
    assert course == P99Course(MS, round(2.5 * MS), MS, False, None)


def test_p99_that_stays_away() -> None:
    """Without three calm seconds before the next step there is no recovery."""
    values = [1.0] * 10 + [9.0] * 50
    course = one(FAILOVER, seen(p99=log(*values))).p99
    assert course is not None
    assert (course.has_left, course.recovered_ns) == (True, None)


def test_seconds_without_a_p99_are_not_calm() -> None:
    """Three calm seconds must follow each other."""
    values = [1.0] * 10 + [9.0] + [1.0, 1.0, 0, 1.0, 1.0, 1.0, 1.0] + [1.0] * 9
    record = step("f", "scale", api_call=10_000, settled=10_200)
    course = one(record, seen(p99=log(*values))).p99
    assert course is not None
    assert course.recovered_ns == 14 * S


def test_baseline_of_the_first_step() -> None:
    """Without three calm seconds of its own, a step has the first one's baseline."""
    values = [1.0] * 10 + [5.0] * 50
    later = step("g", "scale", api_call=21_000, settled=22_000)
    second = find_phases([FAILOVER, later], seen(p99=log(*values)))[1]
    assert second.lanes[0].p99 is not None
    assert second.lanes[0].p99.baseline_ns == MS
    rested = step("g", "scale", api_call=24_000, settled=25_000)
    second = find_phases([FAILOVER, rested], seen(p99=log(*values)))[1]
    assert second.lanes[0].p99 is not None
    assert second.lanes[0].p99.baseline_ns == 5 * MS


def test_no_baseline() -> None:
    """Without any baseline nothing is said of the p99."""
    record = step("f", "scale", api_call=2_000, settled=3_000)
    assert one(record, seen(p99=log(*[1.0] * 60))).p99 is None


def test_blast_radius() -> None:
    """The failures and the p99 of the shards that the step was not about."""
    rows = [outage(12_000, 13_000), outage(12_000, 12_500, shard="0002")]
    values = [1.0] * 10 + [1.0, 1.0, 3.0] + [1.0] * 47
    lane = one(FAILOVER, seen(*rows, p99=log(*values, shard="0002")))
    assert lane.blast == Blast(("0002",), 2, "0002", MS, 3 * MS)


def test_blast_radius_of_everything() -> None:
    """A step about all shards, or about none that is known, has no others."""
    assert one(step("t", "tls", api_call=10_000), seen()).blast is None
    everywhere = step("t", "scale", "0001", "0002", api_call=10_000)
    assert one(everywhere, seen()).blast is None
    foreign = step("t", "scale", "0009", api_call=10_000)
    assert one(foreign, seen()).blast is None


def test_all_lanes_together() -> None:
    """A step's first error is the earliest of its lanes, its end the latest."""
    rows = (outage(12_000, 13_000), outage(11_500, 14_000, lane="tls"))
    load = LoadSeen(
        {"tcp": ("0001",), "tls": ("0001",)}, rows, (), log(*[1.0] * 60), 0, 60 * S
    )
    (found,) = find_phases([FAILOVER], load)
    assert found.first_error is not None
    assert found.first_served is not None
    assert found.first_error.at_ns == 11_501 * MS
    assert found.first_served.at_ns == 14_000 * MS
    assert found.first_planned_error is None
    assert found.p99_recovered_ns == 13 * S  # the other lane has no p99


def test_events_of_a_step() -> None:
    """An event belongs to the latest step before it, if it is about its shard."""
    later = step("g", "failover", "0002", api_call=22_000, settled=23_000)
    steps = find_phases([FAILOVER, later], seen())

    def found(
        ms: int, shard: str | None = None, *, seen_ms: int | None = None
    ) -> str | None:
        seen_ns = 60 * S if seen_ms is None else seen_ms * MS
        belonging = step_at(steps, ms * MS, seen_ns=seen_ns, shard=shard)
        return belonging.record.name if belonging else None

    assert [found(ms) for ms in (8_000, 9_500, 20_500, 21_500)] == [None, "f", "f", "g"]
    assert found(21_500, "0002") == "g"
    assert found(12_000, "0002") is None
    # Its clock may be ahead or behind, but what we saw before a call is not of it.
    assert found(21_500, seen_ms=21_600) == "f"


def test_percentiles_are_forgotten_in_the_end() -> None:
    """The log keeps the latest seconds, at least as many as it was told."""
    found = P99Log(kept_s=10)
    for second in range(100):
        found.add([SecondP99("tcp", None, second, second)])
    kept = found.between("tcp", None, 0, 100)
    assert 10 <= len(kept) <= 20
    assert list(kept.items())[-1] == (99, 99)
    assert found.between("tls", None, 0, 100) == {}
