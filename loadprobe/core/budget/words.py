"""How an error budget stands, in words. Pure."""

from loadprobe.core.budget.figures import ErrorBudget, PeriodBudget

_NAMES = {"month": "this month", "28d": "the last 28 days"}


def period_name(row: PeriodBudget) -> str:
    """Return what a period is called."""
    return _NAMES[row.period]


def budget_words(budget: ErrorBudget) -> str:
    """Return how the worst of all places and periods stands; "" without any."""
    worst = budget.worst
    if worst is None:
        return ""
    place, row = worst
    where = f"shard {place.shard}, lane {place.lane}"
    when = period_name(row)
    if row.left_s < 0:
        return f"error budget of {when} overspent by {-row.left_s:.1f} s ({where})"
    left = f"{row.left_s:.1f} s"
    if row.left_ratio is not None:
        left += f", {row.left_ratio:.0%}"
    return f"error budget of {when}: {left} left ({where})"
