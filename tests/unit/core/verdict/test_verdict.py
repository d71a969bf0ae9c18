"""The verdict: numbers, sentences and thresholds, from arrivals to documents."""

from collections.abc import Sequence

import msgspec
import pytest

from loadprobe.core.judging.aggregate import Aggregate
from loadprobe.core.judging.columns import Block, Failure, Scope
from loadprobe.core.judging.lanes import LaneInfo
from loadprobe.core.judging.outcome import ErrorClass, OpKind, Outcome
from loadprobe.core.judging.results import Results
from loadprobe.core.verdict.beside import Planned
from loadprobe.core.verdict.measured import Changes, DataFound, Measured, ObserverHealth
from loadprobe.core.verdict.quantities import Bounds
from loadprobe.core.verdict.summary import SloResult, Summary
from loadprobe.core.verdict.thresholds import SloLimits
from loadprobe.core.verdict.verdict import Verdict, summarize
from tests.support.clocks import CLOCK, S

MS = 1_000_000
APP = LaneInfo("app", False, (0,), 250 * MS, is_witness=False)
LANES = [LaneInfo("tcp", False, (0,), 250 * MS), LaneInfo("tls", True, (0,), 250 * MS)]


def block(
    dark: range = range(0), *, end_ms: int = 1000, after: Outcome = Outcome.REFUSED
) -> Block:
    """Return one arrival a millisecond, refused in the given milliseconds."""
    result = Block()
    for ms in range(end_ms):
        due, sent, done = ms * MS, ms * MS + MS // 10, ms * MS + MS // 2
        if ms in dark:
            error = ErrorClass.VALUE if after is Outcome.WRONG else ErrorClass.READONLY
            result.add_failure(Failure(due, sent, done, after, error, sent, done))
        else:
            result.add_served(due, sent, done)
    return result


def run(
    blocks: dict[tuple[str, str], Block],
    *,
    stalls: tuple[tuple[int, int], ...] = (),
    end_ms: int = 1000,
    lanes: Sequence[LaneInfo] = LANES,
) -> Results:
    """Return the results of reads on (lane, shard)."""
    aggregate = Aggregate(lanes)
    aggregate.start_process(0, 0)
    scoped = {Scope(*place, OpKind.READ): b for place, b in blocks.items()}
    aggregate.add(0, scoped, watermark_ns=end_ms * MS, stalls=stalls)
    return aggregate.finish(end_ms * MS)


def judged(results: Results, slo: SloLimits | None = None) -> Verdict:
    """Return the verdict with the usual settings."""
    health = ObserverHealth(max_loop_lag_ns=3 * MS, late_sends=2, cpu_ns=S // 2)
    return summarize(
        Measured(results, CLOCK, S, observer=health, slo=slo or SloLimits())
    )


def everywhere(**dark: range) -> dict[tuple[str, str], Block]:
    """Return blocks for two lanes and three shards, dark as named by lane_shard."""
    return {
        (lane, f"000{n}"): block(dark.get(f"{lane}_{n}", range(0)))
        for lane in ("tcp", "tls")
        for n in (1, 2, 3)
    }


def test_clean_run() -> None:
    """Without failures the verdict says so, and all dark times are zero."""
    summary = judged(run(everywhere())).summary
    assert summary.state == "clean"
    assert summary.verdict == ["no arrival failed in 1.0 s"]
    assert summary.downtime_ms.any_shard == Bounds(0, 0, 0)
    assert set(summary.downtime_ms.shards) == {"0001", "0002", "0003"}
    assert [lane.availability for lane in summary.lanes] == [1.0, 1.0]
    assert summary.lost_writes is None
    assert summary.stale_reads is None
    assert summary.client_seconds_lost == 0


def test_shard_outage() -> None:
    """A dark shard is named with its bounds per lane, and that the others were not."""
    verdict = judged(run(everywhere(tcp_2=range(300, 700), tls_2=range(310, 720))))
    summary = verdict.summary
    assert summary.state == "outage"
    assert summary.headline == "1 incident: shard 0002, both lanes"
    assert summary.verdict == [
        (
            "shard 0002 was dark on lane tcp for 400 ms [398, 402], "
            "on lane tls for 410 ms [408, 412]; the other shards 0 ms"
        ),
        (
            "shard: while shard 0002 was dark on lane tls for 410 ms from 22:13:20.309 "
            "UTC on, shards 0001, 0003 were served on lane tls"
        ),
    ]
    tcp, tls = summary.lanes
    assert tcp.downtime_ms.shards["0002"] == Bounds(400.0, 398.5, 401.5)
    assert tcp.downtime_ms.all_shards == Bounds(0, 0, 0)
    assert tls.classes == {"readonly": 410}
    assert tcp.availability == pytest.approx(2600 / 3000)
    assert summary.downtime_ms.any_shard == Bounds(420.0, 418.5, 421.5)
    assert summary.client_seconds_lost == pytest.approx(810 * 0.0005)
    (incident,) = summary.incidents
    assert (incident.outages, incident.causes) == (2, {"shard": 2})
    assert (incident.where, incident.why) == ("shard 0002, both lanes", "shard")
    assert incident.dark_ms == Bounds(420.0, 418.5, 421.5)
    assert incident.downtime_ms["tls"].any_shard.estimate == 410
    assert [s.shard for s in incident.scopes] == ["0002", "0002"]
    row = verdict.outages.outages[0]
    assert (row.lane, row.shard, row.op, row.failed) == ("tcp", "0002", "read", 400)
    assert (row.lower_ms, row.duration_ms, row.upper_ms) == (398.5, 400.0, 401.5)
    assert row.start_unix_ns == CLOCK.wall_ns + 299_500_000
    assert (row.attribution, row.incident, row.probe_gap_ms) == ("shard", 1, 1.0)
    assert row.classes == {"readonly": 400}
    scope = next(s for s in summary.scopes if (s.lane, s.shard) == ("tcp", "0002"))
    assert (scope.arrivals, scope.outages) == (1000, 1)
    assert scope.dark_ms == Bounds(400.0, 398.5, 401.5)


def test_cluster_outage_is_attributed() -> None:
    """When all shards are dark together, the cluster is."""
    dark = range(300, 400)
    names = [f"{lane}_{n}" for lane in ("tcp", "tls") for n in (1, 2, 3)]
    summary = judged(run(everywhere(**dict.fromkeys(names, dark)))).summary
    assert summary.headline == "1 incident: all 3 shards, both lanes"
    assert summary.verdict[-1:] == [
        (
            "cluster: while shard 0001 was dark on lane tcp for 100 ms from "
            "22:13:20.299 UTC on, all 3 shards were dark on lane tcp"
        ),
    ]
    assert summary.downtime_ms.all_shards == Bounds(100.0, 98.5, 101.5)


def test_downtime_is_that_of_the_witness() -> None:
    """A client that is dark longer, or elsewhere, makes the cluster no darker."""
    blocks = {
        ("tcp", "0001"): block(range(300, 400)),
        ("tcp", "0002"): block(range(500, 600)),
        ("app", "0001"): block(range(300, 900)),
        ("app", "0002"): block(range(300, 900)),
    }
    summary = judged(run(blocks, lanes=[LANES[0], APP])).summary
    assert summary.witnesses == ["tcp"]
    assert summary.downtime_ms.all_shards.upper == 0
    assert summary.downtime_ms.any_shard.estimate == 200
    assert summary.client_downtime_ms is not None
    assert summary.client_downtime_ms.all_shards.estimate == 600
    alone = judged(run({("app", "0001"): block(range(300, 900))}, lanes=[APP])).summary
    assert alone.witnesses == ["app"]
    assert alone.downtime_ms.any_shard.estimate == 600
    assert alone.client_downtime_ms is None


def test_blind_probe() -> None:
    """A probe that was blind says so instead of calling the run clean."""
    summary = judged(run(everywhere(), stalls=((100 * MS, 150 * MS),))).summary
    assert summary.state == "blind"
    assert summary.verdict[:2] == [
        "no outage was seen in 1.0 s",
        (
            "the probe itself was blind for 50 ms; that time counts neither as "
            "downtime nor as served"
        ),
    ]
    assert summary.observer.blind_ms == 50
    (incident,) = {i.start_unix_ns: i for i in summary.incidents}.values()
    assert incident.is_probe_only
    assert incident.causes == {"probe": 1}


def test_a_little_blindness_is_no_headline() -> None:
    """Below the stated share the run is clean, and the time is told all the same."""
    summary = judged(run(everywhere(), stalls=((100 * MS, 110 * MS),))).summary
    assert (summary.state, summary.headline) == ("clean", "")
    assert "was blind for 10 ms" in summary.verdict[1]


def test_failures_in_blind_time_are_told() -> None:
    """Arrivals the probe could not judge are named, not hidden, and in no ratio."""
    stalls = ((100 * MS, 150 * MS),)
    summary = judged(run(everywhere(tcp_1=range(110, 120)), stalls=stalls)).summary
    assert summary.state == "blind"
    assert summary.verdict[0] == "no outage was seen in 1.0 s"
    assert summary.observer.unseen_arrivals == 300
    assert "300 arrivals fell into blind time" in summary.verdict[2]
    assert summary.lanes[0].availability == 1.0


def test_unseen_arrivals_are_told() -> None:
    """Late arrivals that are the probe's own fault are counted and named."""
    late = block()
    late.add_failure(
        Failure(
            500 * MS,
            500 * MS,
            760 * MS,
            Outcome.LATE,
            ErrorClass.LATE,
            760 * MS,
            500 * MS,
        )
    )
    blocks = {("tcp", "0001"): late, ("tls", "0001"): block()}
    summary = judged(run(blocks, stalls=((600 * MS, 601 * MS),))).summary
    assert summary.observer.unseen_arrivals == 3
    assert "3 arrivals fell into blind time" in summary.verdict[-1]


def test_lane_without_arrivals_is_invalid() -> None:
    """A lane about which nothing is known makes the run invalid, not clean."""
    summary = judged(run({("tcp", "0001"): block()})).summary
    assert summary.state == "invalid"
    assert summary.verdict == [
        "lane tls had no arrival to judge: nothing is known about it"
    ]


def test_wrong_replies_are_counted() -> None:
    """A wrong reply is a failure and counted on its own."""
    blocks = everywhere()
    blocks["tcp", "0001"] = block(range(500, 502), after=Outcome.WRONG)
    summary = judged(run(blocks)).summary
    assert summary.wrong == 2
    assert summary.lanes[0].outcomes["wrong"] == 2


def test_thresholds() -> None:
    """Each threshold is checked against what was measured."""
    results = run(everywhere(tcp_2=range(300, 700)))
    limits = SloLimits(max_outage_ms=100, availability=0.5, p99_ms=0.1)
    summary = judged(results, limits).summary
    assert [(c.name, c.is_met) for c in summary.slo] == [
        ("max_outage_ms", False),
        ("availability", True),
        ("p99_ms", False),
    ]
    assert summary.slo[0].actual == 400
    assert summary.verdict[-2] == "max_outage_ms is missed: 400, limit 100"


def test_thresholds_of_what_is_counted() -> None:
    """Lost writes, failures and blind time; what is by plan is left out."""
    stalls = ((410 * MS, 600 * MS),)
    dark = dict.fromkeys((f"tcp_{n}" for n in (1, 2, 3)), range(700, 1000))
    measured = Measured(
        run(everywhere(**dark, tls_2=range(300, 350)), stalls=stalls),
        CLOCK,
        S,
        slo=SloLimits(max_lost_writes=2, max_errors=50, max_blind_ms=100),
        data=DataFound(lost_writes=2),
        changes=Changes(planned=[Planned("tcp", 690 * MS, 1000 * MS)]),
    )
    assert summarize(measured).summary.slo == [
        SloResult("max_lost_writes", 2, 2, True),
        SloResult("max_errors", 50, 50, True),
        SloResult("max_blind_ms", 100, 190, False),
    ]
    (check,) = judged(run(everywhere()), SloLimits(max_lost_writes=0)).summary.slo
    assert (check.actual, check.is_met) == (None, False)


def test_thresholds_without_a_value_are_missed() -> None:
    """What could not be measured is not met."""
    limits = SloLimits(max_outage_ms=100, availability=0.5, p99_ms=0.1)
    summary = judged(Aggregate(LANES).finish(S), limits).summary
    assert summary.slo == [
        SloResult("max_outage_ms", 100, None, False),
        SloResult("availability", 0.5, None, False),
        SloResult("p99_ms", 0.1, None, False),
    ]
    assert summary.verdict[-1] == "p99_ms is missed: no value, limit 0.1"


def test_dropped_outages_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """If not all outages could be kept the verdict says what the numbers cover."""
    monkeypatch.setattr("loadprobe.core.judging.aggregate.KEPT_OUTAGES", 1)
    dark = {"tcp_1": range(100, 110), "tcp_2": range(500, 510)}
    summary = judged(run(everywhere(**dark))).summary
    assert summary.observer.dropped_outages == 1
    assert "1 further outages were counted but not kept" in summary.verdict[-1]


def test_documents_survive_json() -> None:
    """summary.json can be read back into the same values."""
    summary = judged(run(everywhere(tcp_2=range(300, 700)))).summary
    assert msgspec.json.decode(msgspec.json.encode(summary), type=Summary) == summary
    assert summary.schema_version == 1
    assert summary.start_unix_ns == CLOCK.wall_ns
    assert summary.duration_s == 1.0
    assert summary.observer.max_loop_lag_ms == 3
    assert summary.lanes[0].response_ms["read"].max == 0.5
    assert summary.lanes[0].lateness_ms.p50 == pytest.approx(0.1, rel=0.01)


def planned_run() -> Verdict:
    """Return a run in which TCP is dark by plan from 400 ms on, on all shards."""
    dark = dict.fromkeys((f"tcp_{n}" for n in (1, 2, 3)), range(420, 1000))
    return summarize(
        Measured(
            run(everywhere(**dark, tls_2=range(300, 350))),
            CLOCK,
            S,
            slo=SloLimits(max_outage_ms=60, availability=0.98),
            changes=Changes(planned=[Planned("tcp", 400 * MS, 1000 * MS)]),
        )
    )


def test_blind_time_within_planned_darkness_is_no_failure() -> None:
    """Stops of the probe while a lane is dark by plan cost no availability."""
    dark = dict.fromkeys((f"tcp_{n}" for n in (1, 2, 3)), range(420, 1000))
    stalls = tuple((at * MS, (at + 60) * MS) for at in (500, 650, 800))
    summary = summarize(
        Measured(
            run(everywhere(**dark), stalls=stalls),
            CLOCK,
            S,
            slo=SloLimits(max_outage_ms=10, availability=1.0),
            changes=Changes(planned=[Planned("tcp", 400 * MS, 1000 * MS)]),
        )
    ).summary
    tcp, tls = summary.lanes
    assert (tcp.availability, tls.availability) == (1.0, 1.0)
    assert tcp.planned_failed == 3 * (580 - 3 * 60)
    assert tcp.planned_ms.any_shard.unseen == 180
    assert [check.is_met for check in summary.slo] == [True, True]
    assert summary.downtime_ms.any_shard.upper == 0


def test_a_threshold_is_judged_by_what_was_seen() -> None:
    """An outage that may have been longer than the limit is told; it is not missed."""
    stalls = ((410 * MS, 600 * MS),)
    seen = run(everywhere(tcp_1=range(400, 500)), stalls=stalls)
    summary = judged(seen, SloLimits(max_outage_ms=50)).summary
    (check,) = summary.slo
    assert check.is_met
    assert check.actual == pytest.approx(10, abs=1.1)
    assert check.possible == pytest.approx(201, abs=1.1)
    assert any("max_outage_ms is met by what was seen" in s for s in summary.verdict)


def test_planned_darkness_is_counted_apart() -> None:
    """Darkness by plan is in no downtime, no threshold and no availability."""
    summary = planned_run().summary
    tcp, tls = summary.lanes
    assert tcp.downtime_ms.any_shard == Bounds(0, 0, 0)
    assert tcp.planned_ms.shards["0003"].estimate == pytest.approx(580, abs=1)
    assert (tcp.planned_failed, tcp.availability) == (3 * 580, 1.0)
    assert (tls.planned_failed, tls.planned_ms.any_shard.upper) == (0, 0)
    assert summary.downtime_ms.any_shard.estimate == 50
    assert summary.planned_ms.all_shards.estimate == pytest.approx(580, abs=1)
    assert all(check.is_met for check in summary.slo)
    scope = next(s for s in summary.scopes if (s.lane, s.shard) == ("tcp", "0001"))
    assert (scope.outages, scope.dark_ms.upper, scope.planned_failed) == (0, 0, 580)
    assert scope.planned_ms == tcp.planned_ms.shards["0001"]


def test_planned_darkness_is_told() -> None:
    """The verdict says from when on a lane was dark by plan, and how."""
    verdict = planned_run().summary.verdict
    assert verdict[1].startswith("transport: while shard 0002 was dark on lane tls")
    assert verdict[2] == (
        "lane tcp was dark as planned from 22:13:20.419 UTC on (mostly readonly) for "
        "580 ms [578, 581]; this is not counted as downtime"
    )


def test_planned_darkness_is_an_incident_of_its_own() -> None:
    """What happens beside it is not drawn into it, and outages.json has both."""
    verdict = planned_run()
    found = [(i.is_planned, i.outages, i.causes) for i in verdict.summary.incidents]
    assert found == [(False, 1, {"transport": 1}), (True, 3, {"planned": 3})]
    rows = [(row.attribution, row.incident) for row in verdict.outages.outages]
    assert rows == [("transport", 1), *[("planned", 2)] * 3]


def test_planned_darkness_alone_is_a_clean_run() -> None:
    """A run in which only happened what was planned is clean, and says what was."""
    dark = dict.fromkeys((f"tcp_{n}" for n in (1, 2, 3)), range(500, 1000))
    planned = [Planned("tcp", 400 * MS, 1000 * MS)]
    changes = Changes(planned=planned)
    summary = summarize(
        Measured(run(everywhere(**dark)), CLOCK, S, changes=changes)
    ).summary
    assert summary.state == "clean"
    assert summary.verdict[0] == "no arrival failed in 1.0 s but by plan"


def test_lane_that_never_began() -> None:
    """A lane that was not served yet makes a run that ended early not invalid."""
    aggregate = Aggregate([LANES[0], LaneInfo("tls", True, (1,), 250 * MS)], asleep=[1])
    aggregate.start_process(0, 0)
    scope = Scope("tcp", "0001", OpKind.READ)
    aggregate.add(0, {scope: block()}, watermark_ns=S)
    summary = judged(aggregate.finish(S)).summary
    assert summary.state == "clean"
    assert summary.verdict[0] == (
        "lane tls never began, for the target did not serve it: nothing is known "
        "about it"
    )
