"""The dashboard of a maintenance window: how long, for whom, and what was done."""

from loadprobe.core.judging.outcome import Outcome
from loadprobe.core.verdict.attribution import Cause
from loadprobe.dashboards.board import Board
from loadprobe.dashboards.explanation import (
    add_changes,
    add_load,
    add_notices,
    add_observer,
    add_response,
    add_topology,
)
from loadprobe.dashboards.panels import (
    BAD_ABOVE_ZERO,
    BLUE,
    BY_PLAN,
    GREEN,
    ORANGE,
    PALE,
    PLANNED_ABOVE_ZERO,
    PURPLE,
    RED,
    WARN_ABOVE_ZERO,
    YELLOW,
    Column,
    instant,
    lines,
    number,
    ranged,
    rows,
    states,
)
from loadprobe.dashboards.promql import (
    DARK,
    PLANNED,
    by,
    chosen,
    open_unplanned,
    share,
    unplanned,
)
from loadprobe.outputs.metrics.metric import CLUSTER_LABEL

UID = "loadprobe-maintenance"
FILM_MS = 11_000
"""A graph has 11,000 points at most: at a step of a millisecond, 11 s."""

_RUN = chosen("job", CLUSTER_LABEL, "lane", "shard")
_FILM = chosen(CLUSTER_LABEL, "lane", "shard")  # another job scrapes it
_RANGE = "$__range"
_OPEN_FILM = (
    f"/d/{UID}?${{__all_variables}}"
    "&from=${__data.fields.film_from.numeric}&to=${__data.fields.film_to.numeric}"
)
_SCOPE = ("lane", "shard", "op")
_SERVED = f'="{Outcome.SERVED.label}"'
_FAILED = f'!="{Outcome.SERVED.label}"'
_UNPLANNED = f'!="{Cause.PLANNED}"'
_LEAST = 0.000_000_001
"""A share of a step; what is below comes from the arithmetic of the database."""
_UNSEEN = "unseen_time_seconds_total"
_OBSERVED = "observed_time_seconds_total"


def maintenance() -> Board:
    """Return the dashboard."""
    board = Board(
        "loadprobe: maintenance window",
        uid=UID,
        about="While the cluster was being changed: how long was it down, for whom.",
        window="15m",
        refresh="5s",
    )
    board.choose_scope()
    _annotate(board)
    _verdict(board)
    _who_and_when(board)
    add_load(board)
    add_response(board)
    _film(board)
    add_changes(board)
    add_topology(board)
    add_observer(board)
    add_notices(board)
    return board


def _annotate(board: Board) -> None:
    for name, metric, title, color in (
        (
            "Phases",
            "controller_phase_start_timestamp_seconds",
            "{{operation}}: {{phase}}",
            BLUE,
        ),
        (
            "Provider events",
            "provider_event_timestamp_seconds",
            "provider: {{kind}}",
            PURPLE,
        ),
        ("Marks", "mark_timestamp_seconds", "mark", ORANGE),
    ):
        expr = chosen("job", CLUSTER_LABEL)(metric)
        board.annotate(name, expr=expr, title=title, color=color)


def _grown(name: str) -> str:
    return _RUN.growth(name, _RANGE)


def _verdict(board: Board) -> None:
    still_open = open_unplanned(lambda name: _RUN.last(name, _RANGE))
    observed = _RUN.growth(_OBSERVED, _RANGE)
    outages = _RUN.since("outages_total", _RANGE, attribution=_UNPLANNED)
    lengths = _RUN.since("outage_seconds_total", _RANGE, attribution=_UNPLANNED)
    down = by("sum", lengths, *_SCOPE)
    seen = by("sum", observed, *_SCOPE)
    none = f"0 * max({_RUN.last(DARK, _RANGE)})"
    board.row("Verdict of the time shown")
    panels = (
        number(
            "Down, at worst",
            instant(f"max({down}) or {none}"),
            about="Outages that have ended and were not by plan, of the lane, shard "
            "and op kind that had most. Other scopes are not added: the time in which "
            "any shard was down is this or more, and in the summary of the run.",
            unit="s",
            steps=BAD_ABOVE_ZERO,
            decimals=3,
        ),
        number(
            "Outages",
            instant(f"sum({outages}) or {none}"),
            about="Outages that have ended and were not by plan, of all scopes.",
            steps=BAD_ABOVE_ZERO,
        ),
        number(
            "Dark, at worst",
            instant(f"max({unplanned(_grown)})"),
            about="As the first, with what an open outage has had for certain.",
            unit="s",
            steps=WARN_ABOVE_ZERO,
            decimals=3,
        ),
        number(
            "Dark by plan",
            instant(f"max({_grown(PLANNED)})"),
            about="The same of darkness that was announced, such as plaintext's after "
            "TLS has become required. It is in no other figure of this row but the "
            "failed arrivals.",
            unit="s",
            steps=PLANNED_ABOVE_ZERO,
            decimals=3,
        ),
        number(
            "Available, at worst",
            instant(f"1 - (max({share(down, seen)}) or {none})"),
            about="One minus the outages of the first figure over the time observed.",
            unit="percentunit",
            steps=((None, "red"), (0.99, "orange"), (0.999, "green")),
            decimals=3,
        ),
        number(
            "Still open",
            instant(f"sum({still_open} > bool 0)"),
            about="Scopes that are in an outage that is not by plan.",
            steps=WARN_ABOVE_ZERO,
        ),
        number(
            "Failed arrivals",
            instant(f"sum({_RUN.growth('operations_total', _RANGE, outcome=_FAILED)})"),
            about="Arrivals that were not served, on all lanes, by plan or not.",
            unit="short",
            steps=WARN_ABOVE_ZERO,
            decimals=0,
        ),
        number(
            "Damage",
            *(
                instant(f"sum({_RUN.growth(metric, _RANGE)})", text)
                for metric, text in (
                    ("lost_writes_total", "lost"),
                    ("stale_reads_total", "stale"),
                    ("wrong_values_total", "wrong"),
                )
            ),
            about="Acknowledged writes that were gone, reads of an older version, and "
            "replies that do not match. Writes are read back after the load: the run's "
            "summary has the last word.",
            steps=BAD_ABOVE_ZERO,
        ),
        number(
            "Probe blind",
            instant(f"max({_RUN.growth('blind_time_seconds_total', _RANGE)})"),
            about="Time in which the probe itself was stalled: never downtime, but "
            "nothing is known of it.",
            unit="s",
            steps=WARN_ABOVE_ZERO,
            decimals=3,
        ),
    )
    for panel, width in zip(panels, (3, 2, 3, 3, 3, 2, 3, 3, 2), strict=True):
        board.add(panel, width=width, height=4)


def _who_and_when(board: Board) -> None:
    board.row("Who was dark, and when")
    parts = share(unplanned(_RUN.ahead), _RUN.ahead(_OBSERVED))
    darkest = by("max", parts, "lane", "shard")
    planned = by("max", _RUN.ahead(PLANNED), "lane", "shard")
    grey = by("max", _RUN.ahead("grey_time_seconds_total"), "lane", "shard")
    blind = by("max", _RUN.ahead("blind_time_seconds_total"), "lane", "shard")
    board.add(
        states(
            "Shards",
            ranged(
                f"({darkest} > {_LEAST}) or (({planned} > 0) * 0 - 3)"
                f" or (({grey} > 0) * 0 - 1) or (({blind} > 0) * 0 - 2) or {darkest}",
                "{{lane}} {{shard}}",
            ),
            about="From counters, so no outage is missed however short. The colour is "
            "the share of a step that was dark, of the worst op kind; blue is dark by "
            "plan only. Vertical lines are phases, provider events and marks.",
            texts={
                0: ("served", GREEN),
                -1: ("some failed", YELLOW),
                -2: ("probe blind", PURPLE),
                -3: ("dark by plan", BY_PLAN),
            },
            ranges=(
                (_LEAST, 0.1, "dark for up to 10 %", ORANGE),
                (0.1, 0.9, "dark for 10 to 90 %", RED),
                (0.9, 1.0, "dark throughout", "dark-red"),
            ),
        ),
        width=24,
        height=8,
    )
    start = _RUN.last("outage_last_start_timestamp_seconds", _RANGE)
    end = _RUN.last("outage_last_end_timestamp_seconds", _RANGE)
    growth = {
        name: by("max", _grown(name), *_SCOPE)
        for name in (PLANNED, _OBSERVED, _UNSEEN, "grey_time_seconds_total")
    }
    dark = by("max", unplanned(_grown), *_SCOPE)
    outages = _RUN.since("outages_total", _RANGE, attribution=_UNPLANNED)
    first_ms = by("max", f"{start} * 1000 - 1000", *_SCOPE)
    board.add(
        rows(
            "Scopes",
            _SCOPE,
            (
                Column("Dark, not by plan", dark, unit="s", steps=BAD_ABOVE_ZERO),
                Column(
                    "Dark by plan",
                    growth[PLANNED],
                    unit="s",
                    steps=PLANNED_ABOVE_ZERO,
                ),
                Column("Perhaps dark, unseen", growth[_UNSEEN], unit="s"),
                Column(
                    "Available",
                    f"1 - {share(dark, growth[_OBSERVED])}",
                    unit="percentunit",
                ),
                Column("Some failed", growth["grey_time_seconds_total"], unit="s"),
                Column("Outages not by plan", by("sum", outages, *_SCOPE)),
                Column(
                    "Latest began",
                    by("max", f"{start} * 1000", *_SCOPE),
                    unit="dateTimeAsIso",
                ),
                Column(
                    "Latest ended",
                    by("max", f"{end} * 1000", *_SCOPE),
                    unit="dateTimeAsIso",
                ),
                Column("film_from", first_ms, hidden=True),
                Column("film_to", f"{first_ms} + {FILM_MS}", hidden=True),
            ),
            about="A row for each lane, shard and op kind. A click on the dark time "
            f"shows the {FILM_MS // 1000} s around the beginning of the latest outage "
            "that was not by plan.",
            sort="Dark, not by plan",
            link=(
                "Film of the latest outage",
                _OPEN_FILM,
            ),
        ),
        width=24,
        height=9,
    )


def _film(board: Board) -> None:
    errors = by("sum", _FILM("cell_errors"), *_SCOPE)
    served = by("sum", _FILM("cell_ops"), *_SCOPE)
    failing = f"({errors} > bool 0)"
    state = by(
        "max",
        f"{failing} + {failing} * (({served} or 0 * {errors}) == bool 0)",
        *("lane", "shard"),
    )
    plan = _FILM("cell_planned")
    planned = by("max", f"timestamp({plan}) + {plan} / 1000 > time()", "lane", "shard")
    blind = _FILM("cell_blind")
    blind_until = f"timestamp({blind}) + {blind} / 1000"
    board.row(
        f"Film: one column a millisecond, if {FILM_MS // 1000} s or less are shown"
    )
    unfailed = f"0 * {by('max', _RUN('operations_total'), 'lane', 'shard')} - 1"
    film = states(
        "Film",
        ranged(
            f"(({state} == 2) and {planned}) * 2 or {state} or {unfailed}",
            "{{lane}} {{shard}}",
        ),
        ranged(
            f"{by('max', f'3 * ({blind_until} > bool time())', 'lane')} > 0",
            "{{lane}} probe",
        ),
        about="Dark from the first failed arrival to the next served one, of the worst "
        "op kind. A click on the dark time in the table Scopes opens the film of an "
        "outage. If more time is shown it has gaps; the panel Shards has none.",
        texts={
            -1: ("nothing known to have failed for 5 min", PALE),
            0: ("served", GREEN),
            1: ("some failed", YELLOW),
            2: ("dark", RED),
            3: ("probe blind", PURPLE),
            4: ("dark by plan", BY_PLAN),
        },
    )
    exact = "{0} and timestamp({0}) == time()"
    counts = lines(
        "Arrivals of each failing millisecond",
        ranged(by("sum", exact.format(_FILM("cell_errors")), "outcome"), "{{outcome}}"),
        ranged(f"sum({exact.format(_FILM('cell_ops'))})", "served beside them"),
        about="How many arrivals that were due in a millisecond ended how. "
        "Milliseconds without a failure are left out, but for the first one after.",
        unit="short",
        stacked=True,
    ).no_value(f"Nothing failed, or more than {FILM_MS // 1000} s are shown")
    for panel, height in ((film, 9), (counts, 8)):
        panel.interval("1ms").max_data_points(FILM_MS)
        board.add(panel, width=24, height=height)
