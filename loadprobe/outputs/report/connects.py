"""New connections in the report: a table of their own, beside that of dark time."""

from loadprobe.core.verdict.summary import ConnectSummary, ScopeSummary

CONNECT_COLUMNS = (
    "lane",
    "shard",
    "dark ms",
    "[lower, upper]",
    "attempts",
    "failed",
    "p50 ms",
    "p99 ms",
    "why",
)


def connect_rows(connects: list[ConnectSummary]) -> list[list[str]]:
    """Return a row for every shard of every lane; latencies are those of the lane.

    Attempts that failed by plan are left out.
    """
    return [_row(lane, scope) for lane in connects for scope in lane.scopes]


def _row(lane: ConnectSummary, scope: ScopeSummary) -> list[str]:
    dark = scope.dark_ms
    is_dark = bool(dark.upper)
    response = lane.response_ms
    attempts = scope.arrivals - scope.planned_failed
    failed = attempts - scope.outcomes.get("served", 0)
    return [
        lane.lane,
        scope.shard,
        f"{dark.estimate:,.0f}" if is_dark else "0",
        f"[{dark.lower:,.0f}, {dark.upper:,.0f}]" if is_dark else "",
        f"{attempts:,}",
        f"{failed:,}",
        *("-" if q is None else f"{q:.2f}" for q in (response.p50, response.p99)),
        ", ".join(sorted(scope.classes)) if failed else "",
    ]
