"""Lays groups of runs beside each other, figure by figure. Pure."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from math import isinf
from statistics import stdev

from loadprobe.core.comparing.bounded import BoundedComparison, compare_bounded
from loadprobe.core.comparing.document import (
    SCHEMA_VERSION,
    Answer,
    ComparisonDocument,
    Difference,
    FigureComparison,
    GroupOfRuns,
    Repeats,
)
from loadprobe.core.comparing.figures import MEANINGS, Figure
from loadprobe.core.comparing.obstacles import Circumstances, find_obstacles
from loadprobe.core.comparing.one_sample import middle_of
from loadprobe.core.comparing.power import shift_found
from loadprobe.core.comparing.several import correct
from loadprobe.core.comparing.two_samples import LEVEL
from loadprobe.core.verdict.quantities import Bounds


@dataclass(frozen=True, slots=True)
class ComparedRun:
    """A run that is compared: in what it was made, and its figures."""

    around: Circumstances
    figures: Mapping[Figure, Bounds]


@dataclass(frozen=True, slots=True)
class RunGroup:
    """Repeats of the same thing; one run may be a group."""

    label: str
    runs: Sequence[ComparedRun]

    def points(self, figure: Figure) -> list[Bounds]:
        """Return the values of the runs that have such a figure."""
        return [run.figures[figure] for run in self.runs if figure in run.figures]


def compare_groups(
    groups: Sequence[RunGroup], *, axes: Collection[str] = (), level: float = LEVEL
) -> ComparisonDocument:
    """Return how groups of runs differ from the first of them.

    Args:
        groups: two or more, the baseline first.
        axes: what differs between them on purpose; see ``find_obstacles``.
        level: how often a difference of a kind may be shown where there is none.
    """
    everything = [run.around for group in groups for run in group.runs]
    figures = dict.fromkeys(f for g in groups for run in g.runs for f in run.figures)
    return ComparisonDocument(
        schema_version=SCHEMA_VERSION,
        level=level,
        groups=[GroupOfRuns(g.label, [r.around.run for r in g.runs]) for g in groups],
        obstacles=find_obstacles(everything, axes=axes),
        figures=_compare_figures(groups, list(figures), level),
    )


@dataclass(frozen=True, slots=True)
class _Pair:
    """A group beside the baseline, in one figure."""

    figure: Figure
    group: RunGroup
    result: BoundedComparison
    found: float | None


def _compare_figures(
    groups: Sequence[RunGroup], figures: Sequence[Figure], level: float
) -> list[FigureComparison]:
    order = {kind: at for at, kind in enumerate(MEANINGS)}
    differences: dict[Figure, list[Difference]] = {figure: [] for figure in figures}
    for kind in MEANINGS:
        same_kind = [figure for figure in figures if figure.kind == kind]
        pairs = list(_pairs(groups, same_kind, level))
        corrected = correct([pair.result.p for pair in pairs])
        for pair, p in zip(pairs, corrected, strict=True):
            said = _difference(pair, p, len(pairs), level)
            differences[pair.figure].append(said)
    return [
        _figure(figure, groups, differences[figure])
        for figure in sorted(figures, key=lambda f: (order[f.kind], f.place))
    ]


def _pairs(
    groups: Sequence[RunGroup], figures: Sequence[Figure], level: float
) -> list[_Pair]:
    baseline, *others = groups
    pairs: list[_Pair] = []
    for figure in figures:
        before = baseline.points(figure)
        for group in others:
            after = group.points(figure)
            if before and after:
                result = compare_bounded(before, after, level=level)
                pairs.append(_Pair(figure, group, result, _found(before, after)))
    return pairs


def _found(before: Sequence[Bounds], after: Sequence[Bounds]) -> float | None:
    fewest = min(len(before), len(after))
    if fewest < 2:
        return None
    scatter = max(stdev(point.estimate for point in of) for of in (before, after))
    return shift_found(fewest, scatter)


def _difference(pair: _Pair, p: float, comparisons: int, level: float) -> Difference:
    result = pair.result
    shift = result.shift
    answer: Answer = "none shown"
    if p <= level:
        answer = "more" if shift.estimate > 0 else "less"
    elif result.least_p * comparisons > level:
        answer = "too few"
    return Difference(
        group=pair.group.label,
        answer=answer,
        shift=shift.estimate,
        lower=_finite(shift.lower),
        upper=_finite(shift.upper),
        confidence=shift.confidence,
        p=result.p,
        corrected_p=p,
        comparisons=comparisons,
        hidden_below=_finite(result.resolution_ms),
        found=pair.found,
    )


def _figure(
    figure: Figure, groups: Sequence[RunGroup], differences: list[Difference]
) -> FigureComparison:
    meaning = MEANINGS[figure.kind]
    return FigureComparison(
        figure=figure.name,
        kind=figure.kind,
        place=figure.place,
        words=meaning.words,
        unit=meaning.unit,
        is_main=meaning.is_main,
        repeats=[
            _repeats(group.label, points)
            for group in groups
            if (points := group.points(figure))
        ],
        differences=differences,
    )


def _repeats(label: str, points: list[Bounds]) -> Repeats:
    middle = middle_of([point.estimate for point in points])
    return Repeats(
        group=label,
        points=points,
        median=middle.median,
        lower=middle.lower,
        upper=middle.upper,
        confidence=middle.confidence,
    )


def _finite(value: float) -> float | None:
    return None if isinf(value) else value
