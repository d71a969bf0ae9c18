"""What the page of a comparison is given, and that it is data whatever it holds."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from loadprobe.core.comparing.comparison import compare_groups
from loadprobe.core.comparing.document import ComparisonDocument
from loadprobe.outputs.comparing.page import (
    comparison_page_document,
    make_comparison_page,
)
from loadprobe.outputs.comparing.words import shown_figures
from tests.support.compared import dark_group
from tests.support.compared_page import failed_over
from tests.support.page_runs import HOSTILE

SIX = compare_groups(
    [
        dark_group("two", 100, 101, 102, 103, 104, 105),
        dark_group("three", 200, 201, 202, 203, 204, 205),
    ]
)


def shown(document: ComparisonDocument) -> dict[str, Any]:
    """Return what a page shows of a comparison, its main figures open."""
    figures = shown_figures(document, chosen=frozenset(), is_full=False)
    return comparison_page_document(document, figures, {})


def test_the_sentence_is_that_of_the_terminal() -> None:
    """What differs is said in the same words everywhere."""
    (dark,) = shown(SIX)["figures"]
    assert dark["sentences"] == [
        {
            "answer": "more",
            "text": "three: 100 ms [97.0, 103] more than two (+98 %), p = 0.0022",
        }
    ]


def test_every_run_is_a_point_with_its_folder() -> None:
    """Each has its value with error bars, and where it came from."""
    (dark,) = shown(SIX)["figures"]
    two, three = dark["rows"]
    assert [point["estimate"] for point in three["points"]] == list(range(200, 206))
    assert [point["run"] for point in two["points"]] == [f"two/{n}" for n in range(6)]
    assert (two["median"], two["lower"], two["upper"]) == (102.5, 100, 105)
    assert "96.9 %" in two["cells"]


def test_points_of_some_runs_only_have_no_folder() -> None:
    """If a run has no such figure, no point is said to be of another run."""
    whole, part = dark_group("a", 1, 2, 3), dark_group("b", 4, 5, 6)
    lacking = type(part)(
        "b", [part.runs[0], type(part.runs[1])(part.runs[1].around, {})]
    )
    (dark,) = shown(compare_groups([whole, lacking]))["figures"]
    assert [point["run"] for point in dark["rows"][1]["points"]] == [""]


def test_main_figures_come_first_and_open(tmp_path: Path) -> None:
    """All others are there, folded, below them; none is there twice."""
    compared = failed_over(tmp_path, {"a": [500, 510], "b": [900, 910]})
    figures = shown(compared.document)["figures"]
    open_first = [figure["is_open"] for figure in figures]
    assert open_first == sorted(open_first, reverse=True)
    assert figures[0]["figure"] == "dark_ms"
    assert {True, False} == set(open_first)
    names = [figure["figure"] for figure in figures]
    assert sorted(names) == sorted(f.figure for f in compared.document.figures)


def test_runs_are_in_their_groups(tmp_path: Path) -> None:
    """What is laid over each other is by group, and what lacks is told once."""
    compared = failed_over(tmp_path, {"a": [500, 510], "b": [900]})
    overlaid = {
        run: {**told, "missing": ["x is not there"]}
        for run, told in compared.overlaid.items()
    }
    document = comparison_page_document(compared.document, [], overlaid)
    groups = [(g["label"], len(g["runs"])) for g in document["overlaid"]]
    assert groups == [("a", 2), ("b", 1)]
    assert document["missing"] == ["x is not there (3 of 3 runs)"]


@pytest.mark.parametrize("label", [HOSTILE, "a & b"])
def test_labels_are_data(label: str) -> None:
    """Markup in a label ends no block and no title; read back it is as it was."""
    document = compare_groups([dark_group("a", 1, 2), dark_group(label, 1, 2)])
    page = make_comparison_page(document, document.figures, {}).decode()
    data = re.search(r'<script type="application/json"[^>]*>(.*?)</script>', page)
    assert data is not None
    assert not set("<>&") & set(data[1])
    assert json.loads(data[1])["groups"][1]["label"] == label
    assert page.count("<script") == 2
    assert "uPlot" not in page
