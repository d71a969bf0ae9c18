"""How much the supervisor holds of what comes again and again, to be seen to stay."""

from collections.abc import Callable, Sequence

from loadprobe.core.verdict.beside import Planned
from loadprobe.run.incident_keeping import IncidentKeeping
from loadprobe.run.published import Published


def held_items(
    published: Published,
    incidents: IncidentKeeping,
    planned: Callable[[], Sequence[Planned]],
) -> dict[str, int]:
    """Return how many there are, by what they are.

    Scopes, and with them series, grow with the shards that were ever seen; planned
    spans with the steps that were carried out. All else has a bound of its own.

    Args:
        published: what a run shows of itself.
        incidents: those without a folder.
        planned: returns the darkness that was planned so far.
    """
    aggregate, health = published.aggregate, published.health
    return {
        "scopes": len(aggregate.scope_totals),
        "outages": len(aggregate.outages),
        "blind_spans": sum(len(t.blind) for t in aggregate.lane_totals.values()),
        "seconds": health.activity.kept,
        "events": published.view.kept_events,
        "provider_events": len(health.provider_events),
        "planned": len(planned()),
        "series": published.metrics.series_count,
        "incidents": incidents.waiting,
    }
