"""Conditions under which a comparison fails."""

import pytest

from loadprobe.core.comparing.comparison import compare_groups
from loadprobe.core.comparing.conditions import parse_condition
from loadprobe.core.comparing.figures import Figure
from tests.support.compared import dark_group, group

DOCUMENT = compare_groups(
    [dark_group("a", 90, 100, 110), dark_group("b", 80, 120, 500)]
)


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ("dark_ms.p50 > 1.1x", ["b: dark_ms.p50 is 120.000 ms, the limit is 110.000"]),
        ("dark_ms.p50 > 1.2x", []),
        ("dark_ms >= 1.2x", ["b: dark_ms.p50 is 120.000 ms, the limit is 120.000"]),
        ("dark_ms.max>400", ["b: dark_ms.max is 500.000 ms, the limit is 400.000"]),
        ("dark_ms.min < 85", ["b: dark_ms.min is 80.000 ms, the limit is 85.000"]),
        (
            "dark_ms.p50 > 50",
            [
                "a: dark_ms.p50 is 100.000 ms, the limit is 50.000",
                "b: dark_ms.p50 is 120.000 ms, the limit is 50.000",
            ],
        ),
        ("dark_ms.p50 <= 1x", []),
    ],
)
def test_where_a_condition_holds(text: str, held: list[str]) -> None:
    """A multiple is of the baseline; a number is a limit for every group."""
    assert parse_condition(text).check(DOCUMENT) == held


def test_a_figure_of_a_lane() -> None:
    """A figure is named as it is shown, also with blanks in it."""
    figure = Figure("p99_ms", "tls read")
    document = compare_groups(
        [group("a", {figure: [1.0]}), group("b", {figure: [3.0]})]
    )
    assert parse_condition("tls read p99_ms.max > 2x").check(document)


@pytest.mark.parametrize(
    "text",
    ["", "dark_ms", "dark_ms > ", "> 5", "dark_ms = 5", "dark_ms > 5y", "x > -1"],
)
def test_what_is_no_condition(text: str) -> None:
    """Anything else is refused, with an example."""
    with pytest.raises(ValueError, match="is no condition; write"):
        parse_condition(text)


def test_an_unknown_figure() -> None:
    """A figure that no run has is an error that names those there are."""
    with pytest.raises(ValueError, match="'light_ms'; there are dark_ms"):
        parse_condition("light_ms > 5").check(DOCUMENT)


def test_a_baseline_without_the_figure() -> None:
    """A multiple of nothing is an error."""
    figure = Figure("shard_dark_ms", "0002")
    document = compare_groups([dark_group("a", 1), group("b", {figure: [1.0]})])
    with pytest.raises(ValueError, match="the baseline 'a' has no"):
        parse_condition("0002 shard_dark_ms > 1.1x").check(document)
