"""A few repeats of one thing: the median and how sure it is."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadprobe.core.comparing.one_sample import middle_of
from loadprobe.core.comparing.several import correct
from loadprobe.core.comparing.two_samples import median_of


@pytest.mark.parametrize(
    ("count", "confidence", "rank"),
    [(1, 0.0, 1), (2, 0.5, 1), (5, 0.9375, 1), (6, 0.96875, 1), (9, 0.9609375, 2)],
)
def test_the_confidence_is_the_one_it_has(
    count: int, confidence: float, rank: int
) -> None:
    """The interval says the confidence of its order statistics, not the one asked."""
    values = [float(value) for value in range(count)]
    middle = middle_of(values)
    assert middle.confidence == confidence
    assert (middle.lower, middle.upper) == (values[rank - 1], values[-rank])


@given(values=st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=40))
def test_the_median_is_inside(values: list[float]) -> None:
    """Least, lower end, median, upper end and most are in this order."""
    m = middle_of(values)
    assert m.least <= m.lower <= m.median <= m.upper <= m.most
    assert m.count == len(values)
    assert m.median == median_of(values)


def test_the_interval_holds_the_median_as_often_as_it_says() -> None:
    """Of 4,000 samples of six the interval holds the true median in 96.9 %."""
    draw = Random(5)
    held = 0
    for _ in range(4_000):
        middle = middle_of([draw.expovariate(1) for _ in range(6)])
        held += middle.lower <= 0.6931471805599453 <= middle.upper
    spread = (4_000 * 0.96875 * 0.03125) ** 0.5
    assert abs(held - 0.96875 * 4_000) <= 3 * spread


@pytest.mark.parametrize("wrong", [[], [float("nan")]])
def test_what_has_no_middle_is_refused(wrong: list[float]) -> None:
    """An empty sample and a value that is no number are errors."""
    with pytest.raises(ValueError, match="empty|no number"):
        middle_of(wrong)


def test_several_comparisons_are_corrected() -> None:
    """The smallest p is multiplied by their number, the next by one less."""
    assert correct([0.04, 0.01, 0.5]) == pytest.approx([0.08, 0.03, 0.5])
    assert correct([]) == []


@given(p_values=st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_a_correction_never_helps(p_values: list[float]) -> None:
    """No p becomes smaller, none exceeds 1, and their order stays."""
    corrected = correct(p_values)
    assert all(p <= c <= 1 for p, c in zip(p_values, corrected, strict=True))
    order = sorted(range(len(p_values)), key=lambda at: p_values[at])
    assert sorted(corrected) == [corrected[at] for at in order]
