"""The dashboard that lays runs side by side, by their number of shards."""

from loadprobe.core.judging.outcome import Outcome
from loadprobe.dashboards.board import Board
from loadprobe.dashboards.panels import (
    BAD_ABOVE_ZERO,
    PLANNED_ABOVE_ZERO,
    Column,
    lines,
    ranged,
    rows,
)
from loadprobe.dashboards.promql import PLANNED, by, chosen, share, unplanned
from loadprobe.outputs.metrics.metric import CLUSTER_LABEL

UID = "loadprobe-shards"
STEPS = ("15s", "5s", "1m", "5m")
"""What is counted within one belongs to one run; the first is chosen."""

_RUN = chosen("job", CLUSTER_LABEL, "lane", "shard")
_STEP = "$step"
_WINDOW = f"[$__range:{_STEP}]"
_PROBE = ("job", "instance", CLUSTER_LABEL)
_KEYS = ("shards", "run", "scenario", "engine")
_SCOPE = ("lane", "shard", "op")


def comparison() -> Board:
    """Return the dashboard."""
    board = Board(
        "loadprobe: shard comparison",
        uid=UID,
        about="Runs side by side, by their number of shards.",
        window="3h",
        refresh="1m",
    )
    board.choose_scope()
    board.choose_one_of("step", STEPS)
    board.row("Runs of the time shown")
    _table(board)
    board.row("Step by step")
    _graphs(board)
    return board


def _of_run(growth: str) -> str:
    """Return what was counted, with the labels of the run that counted it."""
    info = by(
        "max", chosen("job", CLUSTER_LABEL)("run_info", shards='!=""'), *_PROBE, *_KEYS
    )
    return (
        f"({growth}) * on ({', '.join(_PROBE)}) group_left ({', '.join(_KEYS)}) {info}"
    )


def _total(name: str, *labels: str, part: str = "", **more: str) -> str:
    """Return what each run counted in the time shown, by some labels."""
    growth = by("sum", _RUN.step(name, _STEP, part=part, **more), *_PROBE, *labels)
    return by("sum", f"sum_over_time(({_of_run(growth)}){_WINDOW})", *_KEYS, *labels)


def _table(board: Board) -> None:
    def of_scopes(name: str) -> str:
        return _total(name, *_SCOPE)

    dark = unplanned(of_scopes)
    seen = of_scopes("observed_time_seconds_total")
    least = by("min", f"1 - {share(dark, seen)}", *_KEYS)
    failed = _total("operations_total", outcome=f'!="{Outcome.SERVED.label}"')
    served = _total("operations_total", outcome=f'="{Outcome.SERVED.label}"')
    seconds = by("max", _total("observed_time_seconds_total", *_SCOPE), *_KEYS)
    response = _total("response_seconds", "le", part="bucket")
    board.add(
        rows(
            "Runs",
            _KEYS,
            (
                Column("Observed", seconds, unit="s"),
                Column(
                    "Dark, at worst",
                    by("max", dark, *_KEYS),
                    unit="s",
                    steps=BAD_ABOVE_ZERO,
                ),
                Column("Available, at worst", least, unit="percentunit"),
                Column(
                    "Dark by plan",
                    by("max", of_scopes(PLANNED), *_KEYS),
                    unit="s",
                    steps=PLANNED_ABOVE_ZERO,
                ),
                Column("Failed", failed, unit="short"),
                Column("Served", f"{served} / ({seconds} > 0)", unit="ops"),
                *(
                    Column(text, f"histogram_quantile({q}, {response})", unit="s")
                    for q, text in ((0.5, "p50"), (0.99, "p99"), (0.999, "p99.9"))
                ),
            ),
            about="What was dark by plan stands apart, and in nothing but its column "
            "and what failed. Counted in steps: the first step of a run and what a run "
            "does within a step after another one are missing. The figures of a run "
            "are in its folder; this is for seeing them together.",
            sort="Shards",
            descending=False,
        ),
        width=24,
        height=6,
    )


def _graphs(board: Board) -> None:
    legend = "{{shards}} shards, {{run}}"
    keys = ("shards", "run")

    def each(name: str, operator: str = "sum", *, part: str = "", **more: str) -> str:
        labels = ("le",) if part else ()
        counted = by(operator, _RUN.rate(name, part=part, **more), *_PROBE, *labels)
        return by(operator, _of_run(counted), *keys, *labels)

    def grown(name: str) -> str:
        return _RUN.growth(name, "$__rate_interval")

    part = share(unplanned(grown), grown("observed_time_seconds_total"))
    dark = by("max", _of_run(by("max", part, *_PROBE)), *keys)
    for title, expr, unit, about in (
        (
            "Served",
            each("operations_total", outcome=f'="{Outcome.SERVED.label}"'),
            "ops",
            "Arrivals served in time, of all lanes chosen.",
        ),
        (
            "Failed",
            each("operations_total", outcome=f'!="{Outcome.SERVED.label}"'),
            "ops",
            "Arrivals that were not.",
        ),
        (
            "p99 of the response time",
            f"histogram_quantile(0.99, {each('response_seconds', part='bucket')})",
            "s",
            "From when it was due.",
        ),
        (
            "Dark",
            f"clamp_max({dark}, 1)",
            "percentunit",
            "Share of the time in which the worst scope was dark, but not by plan.",
        ),
    ):
        board.add(
            lines(title, ranged(expr, legend), about=about, unit=unit),
            width=12,
            height=9,
        )
