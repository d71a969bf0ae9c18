"""Conditions under which a comparison fails: ``dark_ms.p50 > 1.1x``. Pure."""

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass

from loadprobe.core.comparing.document import ComparisonDocument, Repeats

_CONDITION = re.compile(
    r"(?P<figure>\S.*?)(?:\.(?P<statistic>p50|min|max))?\s*"
    r"(?P<operator>>=|<=|>|<)\s*(?P<limit>\d+(?:\.\d+)?)(?P<times>x?)"
)
_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
_STATISTICS: dict[str, Callable[[Repeats], float]] = {
    "p50": lambda repeats: repeats.median,
    "min": lambda repeats: min(point.estimate for point in repeats.points),
    "max": lambda repeats: max(point.estimate for point in repeats.points),
}


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition of ``--fail-if``.

    Attributes:
        text: as it was given.
        figure: name of the figure.
        statistic: ``p50`` (the median of the repeats), ``min`` or ``max``.
        comparison: ``>``, ``>=``, ``<`` or ``<=``.
        limit: in the unit of the figure, or how many times the baseline's.
        is_relative: the limit is a multiple of the baseline's.
        has_statistic: the statistic was given, and is not what is meant without.
    """

    text: str
    figure: str
    statistic: str
    comparison: str
    limit: float
    is_relative: bool
    has_statistic: bool

    def check(self, document: ComparisonDocument) -> list[str]:
        """Return where the condition holds, as sentences; empty if nowhere.

        A condition on a multiple of the baseline is about the other groups.

        Raises:
            ValueError: no run has the figure, or the baseline has not.
        """
        figure = document.find(self.figure)
        if figure is None:
            known = ", ".join(f.figure for f in document.figures)
            raise ValueError(
                f"{self.text!r}: no run has a figure {self.figure!r}; there are {known}"
            )
        limit, about = self.limit, figure.repeats
        value = _STATISTICS[self.statistic]
        if self.is_relative:
            baseline = document.groups[0].label
            if figure.repeats[0].group != baseline:
                raise ValueError(
                    f"{self.text!r}: the baseline {baseline!r} has no {self.figure}"
                )
            limit *= value(figure.repeats[0])
            about = figure.repeats[1:]
        is_so = _OPERATORS[self.comparison]
        return [
            f"{repeats.group}: {self.figure}.{self.statistic} is "
            f"{value(repeats):,.3f} {figure.unit}, the limit is {limit:,.3f}".rstrip()
            for repeats in about
            if is_so(value(repeats), limit)
        ]


def parse_condition(text: str) -> Condition:
    """Return a condition.

    Raises:
        ValueError: it is none.
    """
    match = _CONDITION.fullmatch(text.strip())
    if match is None:
        raise ValueError(
            f"{text!r} is no condition; write a figure, a comparison and a limit, for "
            "example 'dark_ms.p50 > 1.1x' or 'dark_ms.max > 500'"
        )
    return Condition(
        text=text,
        figure=match["figure"].strip(),
        statistic=match["statistic"] or "p50",
        comparison=match["operator"],
        limit=float(match["limit"]),
        is_relative=bool(match["times"]),
        has_statistic=match["statistic"] is not None,
    )
