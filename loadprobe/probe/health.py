"""How a lane is: what it counted since the last snapshot, and its connections."""

from collections.abc import Collection

from loadprobe.core.judging.outcome import OpKind
from loadprobe.core.load.recorder import ScopeRecorder
from loadprobe.drivers.base import Driver
from loadprobe.probe.messages import LaneHealth


def take_health(
    name: str,
    driver: Driver,
    recorders: Collection[ScopeRecorder],
    *,
    skipped: int,
    too_late: int,
    renewed: int,
) -> LaneHealth:
    """Return the counters since the last call, and begin them anew.

    Args:
        name: of the lane.
        driver: its driver.
        recorders: of its scopes.
        skipped: arrivals that were left out since.
        too_late: arrivals that were answered after they had ended since.
        renewed: keys whose TTL began anew beside the load since.
    """
    stats = driver.take_stats()
    return LaneHealth(
        lane=name,
        connections=driver.live_connections(),
        redirects=stats.redirects,
        connects=stats.connects,
        redirects_by_shard=stats.redirects_by_shard,
        connects_by_shard=stats.connects_by_shard,
        connect_ns=stats.connect_ns,
        refreshes=stats.refreshes,
        borrowed=stats.borrowed,
        too_late=too_late,
        attempts=stats.attempts,
        raised=stats.raised,
        skipped=skipped,
        acknowledged=_take(recorders, "acknowledged"),
        stale=_take(recorders, "stale", apart=False),
        replica_stale=_take(recorders, "stale", apart=True),
        wrong=_take(recorders, "wrong"),
        absent=_take(recorders, "absent"),
        expired=_take(recorders, "expired"),
        renewed=renewed,
    )


def _take(
    recorders: Collection[ScopeRecorder], name: str, *, apart: bool | None = None
) -> dict[str, int]:
    """Take a counter by shard: of reads by replicas, of all else, or (None) all."""
    taken: dict[str, int] = {}
    for recorder in recorders:
        count = getattr(recorder, name)
        is_apart = recorder.scope.op is OpKind.REPLICA_READ
        if count and apart in (None, is_apart):
            shard = recorder.scope.shard
            taken[shard] = taken.get(shard, 0) + count
            setattr(recorder, name, 0)
    return taken
