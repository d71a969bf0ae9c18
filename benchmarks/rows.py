"""The table: figures, their targets, and whether they are met. Pure."""

from collections.abc import Iterable, Sequence
from statistics import median
from typing import Self

import msgspec


class Limit(msgspec.Struct, frozen=True):
    """A target.

    Args:
        bound: the figure that is just good enough.
        is_floor: at least that, rather than at most.
    """

    bound: float
    is_floor: bool = False

    def allows(self, value: float) -> bool:
        """Tell whether a figure meets the target."""
        return value >= self.bound if self.is_floor else value <= self.bound

    def __str__(self) -> str:
        return f"{'>=' if self.is_floor else '<='} {self.bound:,.6g}"


class Row(msgspec.Struct, frozen=True):
    """One figure.

    Args:
        name: what it is.
        unit: of the values; "x" for a ratio.
        values: one from each block; none if it could not be measured.
        limit: the target; None is for information.
        failure: why there are no values.
    """

    name: str
    unit: str
    values: tuple[float, ...]
    limit: Limit | None = None
    failure: str | None = None

    @classmethod
    def of(
        cls, name: str, unit: str, values: Iterable[float], limit: Limit | None = None
    ) -> Self:
        """Make a row from the figures of the blocks."""
        return cls(name, unit, tuple(float(value) for value in values), limit)

    @property
    def value(self) -> float:
        """Median over the blocks; there must be some."""
        return median(self.values)

    @property
    def lowest(self) -> float:
        """Lowest of the blocks."""
        return min(self.values)

    @property
    def highest(self) -> float:
        """Highest of the blocks."""
        return max(self.values)

    @property
    def is_missed(self) -> bool:
        """Tell whether there is a target and the figure does not meet it."""
        if not self.values or self.limit is None:
            return False
        return not self.limit.allows(self.value)

    @property
    def verdict(self) -> str:
        """Met, MISSED, NOT MEASURED, or nothing without a target."""
        if not self.values:
            return "NOT MEASURED"
        if self.limit is None:
            return ""
        return "MISSED" if self.is_missed else "met"


COLUMNS = ("figure", "median", "range", "of", "unit", "target", "")


def cells(row: Row) -> tuple[str, ...]:
    """Return the texts of a row, in the order of ``COLUMNS``."""
    target = "" if row.limit is None else str(row.limit)
    if not row.values:
        return row.name, "-", "-", "0", row.unit, target, row.verdict
    return (
        row.name,
        _number(row.value),
        f"{_number(row.lowest)} - {_number(row.highest)}",
        str(len(row.values)),
        row.unit,
        target,
        row.verdict,
    )


def render(rows: Sequence[Row]) -> str:
    """Return the table as text; why a row has no figure stands below it."""
    lines = [COLUMNS, *(cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(7)]
    table = [
        "  ".join(
            cell.ljust(width) for cell, width in zip(line, widths, strict=True)
        ).rstrip()
        for line in lines
    ]
    lost = [f"NOT MEASURED {row.name}: {row.failure}" for row in rows if row.failure]
    return "\n".join([*table, *lost])


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.4g}"
