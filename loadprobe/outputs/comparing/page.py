"""The page of a comparison: a document, which ``outputs/page/static`` shows. Pure.

Sentences and numbers are those of terminal and Markdown, so that nothing is said in two
ways. docs/page.md describes the keys.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from loadprobe.core.comparing.document import (
    ComparisonDocument,
    FigureComparison,
    Repeats,
)
from loadprobe.errors import UsageError
from loadprobe.outputs.comparing.words import (
    STEADY_COLUMNS,
    STEADY_NOTE,
    STEADY_TITLE,
    difference_text,
    figure_title,
    number_text,
    repeats_row,
    steady_row,
)
from loadprobe.outputs.page.page import OF_COMPARISON, render_page

COMPARISON_VERSION = 1


def make_comparison_page(
    document: ComparisonDocument,
    figures: Sequence[FigureComparison],
    overlaid: Mapping[str, Mapping[str, Any]],
) -> bytes:
    """Return the page of a comparison.

    Args:
        document: the comparison.
        figures: those of its figures that are open; the others are folded.
        overlaid: of each run of the groups what ``overlaid_run`` tells of it.

    Raises:
        UsageError: a run holds what is never written, or what JSON cannot.
    """
    shown = comparison_page_document(document, figures, overlaid)
    try:
        title = f"{shown['title']} - loadprobe"
        return render_page(shown, title=title, front=OF_COMPARISON)
    except (TypeError, ValueError, OverflowError) as exc:
        raise UsageError(f"this cannot be shown as a page: {exc}") from exc


def comparison_page_document(
    document: ComparisonDocument,
    figures: Sequence[FigureComparison],
    overlaid: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """Return all that the page of a comparison shows; see ``make_comparison_page``."""
    is_open = {figure.figure for figure in figures}
    ordered = [*figures, *(f for f in document.figures if f.figure not in is_open)]
    return {
        "comparison_version": COMPARISON_VERSION,
        "title": " against ".join(group.label for group in document.groups),
        "level": document.level,
        "groups": [
            {"label": group.label, "runs": len(group.runs)} for group in document.groups
        ],
        "obstacles": document.obstacles,
        "figures": [
            _figure(document, figure, is_open=figure.figure in is_open)
            for figure in ordered
        ],
        "steady": {
            "title": STEADY_TITLE,
            "columns": STEADY_COLUMNS,
            "rows": [steady_row(each) for each in document.steady],
            "note": STEADY_NOTE,
        },
        "overlaid": [
            {
                "label": group.label,
                "runs": [dict(overlaid[run]) for run in group.runs if run in overlaid],
            }
            for group in document.groups
        ],
        "missing": _missing(document, overlaid),
    }


def _figure(
    document: ComparisonDocument, figure: FigureComparison, *, is_open: bool
) -> dict[str, Any]:
    runs = {group.label: group.runs for group in document.groups}
    return {
        "figure": figure.figure,
        "title": figure_title(figure),
        "unit": figure.unit,
        "is_open": is_open,
        "rows": [_row(repeats, runs[repeats.group]) for repeats in figure.repeats],
        "sentences": [
            {"answer": said.answer, "text": difference_text(document, figure, said)}
            for said in figure.differences
        ],
    }


def _row(repeats: Repeats, runs: Sequence[str]) -> dict[str, Any]:
    # Runs without the figure have no point; then nobody knows which is whose.
    names = runs if len(runs) == len(repeats.points) else [""] * len(repeats.points)
    return {
        "cells": repeats_row(repeats),
        "median": repeats.median,
        "lower": repeats.lower,
        "upper": repeats.upper,
        "points": [
            {
                "run": run,
                "text": number_text(point.estimate),
                "estimate": point.estimate,
                "lower": point.lower,
                "upper": point.upper,
            }
            for run, point in zip(names, repeats.points, strict=True)
        ],
    }


def _missing(
    document: ComparisonDocument, overlaid: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    """Return what is not there of runs, each once with how many lack it."""
    runs = [run for group in document.groups for run in group.runs]
    told = Counter(
        text for run in runs if run in overlaid for text in overlaid[run]["missing"]
    )
    return [f"{text} ({n} of {len(runs)} runs)" for text, n in told.items()]
