"""A comparison as Markdown, for a ticket or the summary of a CI job. Pure."""

from collections.abc import Iterator, Sequence

from loadprobe.core.comparing.document import ComparisonDocument, FigureComparison
from loadprobe.outputs.comparing.words import (
    COLUMNS,
    STEADY_COLUMNS,
    STEADY_NOTE,
    STEADY_TITLE,
    difference_text,
    figure_title,
    repeats_row,
    steady_row,
)
from loadprobe.outputs.wording import printable

_MEANT = str.maketrans({mark: f"\\{mark}" for mark in "\\`*_{}[]<>#|!~"})


def render_markdown(
    document: ComparisonDocument, figures: Sequence[FigureComparison]
) -> str:
    """Return a comparison as Markdown; names are text in it, whatever they hold."""
    return "\n".join(_lines(document, figures)) + "\n"


def _lines(
    document: ComparisonDocument, figures: Sequence[FigureComparison]
) -> Iterator[str]:
    yield f"# {_text(' against '.join(group.label for group in document.groups))}"
    yield ""
    for sentence in document.obstacles:
        yield f"> **Not like with like:** {_text(sentence)}"
        yield ">"
    for figure in figures:
        yield ""
        yield f"**{_text(figure_title(figure))}**"
        yield ""
        yield "| " + " | ".join(COLUMNS) + " |"
        yield "|" + "|".join("---" for _ in COLUMNS) + "|"
        for repeats in figure.repeats:
            yield "| " + " | ".join(_text(cell) for cell in repeats_row(repeats)) + " |"
        yield ""
        for said in figure.differences:
            yield f"- {_text(difference_text(document, figure, said))}"
    if document.steady:
        yield from ("", f"**{STEADY_TITLE}**", "", f"{STEADY_NOTE}", "")
        yield "| " + " | ".join(STEADY_COLUMNS) + " |"
        yield "|" + "|".join("---" for _ in STEADY_COLUMNS) + "|"
        for steady in document.steady:
            yield "| " + " | ".join(_text(cell) for cell in steady_row(steady)) + " |"


def _text(text: str) -> str:
    return printable(text).translate(_MEANT)
