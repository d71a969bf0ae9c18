"""How much of the error budget was used, is left, and burns: as documents.

Pure. A budget is time: of a month and of 28 days, the part that a shard may be dark on
a lane. What was used of it is the estimated darkness that was seen and was not by plan.
Time that nobody saw uses nothing and is in no ratio; how much of it there was is told.
"""

from collections.abc import Iterable
from fractions import Fraction

import msgspec

from loadprobe.clock import NS_PER_S
from loadprobe.core.budget.account import Sums
from loadprobe.core.budget.accounts import Accounts
from loadprobe.core.budget.calendar import (
    WINDOWS_NS,
    Period,
    allowed_ns,
    periods,
    window_start_ns,
)


class UsedSeconds(msgspec.Struct, frozen=True):
    """Darkness that uses the budget, with its error bars, in seconds."""

    estimate: float
    lower: float
    upper: float


class PeriodBudget(msgspec.Struct, frozen=True):
    """The budget of one shard on one lane in one period.

    Args:
        period: "month" (the calendar month, UTC) or "28d" (the last 28 days).
        start_unix_ns: when the period began.
        allowed_s: how long it may be dark in the whole period.
        used_s: how long it was, not by plan.
        left_s: what is left; less than nothing if more was used.
        left_ratio: the same as a part of what is allowed; null if nothing is.
        planned_s: darkness by plan, which uses nothing.
        observed_s: how much of the period was seen, dark or not.
        unseen_s: how much of what is over of it was not; it uses nothing.
        availability: 1 - used / observed; null if nothing was observed.
    """

    period: str
    start_unix_ns: int
    allowed_s: float
    used_s: UsedSeconds
    left_s: float
    left_ratio: float | None
    planned_s: float
    observed_s: float
    unseen_s: float
    availability: float | None


class PlaceBudget(msgspec.Struct, frozen=True):
    """The budget of one shard on one lane.

    Args:
        lane: the lane.
        shard: the shard.
        periods: the calendar month and the last 28 days.
        burn_rates: by window: the part of the observed time that was dark, over the
            part that may be: at 1 the budget lasts exactly as long as its period.
            Null if nothing was observed, or nothing may be dark.
    """

    lane: str
    shard: str
    periods: list[PeriodBudget]
    burn_rates: dict[str, float | None]

    def of(self, period: str) -> PeriodBudget:
        """Return the budget of a period."""
        return next(row for row in self.periods if row.period == period)


class ErrorBudget(msgspec.Struct, frozen=True):
    """The error budgets of a target.

    Args:
        target: the availability that is promised, for example 0.9999.
        until_unix_ns: everything due before was judged.
        places: one for each lane and shard.
    """

    target: float
    until_unix_ns: int
    places: list[PlaceBudget]

    @property
    def worst(self) -> tuple[PlaceBudget, PeriodBudget] | None:
        """Return the place and the period of which least is left."""
        rows = [(place, row) for place in self.places for row in place.periods]
        return min(rows, key=lambda row: _left(row[1]), default=None)


def _left(row: PeriodBudget) -> float:
    return row.left_s if row.left_ratio is None else row.left_ratio


def reckon(accounts: Accounts, *, target: float, now_ns: int) -> ErrorBudget:
    """Return the budgets of all places.

    Args:
        accounts: what was seen.
        target: the availability that is promised, 0 to 1.
        now_ns: the time, UNIX.
    """
    spans = periods(now_ns)
    starts_ns = [
        *(period.start_ns for period in spans),
        *(window_start_ns(length_ns, now_ns) for length_ns in WINDOWS_NS.values()),
    ]
    places: list[PlaceBudget] = []
    for lane, shard in accounts.places:
        sums = accounts.sums((lane, shard), starts_ns)
        rows = [
            _period(period, found, target=target, now_ns=now_ns)
            for period, found in zip(spans, sums, strict=False)
        ]
        rates = _burn_rates(sums[len(spans) :], target)
        places.append(PlaceBudget(lane, shard, rows, rates))
    return ErrorBudget(target, now_ns, places)


def _period(period: Period, sums: Sums, *, target: float, now_ns: int) -> PeriodBudget:
    allowed = allowed_ns(period.length_ns, target)
    left = allowed - sums.estimate_ns
    elapsed_ns = now_ns - period.start_ns
    return PeriodBudget(
        period=period.name,
        start_unix_ns=period.start_ns,
        allowed_s=allowed / NS_PER_S,
        used_s=UsedSeconds(
            sums.estimate_ns / NS_PER_S,
            sums.lower_ns / NS_PER_S,
            sums.upper_ns / NS_PER_S,
        ),
        left_s=left / NS_PER_S,
        left_ratio=left / allowed if allowed else None,
        planned_s=sums.planned_ns / NS_PER_S,
        observed_s=sums.seen_ns / NS_PER_S,
        unseen_s=max(0, elapsed_ns - sums.seen_ns) / NS_PER_S,
        availability=1 - dark if (dark := _dark_ratio(sums)) is not None else None,
    )


def _dark_ratio(sums: Sums) -> float | None:
    """Return which part of the observed time was dark."""
    return min(1.0, sums.estimate_ns / sums.seen_ns) if sums.seen_ns else None


def _burn_rates(sums: Iterable[Sums], target: float) -> dict[str, float | None]:
    may_be = float(1 - Fraction(str(target)))
    return {
        name: dark / may_be
        if may_be and (dark := _dark_ratio(found)) is not None
        else None
        for name, found in zip(WINDOWS_NS, sums, strict=True)
    }
