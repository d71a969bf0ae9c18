"""A comparison for a terminal: every repeat is a point, and what it says a sentence.

Pure but for what rich does.
"""

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from loadprobe.core.comparing.document import ComparisonDocument, FigureComparison
from loadprobe.outputs.comparing.words import (
    COLUMNS,
    STEADY_COLUMNS,
    STEADY_NOTE,
    STEADY_TITLE,
    difference_text,
    figure_title,
    number_text,
    repeats_row,
    steady_row,
)
from loadprobe.outputs.report.rows import Rows
from loadprobe.outputs.wording import printable

STRIP_COLUMNS = 32
_POINT, _MEDIAN, _BOTH = "o", "|", "@"
_INDENT = (0, 0, 1, 2)


def render_comparison(
    document: ComparisonDocument, figures: Sequence[FigureComparison]
) -> RenderableType:
    """Return a comparison; the names of groups are shown as text, whatever they hold.

    Args:
        document: the comparison.
        figures: those of its figures that are shown.
    """
    return Group(*_parts(document, figures))


def _parts(
    document: ComparisonDocument, figures: Sequence[FigureComparison]
) -> Iterator[RenderableType]:
    for sentence in document.obstacles:
        yield Text(f"NOT LIKE WITH LIKE  {printable(sentence)}", style="yellow")
    for figure in figures:
        yield Text(printable(figure_title(figure)), style="bold")
        yield Padding(Group(*_figure(document, figure)), _INDENT)
    if document.steady:
        yield Text(STEADY_TITLE, style="bold")
        rows = [[*map(printable, steady_row(each))] for each in document.steady]
        yield Padding(Rows(STEADY_COLUMNS, 2, rows), _INDENT)
        yield Text(STEADY_NOTE, style="dim")
    yield Text(
        f"{_POINT} a run, {_MEDIAN} the median, {_BOTH} both. [lower, upper] holds the "
        "true median as often as 'sure' says.",
        style="dim",
    )


def _figure(
    document: ComparisonDocument, figure: FigureComparison
) -> Iterator[RenderableType]:
    strips = draw_points(figure)
    rows = [
        [*(printable(cell) for cell in repeats_row(repeats)[:-1]), strip]
        for repeats, strip in zip(figure.repeats, strips, strict=True)
    ]
    columns = (*COLUMNS[:-1], _scale(figure).center(STRIP_COLUMNS))
    yield Rows(columns, 1, rows)
    for said in figure.differences:
        style = "bold" if said.answer in {"more", "less"} else ""
        yield Text(printable(difference_text(document, figure, said)), style=style)


def _scale(figure: FigureComparison) -> str:
    """Return what the two ends of a strip are."""
    values = [p.estimate for repeats in figure.repeats for p in repeats.points]
    least, most = number_text(min(values)), number_text(max(values))
    return least if least == most else f"{least} to {most}"


def draw_points(figure: FigureComparison) -> list[str]:
    """Return a strip for each group, all on one scale, with its runs as points."""
    values = [p.estimate for repeats in figure.repeats for p in repeats.points]
    least, most = min(values), max(values)

    def column(value: float) -> int:
        if most == least:
            return 0
        return round((value - least) / (most - least) * (STRIP_COLUMNS - 1))

    strips: list[str] = []
    for repeats in figure.repeats:
        cells = [" "] * STRIP_COLUMNS
        for point in repeats.points:
            cells[column(point.estimate)] = _POINT
        middle = column(repeats.median)
        cells[middle] = _BOTH if cells[middle] == _POINT else _MEDIAN
        strips.append("".join(cells))
    return strips
