"""The dashboard of all probes: who is down, and how much of the budget is left."""

from loadprobe.dashboards.board import Board
from loadprobe.dashboards.maintenance import UID as MAINTENANCE_UID
from loadprobe.dashboards.panels import (
    BAD_ABOVE_ZERO,
    PLANNED_ABOVE_ZERO,
    WARN_ABOVE_ZERO,
    Column,
    instant,
    lines,
    number,
    ranged,
    rows,
)
from loadprobe.dashboards.promql import (
    PLANNED,
    by,
    chosen,
    open_unplanned,
    share,
    unplanned,
)
from loadprobe.outputs.metrics.metric import CLUSTER_LABEL

UID = "loadprobe-fleet"
OBJECTIVES = ("0.999", "0.9", "0.99", "0.9995", "0.9999", "0.99999")
"""To choose from; the first is chosen."""

_ALL = chosen("job", CLUSTER_LABEL, "lane", "shard")
_PROBES = chosen("job", CLUSTER_LABEL)
_RANGE = "$__range"
_OPEN = (
    f"/d/{MAINTENANCE_UID}?${{__url_time_range}}"
    f"&var-{CLUSTER_LABEL}=${{__data.fields.Cluster}}"
)
_OBSERVED = "observed_time_seconds_total"
_BURN = "error_budget_burn_rate"
_MONTH = '="month"'


def fleet() -> Board:
    """Return the dashboard."""
    board = Board(
        "loadprobe: fleet",
        uid=UID,
        about="All probes: what is down now, and how much of the error budget is left.",
        window="24h",
        refresh="30s",
    )
    board.choose_scope()
    board.choose_one_of("objective", OBJECTIVES)
    board.row("Now")
    _now(board)
    board.row("Error budget of the time shown")
    _budget(board)
    board.row("Error budget of the probes themselves, over all their runs")
    _own_budget(board)
    board.row("Over time")
    _over_time(board)
    return board


def _now(board: Board) -> None:
    current = open_unplanned(_ALL)
    planned = _ALL("outage_current_planned_seconds")
    for panel in (
        number(
            "Clusters probed",
            instant(f"count({by('count', _PROBES('build_info'), CLUSTER_LABEL)})"),
            about="Clusters of which a probe was scraped.",
        ),
        number(
            "Silent probes",
            instant('sum(up{job=~"$job"} == bool 0)'),
            about="Targets of the chosen jobs that could not be scraped. A probe whose "
            "run has ended is one of them.",
            steps=WARN_ABOVE_ZERO,
        ),
        number(
            "Scopes down",
            instant(f"sum({current} > bool 0)"),
            about="Open outages that are not by plan: lanes, shards and op kinds.",
            steps=BAD_ABOVE_ZERO,
        ),
        number(
            "Scopes dark by plan",
            instant(f"sum({planned} > bool 0)"),
            about="Open outages that are by plan, such as plaintext after TLS has "
            "become required. They count in nothing else here.",
            steps=PLANNED_ABOVE_ZERO,
        ),
        number(
            "In maintenance",
            instant(f"sum({by('max', _ALL('maintenance_active'), CLUSTER_LABEL)})"),
            about="Clusters to which something is being done by the provider or by "
            "anybody else, not by a scenario of ours.",
            steps=PLANNED_ABOVE_ZERO,
        ),
        number(
            "Lost writes",
            instant(f"sum({_ALL.growth('lost_writes_total', _RANGE)})"),
            about="Acknowledged writes that were gone when they were read back.",
            steps=BAD_ABOVE_ZERO,
        ),
    ):
        board.add(panel, width=3, height=7)
    keys = (CLUSTER_LABEL, "lane", "shard", "op")
    board.add(
        rows(
            "Open outages",
            keys,
            (Column("For", f"{by('max', current, *keys)} > 0", unit="s"),),
            about="Longest first, without darkness by plan. Empty is good.",
            sort="For",
        ),
        width=6,
        height=7,
    )


def _budget(board: Board) -> None:
    scope = (CLUSTER_LABEL, "lane", "shard", "op")

    def grown(name: str) -> str:
        return _ALL.growth(name, _RANGE)

    dark = by("sum", unplanned(grown), *scope)
    planned = by("sum", grown(PLANNED), *scope)
    observed = by("sum", grown(_OBSERVED), *scope)
    unavailable = by("max", share(dark, observed), CLUSTER_LABEL)
    left = f"1 - {unavailable} / (1 - $objective)"
    board.add(
        rows(
            "Clusters",
            (CLUSTER_LABEL,),
            (
                Column(
                    "Budget left",
                    left,
                    unit="percentunit",
                    steps=((None, "red"), (0.0, "orange"), (0.25, "green")),
                ),
                Column("Available", f"1 - {unavailable}", unit="percentunit"),
                Column(
                    "Dark, not by plan",
                    by("max", dark, CLUSTER_LABEL),
                    unit="s",
                    steps=WARN_ABOVE_ZERO,
                ),
                Column(
                    "Dark by plan",
                    by("max", planned, CLUSTER_LABEL),
                    unit="s",
                    steps=PLANNED_ABOVE_ZERO,
                ),
                Column(
                    "Blind",
                    by(
                        "max",
                        f"increase({_ALL('blind_time_seconds_total', _RANGE)})",
                        CLUSTER_LABEL,
                    ),
                    unit="s",
                    steps=WARN_ABOVE_ZERO,
                ),
                Column(
                    "Scopes down",
                    by("sum", f"{open_unplanned(_ALL)} > bool 0", CLUSTER_LABEL),
                ),
                Column("Shards", by("max", _PROBES("cluster_shards"), CLUSTER_LABEL)),
                Column("Probes", by("count", _PROBES("build_info"), CLUSTER_LABEL)),
            ),
            about="Of the lane, shard and op kind that was worst. Darkness by plan "
            "stands apart and uses up no budget. A click on the budget opens the "
            "maintenance window.",
            sort="Budget left",
            descending=False,
            link=(
                "Maintenance window",
                _OPEN,
            ),
        ),
        width=24,
        height=6,
    )


def _own_budget(board: Board) -> None:
    keys = (CLUSTER_LABEL, "lane", "shard")
    left, used, planned, unseen = (
        f"error_budget_{name}"
        for name in ("left_ratio", "used_seconds", "planned_seconds", "unseen_seconds")
    )
    board.add(
        rows(
            "Shards",
            keys,
            (
                *(
                    Column(
                        f"Left, {text}",
                        by("min", _ALL(left, period=f'="{period}"'), *keys),
                        unit="percentunit",
                        steps=((None, "red"), (0.0, "orange"), (0.25, "green")),
                    )
                    for period, text in (("month", "month"), ("28d", "28 days"))
                ),
                Column(
                    "Dark this month",
                    by("max", _ALL(used, period=_MONTH, bound='="estimate"'), *keys),
                    unit="s",
                    steps=WARN_ABOVE_ZERO,
                ),
                *(
                    Column(
                        f"Burn rate, {window}",
                        by("max", _ALL(_BURN, window_=f'="{window}"'), *keys),
                        steps=((None, "green"), (1.0, "orange"), (6.0, "red")),
                    )
                    for window in ("1h", "6h", "3d")
                ),
                Column(
                    "By plan this month",
                    by("max", _ALL(planned, period=_MONTH), *keys),
                    unit="s",
                    steps=PLANNED_ABOVE_ZERO,
                ),
                Column(
                    "Unseen this month",
                    by("max", _ALL(unseen, period=_MONTH), *keys),
                    unit="s",
                ),
            ),
            about="What each probe keeps beside its run folders, if [slo] availability "
            "is set: exact over restarts, and not by what Prometheus happened to "
            "scrape. Darkness by plan and unseen time use no budget.",
            sort="Left, month",
        ),
        width=24,
        height=8,
    )


def _over_time(board: Board) -> None:
    def grown(name: str) -> str:
        return _ALL.growth(name, "$__rate_interval")

    ratio = share(unplanned(grown), grown(_OBSERVED))
    board.add(
        lines(
            "Available",
            ranged(
                by("min", f"1 - {ratio}", CLUSTER_LABEL), f"{{{{{CLUSTER_LABEL}}}}}"
            ),
            about="Of the worst lane, shard and op kind, but for darkness by plan.",
            unit="percentunit",
        ),
        width=12,
        height=9,
    )
    board.add(
        lines(
            "Burn rate",
            ranged(
                by("max", ratio, CLUSTER_LABEL) + " / (1 - $objective)",
                f"{{{{{CLUSTER_LABEL}}}}}",
            ),
            about="At 1 the budget lasts exactly as long as the period it is for.",
            unit="none",
        ),
        width=12,
        height=9,
    )
    board.add(
        lines(
            "p99 of the response time",
            ranged(
                _ALL.quantile(0.99, "response_seconds", CLUSTER_LABEL, "lane"),
                f"{{{{{CLUSTER_LABEL}}}}} {{{{lane}}}}",
            ),
            about="From when it was due.",
            unit="s",
            logarithmic=True,
        ),
        width=12,
        height=9,
    )
    errors = by("sum", _ALL.burst("operation_errors_total"), CLUSTER_LABEL, "class")
    board.add(
        lines(
            "Arrivals not served",
            ranged(f"{errors} > 0", f"{{{{{CLUSTER_LABEL}}}}} {{{{class}}}}"),
            about="How many a step, by class.",
            unit="short",
            stacked=True,
        ),
        width=12,
        height=9,
    )
