"""The aggregate: sealing, excuses, blind time, seconds, the film, bounded memory."""

import pytest

from loadprobe.core.judging import aggregate as module
from loadprobe.core.judging import lanes
from loadprobe.core.judging.aggregate import Aggregate
from loadprobe.core.judging.cells import BlindSpan, Cell, FilmChunk
from loadprobe.core.judging.columns import Block, Failure, Scope
from loadprobe.core.judging.lanes import LaneInfo
from loadprobe.core.judging.outcome import ErrorClass, OpKind, Outcome
from loadprobe.core.judging.results import Sealed
from tests.support.aggregating import MS, ONE, SCOPE, D, begun, refuse, served

S = 1_000_000_000
TWO = LaneInfo("tcp", False, (0, 1), D)


def be_late(block: Block, due_ms: float, done_ms: float) -> Block:
    """Add an arrival with a late reply."""
    due, done = round(due_ms * MS), round(done_ms * MS)
    block.add_failure(Failure(due, due, done, Outcome.LATE, ErrorClass.LATE, done, due))
    return block


def test_sealing_waits_for_the_slowest_process() -> None:
    """Nothing is judged that another process may still have to deliver."""
    aggregate = begun(TWO)
    block = refuse(served(1, 2, 6, 7), 4)
    aggregate.add(0, {SCOPE: block}, watermark_ns=100 * MS)
    assert aggregate.seal() == Sealed(0)
    aggregate.add(1, {SCOPE: served(3, 5)}, watermark_ns=50 * MS + 7)
    sealed = aggregate.seal()
    assert sealed.until_ns == 50 * MS
    (outage,) = sealed.closed
    assert (outage.hull_start_ns, outage.hull_end_ns) == (3 * MS, 5 * MS + MS // 2)
    assert aggregate.scope_totals[SCOPE].counts == [6, 0, 1, 0, 0, 0]
    assert aggregate.seal() == Sealed(50 * MS)


def test_a_process_that_never_came_does_not_hold_up_the_others() -> None:
    """Sealing goes on once a process is known to be blind; its lane is not."""
    aggregate = Aggregate([TWO])
    aggregate.start_process(0, 0)
    aggregate.add(0, {SCOPE: served(1, 2)}, watermark_ns=S)
    assert aggregate.seal().until_ns == 0
    aggregate.mark_blind(1, 0, S)
    assert aggregate.watermark_ns(1) == S
    sealed = aggregate.seal()
    assert sealed.until_ns == S
    assert sealed.blind == []


def test_nobody_waits_for_a_process_that_is_asleep() -> None:
    """A lane that begins later is neither awaited nor blind before; then it counts."""
    tls = LaneInfo("tls", True, (1,), D)
    aggregate = Aggregate([ONE, tls], asleep=[1])
    assert aggregate.seal() == Sealed(0)
    aggregate.start_process(0, 0)
    aggregate.add(0, {SCOPE: served(1, 2)}, watermark_ns=S)
    assert aggregate.seal().until_ns == S
    aggregate.start_process(1, 1500 * MS)
    aggregate.add(0, {}, watermark_ns=2 * S)
    assert aggregate.seal().until_ns == 1500 * MS
    later = Scope("tls", "0001", OpKind.READ)
    aggregate.add(1, {later: served(1600, 1700)}, watermark_ns=2 * S)
    results = aggregate.finish(2 * S)
    assert aggregate.scope_totals[later].served == 2
    assert results.lane_totals["tls"].begin_ns == 1500 * MS
    assert all(totals.blind_ns == 0 for totals in results.lane_totals.values())


def test_a_lane_that_never_woke_has_no_begin() -> None:
    """It is told from one that began and had no arrivals; alone it holds up nothing."""
    aggregate = Aggregate([ONE], asleep=[0])
    assert aggregate.seal(until_ns=S) == Sealed(0)
    results = aggregate.finish(S)
    assert results.lane_totals["tcp"].begin_ns is None
    assert results.lane_totals["tcp"].blind_ns == 0


def test_all_processes_blind_is_blind() -> None:
    """A lane is blind while all its processes are, and arrivals due then not judged."""
    aggregate = begun(TWO)
    aggregate.add(
        0,
        {SCOPE: refuse(served(1, 2, 90), 35)},
        watermark_ns=S,
        stalls=[(20 * MS, 50 * MS)],
    )
    aggregate.add(1, {}, watermark_ns=S, stalls=[(30 * MS, 60 * MS)])
    results = aggregate.finish(S)
    span = BlindSpan("tcp", 30 * MS, 50 * MS)
    assert results.last.blind == [span]
    assert results.lane_totals["tcp"].blind == [span]
    assert results.lane_totals["tcp"].blind_ns == 20 * MS
    assert results.outages == []
    totals = results.scope_totals[SCOPE]
    assert (totals.failed, totals.unseen, totals.dark_ms) == (0, 1, 0)
    assert span in results.last.film


def test_lateness_of_a_stalled_process_is_unseen() -> None:
    """A late reply is no failure if its own process was stalled meanwhile.

    Nor is what was due then, whatever became of it.
    """
    aggregate = begun(TWO)
    stall = [(200 * MS, 240 * MS)]
    aggregate.add(
        0,
        {SCOPE: be_late(refuse(Block(), 205), 100, 360)},
        watermark_ns=S,
        stalls=stall,
    )
    aggregate.add(1, {SCOPE: be_late(served(1, 500), 101, 360)}, watermark_ns=S)
    results = aggregate.finish(S)
    totals = results.scope_totals[SCOPE]
    assert totals.unseen == 2
    assert totals.counts == [2, 1, 0, 0, 0, 0]
    assert [o.failed for o in results.outages] == [1]
    assert results.outages[0].first_due_ns == 101 * MS


def test_a_connection_that_took_too_long_while_blind_is_unseen() -> None:
    """An attempt that was given up proves nothing if its process was stopped meanwhile.

    One that was given up without that does, and so does one that was refused.
    """
    connects = SCOPE._replace(op=OpKind.CONNECT)
    block = Block()
    unreachable, refused = ErrorClass.UNREACHABLE, ErrorClass.CONNECT_REFUSED
    for due_ms, end_ms, error in (
        (100, 1_150, unreachable),
        (1_200, 2_200, unreachable),
        (2_900, 2_901, refused),
    ):
        due, end = due_ms * MS, end_ms * MS
        block.add_failure(Failure(due, due, -1, Outcome.UNSENT, error, due, end))
    aggregate = begun(ONE)
    stalls = [(110 * MS, 1_140 * MS), (3_000 * MS, 3_100 * MS)]
    aggregate.add(0, {connects: block}, watermark_ns=4 * S, stalls=stalls)
    results = aggregate.finish(4 * S)
    totals = results.scope_totals[connects]
    assert (totals.unseen, totals.failed) == (1, 2)


def test_death_and_restart() -> None:
    """Between the last word of a dead process and its return its lane is blind."""
    aggregate = begun(ONE)
    aggregate.add(0, {SCOPE: served(1, 50)}, watermark_ns=100 * MS)
    mark = aggregate.watermark_ns(0)
    assert mark is not None
    aggregate.mark_blind(0, mark, 300 * MS)
    assert aggregate.seal().until_ns == 300 * MS
    aggregate.start_process(0, 400 * MS)
    aggregate.add(0, {SCOPE: served(410)}, watermark_ns=500 * MS)
    results = aggregate.finish(500 * MS)
    assert results.lane_totals["tcp"].blind == [BlindSpan("tcp", 100 * MS, 400 * MS)]
    assert results.outages == []


def test_reports_out_of_order_never_move_a_watermark_wrongly() -> None:
    """A mark back in time changes nothing; one ahead leaves the gap to be delivered."""
    aggregate = begun(ONE)
    aggregate.add(0, {}, watermark_ns=100 * MS)
    aggregate.start_process(0, 50 * MS)
    assert aggregate.watermark_ns(0) == 100 * MS
    aggregate.mark_blind(0, 200 * MS, 300 * MS)
    assert aggregate.watermark_ns(0) == 100 * MS
    aggregate.add(0, {}, watermark_ns=400 * MS)
    assert aggregate.seal().blind == [BlindSpan("tcp", 200 * MS, 300 * MS)]


def test_blind_list_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blind spans beyond the limit are counted but not kept."""
    monkeypatch.setattr(lanes, "KEPT_OUTAGES", 1)
    aggregate = begun(ONE)
    spans = [(10 * MS, 20 * MS), (30 * MS, 40 * MS)]
    aggregate.add(0, {}, watermark_ns=100 * MS, stalls=spans)
    totals = aggregate.finish(100 * MS).lane_totals["tcp"]
    assert totals.blind == [BlindSpan("tcp", 10 * MS, 20 * MS)]
    assert totals.blind_ns == 20 * MS


def test_an_outage_after_a_long_pause_knows_its_last_served_arrival() -> None:
    """A scope with few arrivals keeps the last served one, however old."""
    aggregate = begun(ONE)
    for step in range(1, 20):
        block = served(100) if step == 1 else Block()
        aggregate.add(0, {SCOPE: block}, watermark_ns=step * S)
        aggregate.seal()
    aggregate.add(0, {SCOPE: refuse(served(19_600), 19_500)}, watermark_ns=20 * S)
    (outage,) = aggregate.finish(20 * S).outages
    assert (outage.hull_start_ns, outage.open_start) == (100 * MS, False)


def test_arrivals_before_the_start_are_a_defect() -> None:
    """A process that delivers without having begun is a mistake of ours."""
    with pytest.raises(
        ValueError, match="process 0 delivers arrivals before its start"
    ):
        Aggregate([ONE]).add(0, {}, watermark_ns=1)


def test_time_before_the_start_is_not_blind() -> None:
    """Blind time counts from the start of the first process of the lane."""
    aggregate = Aggregate([TWO])
    aggregate.start_process(0, 100 * MS)
    aggregate.start_process(1, 300 * MS)
    aggregate.add(
        0, {SCOPE: served(120)}, watermark_ns=S, stalls=[(200 * MS, 210 * MS)]
    )
    aggregate.add(1, {}, watermark_ns=S)
    results = aggregate.finish(S)
    assert results.start_ns == 100 * MS
    assert results.lane_totals["tcp"].blind_ns == 10 * MS


def test_counters_of_cells() -> None:
    """Every millisecond with arrivals is observed, and dark or grey if some failed."""
    aggregate = begun(ONE)
    block = refuse(served(1, 1.5, 2, 4.2), 2.5, 3, 3.1, 1003)
    aggregate.add(0, {SCOPE: block}, watermark_ns=2 * S)
    sealed = aggregate.seal()
    totals = aggregate.scope_totals[SCOPE]
    assert (totals.observed_ms, totals.dark_ms, totals.grey_ms) == (5, 2, 1)
    first, second = sealed.seconds
    assert (first.second, first.counts) == (0, [4, 0, 3, 0, 0, 0])
    assert (first.observed_ms, first.dark_ms, first.grey_ms) == (4, 1, 1)
    assert (second.second, second.counts, second.dark_ms) == (1, [0, 0, 1, 0, 0, 0], 1)
    assert totals.classes == {ErrorClass.CLUSTERDOWN: 4}
    assert totals.lost_ns == 4 * MS // 2
    assert totals.arrivals == 8


def test_a_shard_that_is_gone_takes_no_more_room() -> None:
    """A second without arrivals is none, however finely it was judged."""
    aggregate = begun(ONE)
    told: list[int] = []
    for quarter in range(1, 21):
        block = served(250 * quarter - 100) if quarter < 5 else Block()
        aggregate.add(0, {SCOPE: block}, watermark_ns=quarter * S // 4)
        told += [counts.second for counts in aggregate.seal().seconds]
    assert told == [0]
    assert aggregate.finish(5 * S).last.seconds == []


def test_latencies_per_second() -> None:
    """Served and late replies are recorded in the second in which they were due."""
    aggregate = begun(ONE)
    block = be_late(refuse(served(10, 990), 500), 995, 1300)
    aggregate.add(0, {SCOPE: block}, watermark_ns=S)
    (entry,) = aggregate.seal().histograms
    assert (entry.lane, entry.op, entry.second) == ("tcp", OpKind.READ, 0)
    assert (entry.response.count, entry.response.max_ns) == (3, 305 * MS)
    assert entry.service.min_ns == MS * 4 // 10
    aggregate.add(0, {SCOPE: served(1999, 2000)}, watermark_ns=2 * S + MS)
    assert [h.second for h in aggregate.seal().histograms] == [1]
    results = aggregate.finish(2 * S + MS)
    assert [h.second for h in results.last.histograms] == [2]
    totals = results.lane_totals["tcp"]
    assert totals.response[OpKind.READ].count == 5
    assert totals.service[OpKind.READ].count == 5
    assert (totals.lateness.count, totals.lateness.max_ns) == (4, MS // 10)


def test_time_lost_by_clients() -> None:
    """A waiting client loses the time to the reply, the deadline, or the bad news."""
    block = be_late(Block(), 100, 400)
    ends = (Outcome.UNKNOWN, Outcome.UNKNOWN, Outcome.UNSENT)
    errors = (ErrorClass.TIMEOUT, ErrorClass.RESET, ErrorClass.CONNECT_REFUSED)
    for outcome, error, known_ms in zip(ends, errors, (999, 107, 99), strict=True):
        due = 100 * MS
        block.add_failure(Failure(due, due, -1, outcome, error, due, known_ms * MS))
    aggregate = begun(ONE)
    aggregate.add(0, {SCOPE: block}, watermark_ns=S)
    results = aggregate.finish(S)
    assert results.scope_totals[SCOPE].lost_ns == (300 + 250 + 7 + 0) * MS


def film_cells(frames: list[FilmChunk | BlindSpan]) -> list[Cell]:
    """Return all cells of a film."""
    chunks = [frame for frame in frames if isinstance(frame, FilmChunk)]
    return sorted(cell for chunk in chunks for cell in chunk.cells())


@pytest.mark.parametrize("step_ms", [50, 250, 10_000])
def test_film_shows_what_was_around_an_outage(step_ms: int) -> None:
    """The film holds all cells from 1 s before to 1 s after, however it was sealed."""
    aggregate = begun(ONE)
    frames: list[FilmChunk | BlindSpan] = []
    for start in range(0, 10_000, step_ms):
        dues = range(start, min(start + step_ms, 10_000), 10)
        bad = [t for t in dues if 4000 <= t < 4100]
        block = refuse(served(*(t for t in dues if t not in bad)), *bad)
        aggregate.add(0, {SCOPE: block}, watermark_ns=(start + step_ms) * MS)
        frames += aggregate.seal().film
    frames += aggregate.finish(10_000 * MS).last.film
    cells = film_cells(frames)
    assert [cell.ms for cell in cells] == list(range(3000, 5100, 10))
    assert sum(cell.counts[Outcome.REFUSED] for cell in cells) == 10


def test_film_skips_the_middle_of_a_long_outage() -> None:
    """Of a long outage the film holds the first minute and the end."""
    aggregate = begun(ONE)
    frames: list[FilmChunk | BlindSpan] = []
    for start in range(100):
        dues = [start * 1000 + 100 * i for i in range(10)]
        block = refuse(Block(), *dues) if 5 <= start < 90 else served(*dues)
        aggregate.add(0, {SCOPE: block}, watermark_ns=(start + 1) * S)
        sealed = aggregate.seal()
        frames += sealed.film
        assert len(sealed.opened) == (start == 5)
        assert len(aggregate.current()) == (5 <= start < 90)
    frames += aggregate.finish(100 * S).last.film
    seconds = {cell.ms // 1000 for cell in film_cells(frames)}
    assert seconds == {*range(4, 67), 88, 89, 90}


def test_healthy_scopes_leave_no_film() -> None:
    """Without failures nothing is kept."""
    aggregate = begun(ONE)
    aggregate.add(0, {SCOPE: served(*range(3000))}, watermark_ns=3 * S)
    assert aggregate.finish(3 * S).last.film == []


def test_outages_beyond_the_limit_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The list of outages is bounded; the totals are not."""
    monkeypatch.setattr(module, "KEPT_OUTAGES", 2)
    aggregate = begun(ONE)
    aggregate.add(
        0, {SCOPE: refuse(served(1, 3, 5, 7), 2, 4, 6)}, watermark_ns=100 * MS
    )
    results = aggregate.finish(100 * MS)
    assert [o.first_due_ns for o in results.outages] == [2 * MS, 4 * MS]
    assert results.dropped_outages == 1
    totals = results.scope_totals[SCOPE]
    assert totals.outages == 3
    assert totals.outage_ns == 3 * MS
    assert totals.last_outage is not None
    assert totals.last_outage.first_due_ns == 6 * MS


def test_arrivals_due_after_the_end_are_judged_all_the_same() -> None:
    """Nothing that was delivered is lost at the end."""
    aggregate = begun(ONE)
    aggregate.add(0, {SCOPE: served(1, 150)}, watermark_ns=100 * MS)
    results = aggregate.finish(100 * MS)
    assert results.scope_totals[SCOPE].served == 2


def test_nothing_is_sealed_beyond_the_given_end() -> None:
    """A watermark beyond the end of the load does not take judging there."""
    aggregate = begun(ONE)
    aggregate.add(0, {SCOPE: served(1, 2)}, watermark_ns=S)
    assert aggregate.seal(until_ns=100 * MS + 7).until_ns == 100 * MS
    assert aggregate.seal(until_ns=100 * MS + 7) == Sealed(100 * MS)


def test_an_open_outage_ends_with_the_load() -> None:
    """An arrival due just after the end is judged but stretches no open outage."""
    aggregate = begun(ONE)
    other = Scope("tcp", "0002", OpKind.READ)
    blocks = {SCOPE: refuse(served(1), 60, 90), other: served(1, 150)}
    aggregate.add(0, blocks, watermark_ns=5 * S)
    results = aggregate.finish(100 * MS)
    assert results.scope_totals[other].served == 2
    (outage,) = results.outages
    assert (outage.hull_end_ns, outage.end_ns) == (100 * MS, 95 * MS)
    assert results.lane_totals["tcp"].blind_ns == 0


def test_blind_time_ends_with_the_load() -> None:
    """A stall over the end counts up to it, and hides arrivals all the same."""
    aggregate = begun(ONE)
    stalls = [(90 * MS, 400 * MS)]
    block = be_late(served(1, 150), 80, 400)
    aggregate.add(0, {SCOPE: block}, watermark_ns=5 * S, stalls=stalls)
    results = aggregate.finish(100 * MS)
    assert results.lane_totals["tcp"].blind == [BlindSpan("tcp", 90 * MS, 100 * MS)]
    assert results.lane_totals["tcp"].blind_ns == 10 * MS
    assert results.scope_totals[SCOPE].unseen == 1 + 1


def test_nothing_happened() -> None:
    """A run without any process ends with empty results."""
    results = Aggregate([ONE]).finish(S)
    assert (results.start_ns, results.end_ns) == (S, S)
    assert results.lane_totals["tcp"].begin_ns is None
