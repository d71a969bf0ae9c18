"""The part of the report that tells how long every shard was dark on every lane.

Pure but for what rich does.
"""

from collections import Counter
from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from loadprobe.core.verdict.quantities import NO_DOWNTIME, NO_TIME, Bounds, DowntimeMs
from loadprobe.core.verdict.summary import LaneSummary, ScopeSummary, Summary
from loadprobe.outputs.report.rows import Rows

UNSEEN = "unseen ms"
PLANNED = "planned ms"
COLUMNS: tuple[str, ...] = (
    "lane",
    "shard",
    "dark ms",
    "[lower, upper]",
    UNSEEN,
    "outages",
    "failed",
    "available %",
    PLANNED,
)


def dark_table(summary: Summary) -> RenderableType:
    """Return the dark times; columns of what was not seen, and by plan, if any."""
    rows: list[list[str]] = []
    classes: list[Text] = []
    for lane in summary.lanes:
        for shard in lane.downtime_ms.shards:
            own = [s for s in summary.scopes if (s.lane, s.shard) == (lane.name, shard)]
            rows.append(_shard_row(lane, shard, own))
            if ranked := _ranked_classes(own):
                classes.append(Text(f"failures on {lane.name} {shard}: {ranked}"))
        rows += _lane_rows(lane.name, lane.downtime_ms, lane.planned_ms)
    if len(summary.lanes) > 1:
        clients = summary.client_downtime_ms
        name = "all lanes" if clients is None else "witness"
        rows += _lane_rows(name, summary.downtime_ms, summary.planned_ms)
        if clients is not None:
            rows += _lane_rows("clients", clients, NO_DOWNTIME)
    # Lanes of clients are in neither of the totals.
    lanes = summary.lanes
    kept = [
        name
        for name in COLUMNS
        if (name != UNSEEN or any(_is_unseen(lane) for lane in lanes))
        and (name != PLANNED or summary.planned_ms.any_shard.upper)
    ]
    rows = [[row[COLUMNS.index(name)] for name in kept] for row in rows]
    return Group(Rows(tuple(kept), 2, rows), *classes)


def _is_unseen(lane: LaneSummary) -> bool:
    """Tell whether something of the lane's darkness was not seen."""
    return bool(lane.downtime_ms.any_shard.unseen)


def _shard_row(lane: LaneSummary, shard: str, own: Sequence[ScopeSummary]) -> list[str]:
    planned = sum(scope.planned_failed for scope in own)
    arrivals = sum(scope.arrivals for scope in own) - planned
    failed = arrivals - sum(scope.outcomes.get("served", 0) for scope in own)
    return [
        lane.name,
        shard,
        *_bounds(lane.downtime_ms.shards[shard]),
        f"{sum(scope.outages for scope in own):,}",
        f"{failed:,}",
        _percent((arrivals - failed) / arrivals if arrivals else None),
        _estimate(lane.planned_ms.shards.get(shard, NO_TIME)),
    ]


def _ranked_classes(own: Sequence[ScopeSummary]) -> str:
    counts: Counter[str] = Counter()
    for scope in own:
        counts.update(scope.classes)
    return ", ".join(f"{name} {count:,}" for name, count in counts.most_common())


def _lane_rows(name: str, dark: DowntimeMs, planned: DowntimeMs) -> list[list[str]]:
    if len(dark.shards) <= 1:  # one shard has said it all
        return []
    return [
        [name, word, *_bounds(time), "", "", "", _estimate(by_plan)]
        for word, time, by_plan in (
            ("any shard", dark.any_shard, planned.any_shard),
            ("all at once", dark.all_shards, planned.all_shards),
        )
    ]


def _estimate(value: Bounds) -> str:
    return f"{value.estimate:.1f}" if value.upper else "0"


def _bounds(value: Bounds) -> tuple[str, str, str]:
    """Return the estimate, its bars, and how much of them was not seen."""
    if value.upper == 0:
        return "0", "", ""
    bars = f"[{value.lower:.1f}, {value.upper:.1f}]"
    return _estimate(value), bars, f"{value.unseen:.1f}" if value.unseen else "0"


def _percent(share: float | None) -> str:
    """Return a share in percent, cut off and not rounded: 100 means not one failed."""
    if share is None:
        return "-"
    return f"{int(share * 1_000_000) / 10_000:.4f}"
