"""A comparison for people and for CI servers."""

import io
from xml.etree.ElementTree import fromstring

from rich.console import Console

from loadprobe.core.comparing.comparison import compare_groups
from loadprobe.core.comparing.document import ComparisonDocument
from loadprobe.outputs.comparing.circumstances import compared_run
from loadprobe.outputs.comparing.junit import render_junit
from loadprobe.outputs.comparing.markdown import render_markdown
from loadprobe.outputs.comparing.text import draw_points, render_comparison
from loadprobe.outputs.comparing.words import number_text, shown_figures
from tests.support.compared import dark_group
from tests.support.reports import make_run

SIX = compare_groups(
    [
        dark_group("two", 100, 101, 102, 103, 104, 105),
        dark_group("three", 200, 201, 202, 203, 204, 205),
    ]
)


def text(document: ComparisonDocument, *, width: int = 100) -> str:
    """Return a comparison as a terminal shows it."""
    console = Console(file=io.StringIO(), width=width)
    console.print(render_comparison(document, document.figures))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_difference_is_a_sentence() -> None:
    """It tells how much, how much in per cent, how sure, and by which p."""
    assert "three: 100 ms [97.0, 103] more than two (+98 %), p = 0.0022" in text(SIX)


def test_every_run_is_a_point() -> None:
    """Groups are drawn on one scale, with a point for each of their runs."""
    two, three = draw_points(SIX.figures[0])
    assert two.count("o") + two.count("@") >= 2
    assert set(two[len(two) // 2 :].strip()) == set()
    assert set(three[: len(three) // 2].strip()) == set()
    assert "100 to 205" in text(SIX)


def test_equal_runs_are_drawn() -> None:
    """Runs without any scatter have a strip, too."""
    same = compare_groups([dark_group("a", 0, 0, 0), dark_group("b", 0, 0, 0)])
    assert [strip.strip() for strip in draw_points(same.figures[0])] == ["@", "@"]


def test_hostile_names_are_text() -> None:
    """Labels with markup, escapes or pipes change nothing of what is shown."""
    name = "[red]x[/]\x1b[31m|<b>"
    document = compare_groups([dark_group("a", 1, 2), dark_group(name, 1, 2)])
    assert "\x1b" not in text(document)
    assert "[red]x[/] [31m|<b>" in text(document)
    markdown = render_markdown(document, document.figures)
    assert "\\[red\\]x\\[/\\] \\[31m\\|\\<b\\>" in markdown
    assert "\x1b" not in markdown


def test_markdown_has_every_value() -> None:
    """The table has a row for each group, with the value of every run."""
    lines = render_markdown(SIX, SIX.figures).splitlines()
    row = next(line for line in lines if line.startswith("| two"))
    assert "100 101 102 103 104 105" in row
    assert sum(line.startswith("| ") for line in lines) == 3


def test_conditions_as_junit() -> None:
    """A condition that held is a failed case, one that did not has passed."""
    suite = fromstring(render_junit("a < b", {"x > 1": [], "y > 2": ["b: y is 3"]}))
    assert suite.attrib["tests"] == "2"
    assert suite.attrib["failures"] == "1"
    passed, failed = suite.findall("testcase")
    assert passed.find("failure") is None
    failure = failed.find("failure")
    assert failure is not None
    assert failure.attrib["message"] == "b: y is 3"


def test_main_figures_are_shown_first() -> None:
    """What is 0 everywhere is left out, but for the dark time, and by name."""
    run = compared_run(make_run(dark=False))
    groups = [dark_group("a", 0), dark_group("b", 0)]
    document = compare_groups([groups[0], type(groups[0])("c", [run])])
    by_itself = shown_figures(document, chosen=frozenset(), is_full=False)
    names = [figure.figure for figure in by_itself]
    assert names[0] == "dark_ms"
    assert "0001 shard_dark_ms" not in names
    asked = shown_figures(document, chosen=frozenset({"shard_dark_ms"}), is_full=False)
    assert [figure.figure for figure in asked] == [
        "0001 shard_dark_ms",
        "0002 shard_dark_ms",
        "0003 shard_dark_ms",
    ]
    everything = shown_figures(document, chosen=frozenset(), is_full=True)
    assert len(everything) == len(document.figures)


def test_numbers_have_the_digits_that_matter() -> None:
    """Large ones have none behind the point, small ones three."""
    values = 12_345.6, 12.345, 1.2345, 0.12345, 0.0, -0.0001
    assert [number_text(v) for v in values] == [
        "12,346",
        "12.3",
        "1.23",
        "0.123",
        "0",
        "0",
    ]


def test_what_may_differ_is_no_fact() -> None:
    """Target, name and where things are written are free; a lane's rate is not."""
    run = make_run()
    around = compared_run(run).around
    assert "target.host" not in around.facts
    assert around.facts["host.cpus"] == 2
    assert around.facts["scenario"] == "failover"
