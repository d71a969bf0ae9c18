"""Groups of runs beside each other, figure by figure."""

import pytest

from loadprobe.core.comparing.comparison import RunGroup, compare_groups
from loadprobe.core.comparing.document import ComparisonDocument
from loadprobe.core.comparing.figures import MEANINGS, Figure, figures_of
from loadprobe.core.comparing.obstacles import Circumstances, find_obstacles
from tests.support.compared import dark_group, group
from tests.support.reports import DARK, make_run

SHORT = 100.0, 101, 102, 103, 104, 105
LONG = 200.0, 201, 202, 203, 204, 205


def dark(*groups: RunGroup) -> ComparisonDocument:
    """Return the comparison of groups."""
    return compare_groups(groups)


def test_a_difference_is_told_with_its_size() -> None:
    """Six that are longer by 100 ms are more, by 100 ms, within their interval."""
    figure = dark(dark_group("a", *SHORT), dark_group("b", *LONG)).figures[0]
    (said,) = figure.differences
    assert (said.group, said.answer, said.shift) == ("b", "more", 100)
    assert said.lower is not None
    assert said.upper is not None
    assert 95 <= said.lower <= 100 <= said.upper <= 105
    assert [r.median for r in figure.repeats] == [102.5, 202.5]
    assert [len(r.points) for r in figure.repeats] == [6, 6]


def test_a_shorter_one_is_less() -> None:
    """The first group is the baseline, whatever is longer."""
    (said,) = (
        dark(dark_group("a", *LONG), dark_group("b", *SHORT)).figures[0].differences
    )
    assert (said.answer, said.shift) == ("less", -100)


def test_too_few_repeats_show_nothing() -> None:
    """Three against three cannot show a difference, and that is the answer."""
    (said,) = (
        dark(dark_group("a", 1, 2, 3), dark_group("b", 91, 92, 93))
        .figures[0]
        .differences
    )
    assert said.answer == "too few"
    assert (said.lower, said.upper, said.hidden_below, said.found) == (None,) * 4


def test_no_difference_says_what_would_have_been_hidden() -> None:
    """Where none is shown, the size is told that so few would not have shown."""
    (said,) = (
        dark(
            dark_group("a", 90, 95, 100, 105, 110, 120),
            dark_group("b", 91, 96, 101, 103, 111, 118),
        )
        .figures[0]
        .differences
    )
    assert said.answer == "none shown"
    assert said.hidden_below is not None
    assert 5 < said.hidden_below < 40


def test_more_groups_are_held_to_a_harder_measure() -> None:
    """With four groups each p is corrected for three comparisons."""
    others = [dark_group(label, *LONG) for label in "bcd"]
    differences = dark(dark_group("a", *SHORT), *others).figures[0].differences
    assert [d.comparisons for d in differences] == [3, 3, 3]
    assert all(d.corrected_p == pytest.approx(3 * d.p) for d in differences)
    assert all(d.answer == "more" for d in differences)


def test_kinds_are_corrected_by_themselves() -> None:
    """Latencies of many lanes do not hide a difference of the dark time."""
    lanes = {Figure("p99_ms", f"lane{n} read"): SHORT for n in range(20)}
    before = group("a", {Figure("dark_ms"): SHORT, **lanes})
    after = group("b", {Figure("dark_ms"): LONG, **lanes})
    document = compare_groups([before, after])
    dark_ms = document.find("dark_ms")
    p99 = document.find("lane3 read p99_ms")
    assert dark_ms is not None
    assert p99 is not None
    assert dark_ms.differences[0].comparisons == 1
    assert dark_ms.differences[0].answer == "more"
    assert p99.differences[0].comparisons == 20


def test_a_figure_that_only_some_have() -> None:
    """A shard that one group lacks is shown, and compared with nothing."""
    before = group("a", {Figure("shard_dark_ms", "0001"): SHORT})
    after = group(
        "b",
        {
            Figure("shard_dark_ms", "0001"): SHORT,
            Figure("shard_dark_ms", "0002"): LONG,
        },
    )
    only = compare_groups([before, after]).find("0002 shard_dark_ms")
    assert only is not None
    assert [r.group for r in only.repeats] == ["b"]
    assert only.differences == []


def test_the_figures_of_a_run() -> None:
    """Dark times keep their error bars; latencies are those of lane and op kind."""
    figures = figures_of(make_run().summary)
    assert figures[Figure("dark_ms")] == DARK
    assert figures[Figure("shard_dark_ms", "0002")] == DARK
    assert figures[Figure("p99_ms", "tcp write")].estimate == 1.2
    assert figures[Figure("lost_writes")].estimate == 0
    assert Figure("stale_reads") not in figures, "not checked is no 0"
    assert Figure("client_dark_ms") not in figures
    assert {figure.kind for figure in figures} <= set(MEANINGS)


def test_like_runs_have_no_obstacles() -> None:
    """Runs of the same settings may be compared."""
    facts = {"lanes.tcp.rate_per_s": 1000.0}
    runs = [Circumstances(f"run{n}", "outage", 0.001, facts) for n in range(4)]
    assert find_obstacles(runs) == []


def test_what_differs_is_named() -> None:
    """Another rate is an obstacle, with both values and both runs."""
    one = Circumstances("one", "clean", 0.0, {"lanes.tcp.rate_per_s": 1000.0})
    two = Circumstances("two", "clean", 0.0, {"lanes.tcp.rate_per_s": 3000.0})
    assert find_obstacles([one, two]) == [
        "lanes.tcp.rate_per_s is 1000.0 in one, but 3000.0 in two"
    ]
    assert find_obstacles([one, two], axes=["lanes.tcp.rate_per_s"]) == []
    assert find_obstacles([one, two], axes=["lanes"]) == []
    assert find_obstacles([one, two], axes=["lane"]) != []


def test_what_lacks_is_named() -> None:
    """A key that one of them has not differs."""
    one = Circumstances("one", "clean", 0.0, {"versions.redis": "8.1"})
    two = Circumstances("two", "clean", 0.0, {})
    assert find_obstacles([one, two]) == [
        "versions.redis is 8.1 in one, but nothing in two"
    ]


@pytest.mark.parametrize("state", ["interrupted", "running", "invalid", "failed"])
def test_a_run_without_an_end_is_an_obstacle(state: str) -> None:
    """What was cut short or failed is not compared with whole runs."""
    (said,) = find_obstacles([Circumstances("one", state, 0.0)])
    assert f"one is {state}" in said


def test_a_blind_run_is_an_obstacle() -> None:
    """A run that was not seen for 2 % of its time says more of the probe."""
    (said,) = find_obstacles([Circumstances("one", "clean", 0.02)])
    assert "blind for 2.0 %" in said
