"""The error budget in the report: the table of what was used, and is left."""

from rich.console import RenderableType

from loadprobe.core.budget.figures import ErrorBudget, PeriodBudget, PlaceBudget
from loadprobe.core.budget.words import period_name
from loadprobe.outputs.report.rows import Rows

_COLUMNS = (
    "lane",
    "shard",
    "period",
    "dark s",
    "[lower, upper]",
    "allowed s",
    "left",
    "planned s",
    "unseen h",
)
_LABELS = 3
_S_PER_H = 3600


def budget_title(budget: ErrorBudget) -> str:
    """Return the title of the table."""
    return f"Error budget ({budget.target:.6g} available), over all runs"


def budget_table(budget: ErrorBudget) -> RenderableType:
    """Return a row for each shard, lane and period."""
    return Rows(
        _COLUMNS,
        _LABELS,
        [_row(place, row) for place in budget.places for row in place.periods],
    )


def _row(place: PlaceBudget, row: PeriodBudget) -> list[str]:
    used = row.used_s
    return [
        place.lane,
        place.shard,
        period_name(row),
        f"{used.estimate:,.1f}",
        f"[{used.lower:,.1f}, {used.upper:,.1f}]",
        f"{row.allowed_s:,.1f}",
        "-" if row.left_ratio is None else f"{row.left_ratio:.1%}",
        f"{row.planned_s:,.1f}",
        f"{row.unseen_s / _S_PER_H:,.1f}",
    ]
