"""What is said of groups of runs beside each other, as JSON has it. Pure."""

from typing import Literal

import msgspec

from loadprobe.core.verdict.quantities import Bounds

SCHEMA_VERSION = 1

Answer = Literal["more", "less", "none shown", "too few"]
"""``none shown``: the repeats show no difference, which is not the same as that there
is none; ``too few``: so few repeats cannot show any."""


class Repeats(msgspec.Struct, frozen=True):
    """One figure of one group.

    Args:
        group: label of the group.
        points: one value a run, in the order of its runs.
        median: of the estimates.
        lower: lower end of the interval of the median.
        upper: its upper end.
        confidence: that the interval really has.
    """

    group: str
    points: list[Bounds]
    median: float
    lower: float
    upper: float
    confidence: float


class Difference(msgspec.Struct, frozen=True):
    """How one group differs from the baseline in one figure.

    Args:
        group: which one.
        answer: what is shown.
        shift: how much larger it is than the baseline (Hodges and Lehmann).
        lower: lower end of the interval of the shift; null if there is none.
        upper: its upper end.
        confidence: of that interval.
        p: of the weaker one of the tests of lower and upper bounds.
        corrected_p: the same for all comparisons of this kind together (Holm).
        comparisons: how many those are.
        hidden_below: a shift below this would not have been shown; null: none would.
        found: the shift that so many repeats show in 80 % of all cases if they scatter
            as these do; null: none.
    """

    group: str
    answer: Answer
    shift: float
    lower: float | None
    upper: float | None
    confidence: float
    p: float
    corrected_p: float
    comparisons: int
    hidden_below: float | None
    found: float | None


class FigureComparison(msgspec.Struct, frozen=True):
    """One figure of all groups that have it; ``differences`` are from the baseline."""

    figure: str
    kind: str
    place: str
    words: str
    unit: str
    is_main: bool
    repeats: list[Repeats]
    differences: list[Difference]


class SteadyLane(msgspec.Struct, frozen=True):
    """Response times of a lane in a run in which nothing happened.

    Args:
        group: label of the group.
        run: its folder.
        lane: name of the lane.
        seconds: how many were looked at.
        effective: how many independent seconds would say as much.
        mean_ms: mean of their means.
        error_ms: standard error of that.
        p: how likely a difference from the baseline as large as this is by chance, if
            both groups are a single run: of these two runs, not of repeats.
    """

    group: str
    run: str
    lane: str
    seconds: int
    effective: float
    mean_ms: float
    error_ms: float
    p: float | None = None


class GroupOfRuns(msgspec.Struct, frozen=True):
    """Repeats of the same thing: where their folders are."""

    label: str
    runs: list[str]


class ComparisonDocument(msgspec.Struct, frozen=True):
    """Groups of runs beside each other; the first one is the baseline.

    Args:
        schema_version: version of the format.
        level: how often a difference of a kind is shown where there is none, at most.
        groups: what is compared.
        obstacles: why the groups should not be compared, as sentences.
        figures: what was compared.
        steady: response times of steady lanes.
    """

    schema_version: int
    level: float
    groups: list[GroupOfRuns]
    obstacles: list[str]
    figures: list[FigureComparison]
    steady: list[SteadyLane] = []

    def find(self, name: str) -> FigureComparison | None:
        """Return the figure of a name, None if no run has it."""
        return next((f for f in self.figures if f.figure == name), None)
