"""The page of a comparison in a real browser: opened from disk, and looked at."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from playwright.sync_api import Browser

from tests.support.browser import CHROMIUM, Shown, a_browser, showing
from tests.support.compared_page import (
    TO_ERROR_MS,
    Compared,
    compared,
    failed_over,
    failed_over_run,
)
from tests.support.page_runs import HOSTILE, empty_run

pytestmark = [
    pytest.mark.alone,
    pytest.mark.skipif(
        CHROMIUM is None, reason="no chromium on PATH: apt-get install chromium"
    ),
]

DARKNESS = {
    "shards=2": [1500, 1520, 1610, 1480, 1555, 1530],
    "shards=3": [1900, 1860, 2010, 1950, 1890, 1925],
    "shards=4": [1490, 1620, 1530, 1500, 1580, 1601],
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start a browser once for all tests."""
    with a_browser() as started:
        yield started


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Compared:
    """Return three groups of six runs, of which the second was dark for longer."""
    return failed_over(tmp_path_factory.mktemp("three"), DARKNESS)


def dark_parts(shown: Shown) -> list[tuple[float, float]]:
    """Return when each run is drawn dark, in ms from t = 0."""
    parts = shown.ask(
        """() => [...document.querySelectorAll('.course canvas')].map(canvas => {
          const [from, to] = [canvas.dataset.from, canvas.dataset.to].map(Number);
          const pen = canvas.getContext('2d');
          const {data} = pen.getImageData(0, 2, canvas.width, 1);
          return {from, to, flat: [...data]};
        })"""
    )
    dark = shown.colour("dark")
    found = []
    for part in parts:
        flat = part["flat"]
        colours = [tuple(flat[n : n + 3]) for n in range(0, len(flat), 4)]
        per_px = (part["to"] - part["from"]) / len(colours)
        places = [x for x, colour in enumerate(colours) if colour == dark]
        since, until = places[0] * per_px, (places[-1] + 1) * per_px
        found.append((part["from"] + since, part["from"] + until))
    return found


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_comparison_shows_all_without_a_request(
    browser: Browser, tmp_path: Path, three: Compared, scheme: str
) -> None:
    """It opens from disk, asks for nothing, and has a point for every run."""
    page = three.write(tmp_path / "compare.html")
    with showing(browser, page, color_scheme=scheme) as shown:
        text = shown.page.inner_text("main")
        points = shown.page.locator(".figure .strips").first.locator(".point").count()
        unseen = shown.ask(
            """() => [...document.querySelectorAll('.points .point')].filter(point => {
              const [own, line] = [point, point.parentNode].map(
                  each => each.getBoundingClientRect());
              return own.width > 0 && (own.left < line.left - 5
                  || own.right > line.right + 5);
            }).length"""
        )
    assert (shown.requests, shown.complaints) == ([], [])
    assert (points, unseen) == (18, 0)
    assert "shards=3: 392 ms [330, 455] more than shards=2" in text
    assert "shards=4: no difference from shards=2 shown" in text
    assert text.index("392 ms") < text.index("Every run is a point")
    assert text.index("Every run is a point") < text.index("The runs over each other")
    assert "Not like with like" not in text
    assert "Not all is here" not in text


def test_dark_stretches_are_under_each_other(
    browser: Browser, tmp_path: Path, three: Compared
) -> None:
    """Called at different moments, all are dark from the same place on, so long."""
    page = three.write(tmp_path / "compare.html")
    expected = [length for repeats in DARKNESS.values() for length in repeats]
    with showing(browser, page) as shown:
        near = dark_parts(shown)
        shown.page.click("text=Whole runs")
        shown.settle()
        whole = dark_parts(shown)
    for parts, bar in ((near, 10), (whole, 50)):
        for (since, until), length in zip(parts, expected, strict=True):
            assert since == pytest.approx(TO_ERROR_MS, abs=bar)
            assert until == pytest.approx(TO_ERROR_MS + length, abs=bar)


def test_phases_are_told_in_numbers(
    browser: Browser, tmp_path: Path, three: Compared
) -> None:
    """What the signs below the strips say is in a table, too, and for readers."""
    with showing(browser, three.write(tmp_path / "compare.html")) as shown:
        signs = shown.page.locator(".tick:visible").count()
        label = shown.page.get_attribute(".course canvas", "aria-label")
        shown.page.click("text=Phases in numbers")
        row = shown.page.inner_text("#overlay tbody tr:first-child")
    assert signs == 4 * 18
    assert row.split("\t")[2:] == [
        *("failover", "+0 ms", "+180 ms", "+1,680 ms", "+4,000 ms"),
    ]
    assert label is not None
    assert "failover: served again +1,680 ms" in label


def test_obstacles_come_before_figures(
    browser: Browser, tmp_path: Path, three: Compared
) -> None:
    """What was compared in spite of everything says so on its page."""
    document = msgspec.structs.replace(three.document, obstacles=["rates differ"])
    page = Compared(document, three.overlaid).write(tmp_path / "compare.html")
    with showing(browser, page) as shown:
        text = shown.page.inner_text("main")
    assert text.index("392 ms") < text.index("rates differ")
    assert text.index("rates differ") < text.index("Every run is a point")


def test_labels_are_text_whatever_they_hold(browser: Browser, tmp_path: Path) -> None:
    """Markup in labels, steps and names of runs is shown, and never runs."""
    runs = {
        label: [
            failed_over_run(
                tmp_path / f"{n}-{at}", call_at_ms=2_000, dark_ms=100, step=HOSTILE
            )
            for at in range(2)
        ]
        for n, label in enumerate([HOSTILE, "__proto__"])
    }
    page = compared(runs).write(tmp_path / "compare.html")
    with showing(browser, page) as shown:
        text = shown.page.inner_text("main")
        assert shown.ask("document.querySelectorAll('img, main script').length") == 0
        assert shown.ask("document.title").startswith("<script>")
    assert HOSTILE.replace("\u202e", "\\u202e") in text
    assert "__proto__" in text
    assert (shown.requests, shown.complaints) == ([], [])


def test_runs_in_which_nothing_happened(browser: Browser, tmp_path: Path) -> None:
    """A group by itself, of runs without an arrival, has a page that says so."""
    page = compared({"idle": [empty_run(tmp_path / "run")]}).write(tmp_path / "p.html")
    with showing(browser, page) as shown:
        text = shown.page.inner_text("main")
    assert "one group only" in text
    assert "dark_ms" in text
    assert (shown.requests, shown.complaints) == ([], [])


def test_a_narrow_screen_and_paper(
    browser: Browser, tmp_path: Path, three: Compared
) -> None:
    """On a phone nothing is wider than it; printed, a dark page is light."""
    page = three.write(tmp_path / "compare.html")
    narrow = {"width": 390, "height": 800}
    with showing(browser, page, viewport=narrow, color_scheme="dark") as shown:
        assert shown.ask("document.documentElement.scrollWidth") <= narrow["width"]
        corner = (
            "() => [...document.querySelector('.course canvas').getContext('2d')"
            ".getImageData(0, 0, 1, 1).data].slice(0, 3)"
        )
        on_screen = shown.ask(corner)
        shown.page.emulate_media(media="print")
        shown.settle()
        on_paper = shown.ask(corner)
    assert sum(on_screen) < 150
    assert on_paper == [255, 255, 255]
