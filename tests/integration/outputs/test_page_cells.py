"""The cells of a page, as its front end has them: the same as those of the film."""

import random
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pytest
from playwright.sync_api import Page

from loadprobe.core.judging.cells import CellState, FilmChunk
from loadprobe.core.judging.columns import Scope
from loadprobe.core.judging.outcome import OpKind, Outcome
from loadprobe.outputs.page.packing import pack_film
from tests.support.browser import CHROMIUM, a_browser

pytestmark = [
    pytest.mark.alone,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH"),
]

SCOPE = Scope("tcp", "0001", OpKind.WRITE)
RANKS = [CellState.BLANK, CellState.LIT, "planned", CellState.BLIND]
RANKS += [CellState.GREY, CellState.DARK]
WORST = """async ({film, windows}) => {
  const {inflate, makeRows} = globalThis.cells;
  const [row] = makeRows(film, await inflate(film.packed));
  return {
    at: [...row.at],
    states: [...row.levels[0]],
    levels: row.levels.length,
    counts: row.counts.map(column => column === null ? null : [...column]),
    worst: windows.map(([from, to]) => row.worst(from, to).state),
  };
}"""


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    """Load the module of cells, alone, into an empty page."""
    text = (files("loadprobe.outputs.page") / "static" / "cells.js").read_text()
    code = text.replace("export ", "") + "\nglobalThis.cells = {inflate, makeRows};"
    with a_browser() as browser:
        opened = browser.new_page()
        opened.add_script_tag(content=code, type="module")
        yield opened


def random_film(chance: random.Random, *, chunks: int, cells: int) -> list[FilmChunk]:
    """Return chunks of one scope, by time, of which few cells failed."""
    film, ms = [], 0
    for _ in range(chunks):
        count = chance.randint(1, cells)
        steps = [0] + [chance.choice([1, 1, 2, 7, 300]) for _ in range(count - 1)]
        film.append(
            FilmChunk(
                "tcp",
                "0001",
                1,
                ms,
                steps,
                served=[chance.choice([1, 2, 0]) for _ in steps],
                refused=[int(chance.random() < 0.02) for _ in steps],
                unsent=[chance.choice([0] * 60 + [70_000]) for _ in steps],
            )
        )
        ms += sum(steps) + chance.randint(1, 5_000)
    return film


def asked(
    page: Page,
    film: list[FilmChunk],
    windows: list[tuple[float, float]],
    **row: list[Any],
) -> dict[str, Any]:
    """Return what the front end makes of a film, and the worst of some windows."""
    packed = pack_film(film, {SCOPE: 0}, zero_ms=0)
    known = {"lane": "tcp", "shard": "0001", "op": "write"}
    told = {
        "rows": [known | {"served": [], "failing": [], "planned": []} | row],
        "blind": {},
        "outcomes": [outcome.label for outcome in Outcome],
        "chunks": packed.chunks,
        "packed": packed.packed,
    }
    answer: dict[str, Any] = page.evaluate(WORST, {"film": told, "windows": windows})
    return answer


@pytest.mark.parametrize("seed", range(6))
def test_no_state_is_lost_in_any_window(page: Page, seed: int) -> None:
    """However wide a column is, it has the worst of all cells in it."""
    chance = random.Random(seed)
    film = random_film(chance, chunks=chance.randint(1, 12), cells=4 ** (seed + 1))
    cells = [cell for chunk in film for cell in chunk.cells()]
    last = cells[-1].ms
    windows = [
        (start, start + chance.choice([0.001, 0.3, 1, 3.5, 40, 999, 20_000, last + 1]))
        for start in (chance.uniform(-5, last + 5) for _ in range(600))
    ]
    answer = asked(page, film, windows)
    ranks = [RANKS.index(cell.state) for cell in cells]
    assert answer["at"] == [cell.ms for cell in cells]
    assert answer["states"] == ranks
    for outcome in Outcome:
        column = answer["counts"][outcome] or [0] * len(cells)
        assert column == [cell.counts[outcome] for cell in cells]
    for (start, end), found in zip(windows, answer["worst"], strict=True):
        inside = [
            rank
            for cell, rank in zip(cells, ranks, strict=True)
            if cell.ms + 1 > start and cell.ms < end
        ]
        if any(inside):
            assert found == max(inside), (start, end)


def test_large_films_have_levels(page: Page) -> None:
    """The worst of all is found from above, not by looking at each cell."""
    chunk = FilmChunk("tcp", "0001", 1, 0, [0, *[1] * 99_999], served=[1] * 100_000)
    dark = FilmChunk("tcp", "0001", 1, 100_000, [0], unsent=[1])
    answer = asked(page, [chunk, dark], [(0, 100_000), (0, 100_001), (99_999, 1e9)])
    assert answer["levels"] == 5
    assert answer["worst"] == [1, 5, 5]


def test_what_is_no_cell_counts_as_well(page: Page) -> None:
    """Served seconds, seconds with failures and darkness by plan are seen, too."""
    film = [
        FilmChunk("tcp", "0001", 1, 5_000, [0, 10, 10], unsent=[1, 1, 1]),
    ]
    windows: list[tuple[float, float]] = [
        (0, 1_000),  # served, says the second
        (2_000, 2_500),  # dark, says the second
        (3_100, 3_200),  # some failed, says the second
        (4_000, 4_900),  # nothing is known
        (5_000, 5_005),  # by plan
        (5_010, 5_021),  # one of the two is not
        (5_003, 5_008),  # between one by plan and one that is not
        (5_012, 5_018),  # between two dark ones
    ]
    answer = asked(
        page,
        film,
        windows,
        served=[[0, 2_000]],
        failing=[[2_000, 1_000, 7, 0], [3_000, 1_000, 0, 3]],
        planned=[[4_999.5, 5_001.0]],
    )
    assert answer["worst"] == [1, 5, 4, 0, 2, 5, 0, 5]
