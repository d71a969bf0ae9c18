"""The calibration can fail, and its page is made of its figures."""

import os
import subprocess
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from benchmarks.calibration.__main__ import FIGURES, PAGE, read, with_cases, write
from benchmarks.calibration.compared import Judged
from benchmarks.calibration.disturbed import write_disturbed_plan
from benchmarks.calibration.disturber import Disturber, Order
from benchmarks.calibration.figures import Calibration, CaseFigures, summarize
from benchmarks.calibration.judging import judge
from benchmarks.calibration.measuring import LANE, Observed
from benchmarks.calibration.page import BEGIN, END, with_tables
from benchmarks.calibration.plot import draw
from benchmarks.calibration.script import Episode, Kind, Plan, write_plan
from benchmarks.calibration.settings import (
    FULL,
    QUICK,
    Disturbance,
    Setting,
    chance_seen,
    gap_ns,
)
from loadprobe.clock import NS_PER_MS
from loadprobe.core.judging.aggregate import Aggregate
from loadprobe.core.judging.columns import Block, Failure, Scope
from loadprobe.core.judging.lanes import LaneInfo
from loadprobe.core.judging.outcome import ErrorClass, OpKind, Outcome
from tests.scripted.faults import Span, TruthInterval

SETTING = Setting(3_000)
SCOPE = Scope(LANE, "0001", OpKind.READ)
END_MS = 2_000


def observed(
    down_ms: tuple[float, float], *truth: TruthInterval, silent: bool = False
) -> Observed:
    """Return a run of an arrival per ms, failed in an interval, beside a truth.

    Args:
        down_ms: arrivals due from the first until before the second fail.
        truth: of the faults.
        silent: they are never answered rather than refused.
    """
    block = Block()
    failed: list[Failure] = []
    for due_ms in range(END_MS):
        due_ns = due_ms * NS_PER_MS
        done_ns = due_ns + NS_PER_MS // 5
        if down_ms[0] <= due_ms < down_ms[1]:
            failure = Failure(
                due_ns,
                due_ns,
                -1 if silent else done_ns,
                Outcome.UNKNOWN if silent else Outcome.REFUSED,
                ErrorClass.TIMEOUT if silent else ErrorClass.CLUSTERDOWN,
                due_ns,
                done_ns,
            )
            failed.append(failure)
            block.add_failure(failure)
        else:
            block.add_served(due_ns, due_ns, done_ns)
    rows = list(zip(block.due, block.sent, block.done, strict=True))
    aggregate = Aggregate([LaneInfo(LANE, False, (0,), 250 * NS_PER_MS)])
    aggregate.start_process(0, 0)
    end_ns = END_MS * NS_PER_MS
    aggregate.add(0, {SCOPE: block}, watermark_ns=end_ns)
    return Observed(
        aggregate.finish(end_ns),
        truth,
        [],
        [],
        {SCOPE: rows},
        {SCOPE: failed},
        (end_ns, end_ns),
    )


def fault(
    start_ms: float,
    end_ms: float,
    kind: str = "error",
    *,
    shard: int = 0,
    heard_ms: float | None = None,
    answered_ms: float | None = None,
) -> TruthInterval:
    """Return the truth of a fault; all is answered at once if nothing else is said."""
    heard_ms = start_ms if heard_ms is None else heard_ms
    answered_ms = end_ms if answered_ms is None else answered_ms
    times_ms = heard_ms, start_ms, end_ms, answered_ms
    times_ns = [round(at_ms * NS_PER_MS) for at_ms in times_ms]
    return TruthInterval(kind, (shard,), *times_ns)  # type: ignore[arg-type]


def judged(seen: Observed, kind: Kind = "error replies") -> Judged:
    """Compare a run with its faults, each an episode of its own."""
    episodes = tuple(
        Episode(kind, truth.shards, (at,)) for at, truth in enumerate(seen.truth)
    )
    return judge(SETTING, Plan((), episodes, (0, 0), 250 * NS_PER_MS), seen)


def problems(result: Judged) -> str:
    """Return all problems of the reads."""
    return "; ".join(
        problem
        for row in result.comparisons
        if row.view == "read" and row.shard == SCOPE.shard
        for problem in row.problems
    )


def test_what_was_measured_rightly_is_inside() -> None:
    """An outage between its bounds is no violation."""
    result = judged(observed((500, 600), fault(499.8, 599.8)))
    assert problems(result) == ""
    assert not result.false


@pytest.mark.parametrize(
    ("truth", "problem"),
    [
        (fault(499.8, 580), "the lower bound is 18.600 ms above the truth"),
        (fault(499.8, 640), "the upper bound is 39.000 ms below the truth"),
        (fault(510, 610), "of the truth are outside the hull"),
        (fault(510, 610), "of the core are outside the truth"),
        (fault(500, 600, "freeze"), "shorter than the deadline"),
        (fault(1_500, 1_600), "missed"),
    ],
)
def test_a_wrong_truth_is_a_violation(truth: TruthInterval, problem: str) -> None:
    """Whatever a truth that does not fit is wrong about, it is reported."""
    result = judged(observed((500, 600), truth))
    assert problem in problems(result)
    figures = summarize(SETTING, result, observed((500, 600), truth))
    assert figures.violations
    assert not Calibration(1, True, {}, (figures,)).is_good


def test_an_outage_of_nothing_is_false() -> None:
    """Failed arrivals where nothing had happened are not allowed."""
    seen = observed((500, 600), fault(1_500, 1_500.1))
    (false,) = judged(seen).false
    assert false.failed == 100
    stalled = replace(seen, server_stalls=[Span(0, 1_000 * NS_PER_MS)])
    assert judged(stalled).false, "a stall in which arrivals did not wait"


def test_what_may_be_missed_is_told_by_the_probing_gap() -> None:
    """An outage that fits between two arrivals may be missed, and no longer one."""
    unseen = observed((0, 0), fault(500.3, 500.9))
    assert problems(judged(unseen)) == ""
    assert "missed" in problems(judged(observed((0, 0), fault(500.3, 510))))


@pytest.mark.parametrize(
    ("heard_ms", "problem"),
    [(500, "the lower bound is 18.600 ms above the truth"), (480, "")],
)
def test_a_silence_may_begin_when_all_was_answered(
    heard_ms: float, problem: str
) -> None:
    """What came since the last answers and before the freeze may be lost to it.

    Arrivals due from 480 ms on are never answered, of a server frozen from 500 ms to
    900 ms: only if it had not looked since 480 ms is that possible.
    """
    truth = fault(500, 900, "freeze", heard_ms=heard_ms)
    assert problems(judged(observed((480, 650), truth, silent=True))) == problem


@pytest.mark.parametrize(
    ("kind", "problem"),
    [("reset", ""), ("error", "4.000 ms of the core are outside the truth")],
)
def test_a_reset_lasts_until_the_connections_have_ended(
    kind: str, problem: str
) -> None:
    """Connections are cut at the end of a turn, error replies stop when told to."""
    truth = fault(499.8, 600, kind, answered_ms=604.5)
    found = problems(judged(observed((500, 605), truth)))
    assert problem in found
    assert bool(problem) is bool(found)


@pytest.mark.parametrize(
    ("lost_ms", "problem"),
    [
        ((520, 540), ""),
        ((501, 502), "0.500 ms of the truth are outside the hull"),
    ],
)
def test_what_no_arrival_met_is_not_held_against_a_neighbour(
    lost_ms: tuple[float, float], problem: str
) -> None:
    """A short fault is compared with the outage of its own, not of moving keys.

    The first shard fails for 3.2 ms, where 3.5 ms are certain to be seen, the second
    for 20 ms, and arrivals that belong to a slot on its way show that as the first's.
    """
    own, other = fault(499.5, 502.7), fault(519.8, 540, shard=1)
    found = problems(judged(observed(lost_ms, own, other), "resharding"))
    assert problem in found
    assert bool(problem) is bool(found)


def test_a_fault_that_must_be_met_is_compared_with_any_outage() -> None:
    """What is certain to be seen has no excuse, whatever was seen beside it."""
    own, other = fault(499.5, 508), fault(519.8, 540, shard=1)
    seen = observed((520, 540), own, other)
    assert "8.500 ms of the truth are outside" in problems(judged(seen, "resharding"))


def test_gaps_follow_from_the_plan_of_arrivals() -> None:
    """Five shards at 3,000/s: the figures that the page derives."""
    gaps_ms = [gap_ns(SETTING, view) / NS_PER_MS for view in ("shard", "read", "write")]
    assert gaps_ms == pytest.approx([5 / 3, 10 / 3, 25 / 3])
    assert chance_seen(SETTING, "shard", NS_PER_MS) == pytest.approx(0.6)


def test_a_plan_is_drawn_from_its_seed() -> None:
    """The same seed gives the same outages, and those of a shard never overlap."""
    plan = write_plan(SETTING, QUICK, 1)
    assert plan == write_plan(SETTING, QUICK, 1)
    assert plan != write_plan(SETTING, QUICK, 2)
    for shard in range(5):
        spans = sorted(
            (row.start_offset_ns, row.start_offset_ns + row.duration_ns)
            for row in plan.faults
            if shard in row.shards
        )
        ends = [end for _, end in spans[:-1]]
        starts = [start for start, _ in spans[1:]]
        assert all(end < start for end, start in zip(ends, starts, strict=True))


@pytest.mark.parametrize(
    "disturbance", ["probe stopped", "supervisor stopped", "paused"]
)
def test_disturbances_lie_where_they_are_said_to(disturbance: Disturbance) -> None:
    """Across start, middle and end of an outage, around one, and between two."""
    plan = write_disturbed_plan(Setting(3_000, disturbance=disturbance), FULL, 1)
    faults, spans = plan.faults, plan.disturbed_ns
    assert all(end < start for (_, end), (start, _) in pairwise(spans))
    seen: set[Kind] = set()
    for episode in plan.episodes:
        first, last = faults[episode.faults[0]], faults[episode.faults[-1]]
        start = first.start_offset_ns
        end = last.start_offset_ns + last.duration_ns
        met = [span for span in spans if span[0] < end and start < span[1]]
        match episode.kind:
            case "disturbed at the start":
                assert met[0][0] < start < met[0][1] < end
            case "disturbed in the middle":
                assert start < met[0][0] < met[0][1] < end
            case "disturbed at the end":
                assert start < met[0][0]
            case "disturbed throughout":
                assert met[0][0] < start
            case "disturbed between two":
                assert len(episode.faults) == 2
        seen.add(episode.kind)
    if disturbance == "paused":
        assert seen == {"disturbed repeatedly"}
    else:
        assert len(seen) == 6
    assert plan == write_disturbed_plan(
        Setting(3_000, disturbance=disturbance), FULL, 1
    )


def blind_run(
    down_ms: tuple[float, float], blind_ms: tuple[int, int], *truth: TruthInterval
) -> Observed:
    """Return a run whose probe did not look for a while; nothing is due then."""
    seen = observed(down_ms, *truth)
    start_ns, end_ns = (at_ms * NS_PER_MS for at_ms in blind_ms)
    block = Block()
    rows = [row for row in seen.served[SCOPE] if not start_ns <= row[0] < end_ns]
    failed = [row for row in seen.failed[SCOPE] if not start_ns <= row.due_ns < end_ns]
    for row in rows:
        block.add_served(*row)
    for failure in failed:
        block.add_failure(failure)
    aggregate = Aggregate([LaneInfo(LANE, False, (0,), 250 * NS_PER_MS)])
    aggregate.start_process(0, 0)
    last_ns = END_MS * NS_PER_MS
    stalls = [(start_ns, end_ns)]
    aggregate.add(0, {SCOPE: block}, watermark_ns=last_ns, stalls=stalls)
    return replace(
        seen,
        results=aggregate.finish(last_ns),
        probe_stalls=stalls,
        served={SCOPE: rows},
        failed={SCOPE: failed},
    )


@pytest.mark.parametrize("blind_ms", [(450, 550), (520, 560), (560, 650), (450, 650)])
def test_what_nobody_saw_is_inside(blind_ms: tuple[int, int]) -> None:
    """Wherever the probe did not look, bounds contain the truth and are as narrow."""
    result = judged(blind_run((500, 600), blind_ms, fault(499.8, 599.8)))
    assert problems(result) == ""
    assert not result.false


def test_what_nobody_told_apart_is_compared_with_both() -> None:
    """Two outages may be told as one, but only if nobody looked in between."""
    both = fault(499.8, 599.8), fault(699.8, 799.8)
    assert problems(judged(blind_run((500, 800), (590, 720), *both))) == ""
    seen = problems(judged(observed((500, 800), *both)))
    assert "lower bound" in seen
    assert "core are outside" in seen


def test_bounds_are_as_wide_as_what_failed_calls_for() -> None:
    """A connection may have been lost since long before anything was due on it."""
    seen = observed((500, 600), fault(499.8, 599.8))
    failed = [
        row._replace(evidence_start_ns=row.due_ns - 40 * NS_PER_MS)
        for row in seen.failed[SCOPE]
    ]
    block = Block()
    for row in seen.served[SCOPE]:
        block.add_served(*row)
    block.add_failure(failed[0])
    aggregate = Aggregate([LaneInfo(LANE, False, (0,), 250 * NS_PER_MS)])
    aggregate.start_process(0, 0)
    end_ns = END_MS * NS_PER_MS
    aggregate.add(0, {SCOPE: block}, watermark_ns=end_ns)
    found = replace(
        seen,
        results=aggregate.finish(end_ns),
        truth=[fault(499.8, 500.2)],
        failed={SCOPE: failed[:1]},
    )
    (outage,) = found.results.outages
    assert outage.hull_start_ns < 461 * NS_PER_MS
    assert "too wide" not in problems(judged(found))


def test_what_failed_only_for_old_reasons_may_be_missed() -> None:
    """After a blind time only failures that were found out anew must be told."""
    seen = blind_run((500, 600), (450, 550), fault(499.8, 599.8))
    nothing = replace(seen.results, outages=[])
    assert "missed" in problems(judged(replace(seen, results=nothing)))
    old = [
        failure._replace(evidence_start_ns=440 * NS_PER_MS)
        for failure in seen.failed[SCOPE]
    ]
    stale = replace(seen, results=nothing, failed={SCOPE: old})
    assert "missed" not in problems(judged(stale))


def test_what_was_sent_after_it_was_over_may_be_missed() -> None:
    """An arrival that waited for us until then has met nothing."""
    seen = observed((0, 0), fault(500.5, 512.5))
    nothing = replace(seen, probe_stalls=[(514 * NS_PER_MS, 540 * NS_PER_MS)])
    assert "missed" in problems(judged(nothing))
    late_ns = 530 * NS_PER_MS
    rows = [
        (due_ns, late_ns, late_ns + NS_PER_MS)
        if 490 * NS_PER_MS <= due_ns < 514 * NS_PER_MS
        else (due_ns, sent_ns, done_ns)
        for due_ns, sent_ns, done_ns in nothing.served[SCOPE]
    ]
    assert "missed" not in problems(judged(replace(nothing, served={SCOPE: rows})))


def test_bounds_that_are_too_wide_are_a_violation() -> None:
    """What was seen does not become uncertain."""
    seen = blind_run((500, 600), (520, 560), fault(499.8, 599.8))
    all_seen = replace(seen, probe_stalls=[])
    totals = {LANE: replace(seen.results.lane_totals[LANE], blind=[])}
    all_seen = replace(all_seen, results=replace(seen.results, lane_totals=totals))
    assert "too wide" in problems(judged(all_seen))


def test_what_is_stopped_goes_on() -> None:
    """A process is stopped when it should be, and never left so."""
    sleeper = subprocess.Popen(["/bin/sleep", "60"])
    state = Path(f"/proc/{sleeper.pid}/stat")
    try:
        with Disturber(Order(os.getpid(), (sleeper.pid,), ((0, 1),))) as disturber:
            assert len(disturber.done()) == 1
        assert " T " not in state.read_text()
        with Disturber(Order(os.getpid(), (sleeper.pid,), ((0, 1 << 62),))):
            while " T " not in state.read_text():
                pass
        assert " T " not in state.read_text()
    finally:
        sleeper.kill()
        sleeper.wait()


def test_cases_that_are_measured_anew_take_their_place() -> None:
    """Of figures that are kept, only what was measured anew is different."""
    one, two = CaseFigures(Setting(100)), CaseFigures(Setting(1_000))
    kept = Calibration(1, False, {}, (one, two))
    anew = CaseFigures(Setting(100), blind_ms=5.0)
    more = CaseFigures(Setting(3_000, disturbance="paused"))
    assert with_cases(kept, [more, anew]).cases == (anew, two, more)


def test_the_page_is_made_of_the_figures(tmp_path: Path) -> None:
    """Tables, figures and picture stay as they are when they are made again."""
    calibration = read(FIGURES)
    page = PAGE.read_text()
    assert with_tables(page, calibration) == page
    write(calibration, tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == FIGURES.read_bytes()
    for name in ("one.svg", "two.svg"):
        draw(calibration.cases, tmp_path / name)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()


@pytest.mark.parametrize("page", ["", BEGIN, f"{END} {BEGIN}", f"{BEGIN}{BEGIN}{END}"])
def test_a_page_without_its_markers_is_refused(page: str) -> None:
    """Nothing is written to a place that is not meant for it."""
    with pytest.raises(ValueError, match="the page"):
        with_tables(page, Calibration(1, True, {}, ()))
