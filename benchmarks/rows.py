"""The table: figures, their targets, and whether they are met."""

from collections.abc import Sequence
from dataclasses import dataclass
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
        return f"{'>=' if self.is_floor else '<='} {self.bound:g}"


@dataclass(frozen=True, slots=True)
class Row:
    """One figure.

    Args:
        name: what it is.
        unit: of ``value``; "x" for a ratio.
        value: median over the blocks.
        lowest: of the blocks.
        highest: of the blocks.
        limit: the target; None is for information.
    """

    name: str
    unit: str
    value: float
    lowest: float
    highest: float
    limit: Limit | None = None

    @classmethod
    def of(
        cls, name: str, unit: str, values: Sequence[float], limit: Limit | None = None
    ) -> Self:
        """Make a row from the figures of the blocks."""
        return cls(name, unit, median(values), min(values), max(values), limit)

    @property
    def verdict(self) -> str:
        """PASS, MISS, or nothing without a target."""
        if self.limit is None:
            return ""
        return "PASS" if self.limit.allows(self.value) else "MISS"


_COLUMNS = ("figure", "median", "range", "unit", "target", "")


def render(rows: Sequence[Row]) -> str:
    """Return the table as text."""
    cells = [
        _COLUMNS,
        *(
            (
                row.name,
                _number(row.value),
                f"{_number(row.lowest)} - {_number(row.highest)}",
                row.unit,
                "" if row.limit is None else str(row.limit),
                row.verdict,
            )
            for row in rows
        ),
    ]
    widths = [max(len(line[column]) for line in cells) for column in range(6)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) for cell, width in zip(line, widths, strict=True)
        ).rstrip()
        for line in cells
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}"
