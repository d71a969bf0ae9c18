"""What is said of a run while it lasts, in the form of its summary."""

from loadprobe.core.verdict.measured import ObserverHealth
from loadprobe.core.verdict.so_far import still, summarize_so_far
from loadprobe.core.verdict.summary import Summary
from loadprobe.core.verdict.thresholds import SloLimits
from tests.support.http_stage import S, Stage, arrivals, ended_and_open


def so_far(stage: Stage, *, most_incidents: int = 10) -> Summary:
    """Return what is known of a stage."""
    verdict = stage.view.verdict()
    return summarize_so_far(
        still(*stage.view.judged()),
        ObserverHealth(),
        limits=SloLimits(max_outage_ms=50, max_lost_writes=0),
        words=(verdict.state, verdict.headline),
        stale_reads=0,
        most_incidents=most_incidents,
    )


def test_it_says_what_the_verdict_so_far_says() -> None:
    """Downtime and counts are those of the API; an open outage is one, too."""
    stage = ended_and_open()
    summary, verdict = so_far(stage), stage.view.verdict()
    assert summary.downtime_ms == verdict.downtime_ms
    assert sum(scope.arrivals for scope in summary.scopes) == verdict.arrivals
    assert [scope.outages for scope in summary.scopes] == [1, 1]
    assert (summary.state, summary.headline) == (verdict.state, verdict.headline)
    assert summary.lost_writes is None, "it is not checked before the end"
    (check,) = summary.slo
    assert (check.name, check.limit, check.is_met) == ("max_outage_ms", 50, False)
    assert [incident.outages for incident in summary.incidents] == [1, 1]
    assert len(so_far(stage, most_incidents=1).incidents) == 1


def test_what_is_looked_at_stands_still() -> None:
    """What the run counts meanwhile changes nothing of what is made of it."""
    stage = ended_and_open()
    run = still(*stage.view.judged())
    before = [(t.served, t.outages) for t in run.watched.scope_totals.values()]
    response = run.watched.lane_totals["tcp"].response.copy()
    counts = {op: found.count for op, found in response.items()}
    stage.add({("tcp", "0001"): arrivals(5 * S, 6 * S)}, 6 * S)
    assert [(t.served, t.outages) for t in run.watched.scope_totals.values()] == before
    assert {op: found.count for op, found in response.items()} == counts


def test_a_run_that_has_judged_nothing() -> None:
    """There is a summary of it, with nothing in it."""
    stage = Stage.make()
    summary = so_far(stage)
    assert summary.scopes == []
    assert summary.duration_s == 0
