"""The tables of docs/accuracy.md, made from the figures alone. Pure."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from statistics import median

from benchmarks.calibration.figures import BIN_EDGES, Calibration, CaseFigures
from benchmarks.calibration.script import KINDS
from benchmarks.calibration.settings import VIEWS
from benchmarks.markers import between

BEGIN = "<!-- begin: written by make calibrate -->"
END = "<!-- end: written by make calibrate -->"


def with_tables(page: str, calibration: Calibration) -> str:
    """Return the page with the part between the markers made anew.

    Raises:
        ValueError: the page does not have both markers, once each and in order.
    """
    return between(page, BEGIN, END, tables(calibration))


def tables(calibration: Calibration) -> str:
    """Return all tables as Markdown."""
    host = ", ".join(f"{name} {fact}" for name, fact in calibration.host.items())
    kind = "quick run" if calibration.is_quick else "full run"
    measured = [case for case in calibration.cases if case.failure is None]
    parts = [
        f"From a {kind}, seed {calibration.seed}, on: {host}.",
        _verdict(calibration),
        "### By case",
        case_table(calibration.cases),
        "### By kind of outage",
        _table(_KIND_COLUMNS, _kind_rows(measured)),
        "### Outages about as short as the probing gap",
        _table(_SEEN_COLUMNS, _detection_rows(measured)),
    ]
    return "\n" + "\n\n".join(parts) + "\n\n"


def case_table(cases: Sequence[CaseFigures]) -> str:
    """Return the table with a line for each case."""
    return _table(_CASE_COLUMNS, (_case_row(case) for case in cases))


_CASE_COLUMNS = (
    "case",
    "outages",
    "compared",
    "inside",
    "false",
    "blind",
    "strained",
    "median error",
    "max error",
    "median width",
    "gap",
    "shortest seen",
    "missed",
    "longest missed",
    "lateness p99",
    "blind ms",
)
_KIND_COLUMNS = (
    "kind",
    "machine",
    "outages",
    "compared",
    "inside",
    "blind",
    "strained",
    "missed",
    "median error",
    "max error",
    "median width",
    "excess",
)
_SEEN_COLUMNS = (
    "by",
    *(f"{low:g}-{high:g}" for low, high in pairwise(BIN_EDGES)),
    "seen",
    "expected",
)


def _verdict(calibration: Calibration) -> str:
    cases = calibration.cases
    compared = sum(row.compared for case in cases for row in case.kinds)
    wrong = sum(case.violations for case in cases)
    lost = [case.setting.label for case in cases if case.failure is not None]
    text = (
        f"{compared:,} comparisons in {len(cases)} cases, {wrong} violations (false "
        "outages among them)."
    )
    if lost:
        text += f" Not measured: {'; '.join(lost)}."
    for case in cases:
        for problem in case.problems:
            text += f"\n* {case.setting.label}: {problem}"
    return text


def _case_row(case: CaseFigures) -> tuple[str, ...]:
    if case.failure is not None:
        return case.setting.label, *("-" for _ in _CASE_COLUMNS[1:])
    kinds = case.kinds
    return (
        case.setting.label,
        str(sum(row.outages for row in kinds)),
        str(sum(row.compared for row in kinds)),
        str(sum(row.inside for row in kinds)),
        str(case.false),
        str(sum(row.blind for row in kinds)),
        str(sum(row.strained for row in kinds)),
        _number(case.error_median_ms),
        _number(_greatest(row.error_max_ms for row in kinds)),
        _number(_middle(row.width_median_ms for row in kinds)),
        _number(case.gap_ms["shard"]),
        _number(
            _least(row.shortest_seen_ms for row in kinds if row.kind == "brief errors")
        ),
        str(sum(row.missed for row in kinds)),
        _number(_greatest(row.longest_missed_ms for row in kinds)),
        _number(case.lateness_p99_ms),
        f"{case.blind_ms:.0f}",
    )


def _kind_rows(cases: Sequence[CaseFigures]) -> Iterable[tuple[str, ...]]:
    for kind in KINDS:
        for is_busy in (False, True):
            rows = [
                row
                for case in cases
                if case.setting.busy is is_busy
                for row in case.kinds
                if row.kind == kind
            ]
            if rows:
                yield (
                    kind,
                    "busy" if is_busy else "idle",
                    str(sum(row.outages for row in rows)),
                    str(sum(row.compared for row in rows)),
                    str(sum(row.inside for row in rows)),
                    str(sum(row.blind for row in rows)),
                    str(sum(row.strained for row in rows)),
                    str(sum(row.missed for row in rows)),
                    _number(_middle(row.error_median_ms for row in rows)),
                    _number(_greatest(row.error_max_ms for row in rows)),
                    _number(_middle(row.width_median_ms for row in rows)),
                    _number(_greatest(row.excess_max_ms for row in rows)),
                )


def _detection_rows(cases: Sequence[CaseFigures]) -> Iterable[tuple[str, ...]]:
    for view in VIEWS:
        own = [row for case in cases for row in case.detection if row.view == view]
        if own:
            seen = [sum(row.seen[at] for row in own) for at in range(len(own[0].seen))]
            total = [
                sum(row.total[at] for row in own) for at in range(len(own[0].total))
            ]
            yield (
                view,
                *(f"{a} of {b}" for a, b in zip(seen, total, strict=True)),
                f"{sum(seen)} of {sum(total)}",
                f"{sum(row.expected for row in own):.0f}",
            )


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [columns, ["---", *("---:" for _ in columns[1:])], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _least(values: Iterable[float | None]) -> float | None:
    return min(_known(values), default=None)


def _greatest(values: Iterable[float | None]) -> float | None:
    return max(_known(values), default=None)


def _middle(values: Iterable[float | None]) -> float | None:
    known = _known(values)
    return median(known) if known else None


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
