"""The page of a long run: ``python -m benchmarks.run_page``.

Ten hours with 20 incidents of 8 s on two lanes of three shards, reads and writes. How
long the page takes to make, how large it is, when a browser paints it first, and how
long a frame takes while somebody zooms in.
"""

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.rows import Limit, Row, render
from loadprobe.outputs.page.page import write_page
from tests.support.browser import a_browser, showing
from tests.support.page_runs import long_run

LENGTH_S, INCIDENTS, DARK_MS = 36_000, 20, 8_000
_MB = 1_000_000
_PAINT = (
    "performance.getEntriesByType('paint')"
    ".find(entry => entry.name === 'first-contentful-paint').startTime"
)
_ZOOM = """async () => {
  const film = document.querySelector('canvas.film');
  const times = [];
  for (let n = 0; n < 20; n += 1) {
    const begun = performance.now();
    film.dispatchEvent(new KeyboardEvent('keydown', {key: n < 10 ? '+' : '-'}));
    await new Promise(done => requestAnimationFrame(() => setTimeout(done)));
    times.push(performance.now() - begun);
  }
  return times;
}"""


def measure(folder: Path, *, length_s: int, repeats: int) -> list[Row]:
    """Return the rows.

    Args:
        folder: an empty one, for the run.
        length_s: of the run.
        repeats: how often the page is opened.
    """
    run = long_run(folder, length_s=length_s, incidents=INCIDENTS, dark_ms=DARK_MS)
    begun = time.perf_counter()
    page = write_page(run)
    made_s = time.perf_counter() - begun
    paints: list[float] = []
    frames: list[Any] = []
    with a_browser() as browser:
        for _ in range(repeats):
            with showing(browser, page) as shown:
                paints.append(shown.ask(_PAINT))
                frames.append(median(shown.ask(_ZOOM)))
    return [
        Row.of("page, made", "s", [made_s]),
        Row.of("page, size", "MB", [page.stat().st_size / _MB], Limit(5.0)),
        Row.of("page, first paint", "ms", paints, Limit(1500.0)),
        Row.of("page, frame while zooming", "ms", frames, Limit(50.0)),
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=LENGTH_S)
    parser.add_argument("--repeats", type=int, default=5)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(
            Path(folder) / "run", length_s=asked.seconds, repeats=asked.repeats
        )
    print(render(rows))


if __name__ == "__main__":
    main()
