"""The page of a run in a real browser: opened from disk, looked at and steered."""

import base64
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from playwright.sync_api import Browser

from loadprobe.core.topology.node_metrics import MetricRow
from loadprobe.core.topology.server_side import ServerRow
from loadprobe.outputs.folder.documents import (
    CLOUDWATCH,
    PAGE,
    SERVERS,
    encode_json,
)
from loadprobe.outputs.folder.growing import header_of
from loadprobe.outputs.folder.reader import RunData, load_run
from loadprobe.outputs.page.page import write_page
from loadprobe.outputs.page.still import write_still
from tests.support.browser import CHROMIUM, a_browser, showing
from tests.support.page_runs import (
    HOSTILE,
    empty_run,
    hostile_run,
    long_run,
    planted_run,
)
from tests.support.reports import START, S
from tests.support.written_run import write_run

pytestmark = [
    pytest.mark.alone,
    pytest.mark.skipif(
        CHROMIUM is None, reason="no chromium on PATH: apt-get install chromium"
    ),
]

TEN_HOURS_S = 36_000
PLANTED_MS = 12_345_678
TOP = 4  # of a row: lit cells do not reach so high


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start a browser once for all tests."""
    with a_browser() as started:
        yield started


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the page of ten hours with one dark millisecond."""
    folder = tmp_path_factory.mktemp("planted") / "run"
    run = planted_run(folder, length_s=TEN_HOURS_S, dark_at_ms=PLANTED_MS)
    return write_page(run)


def written(run: RunData) -> Path:
    """Write the page of a run into its folder."""
    run.path.mkdir(parents=True, exist_ok=True)
    return write_page(run)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_shows_all_without_a_request(
    browser: Browser, tmp_path: Path, scheme: str
) -> None:
    """It opens from disk, asks for nothing, complains of nothing, and shows all."""
    page = write_page(load_run(write_run(tmp_path)))
    with showing(browser, page, color_scheme=scheme) as shown:
        text = shown.page.inner_text("main")
        drawn = shown.page.locator(".uplot canvas").count()
    assert (shown.requests, shown.complaints) == ([], [])
    assert drawn == 2  # latency, and counts
    for part in ("shard 0002 was dark on lane tcp for", "The film", "Incidents"):
        assert part in text
    for part in ("Over time", "Whose fault", "could not see", "How it was run"):
        assert part in text
    assert "Not all is here" not in text


def test_servers_stand_under_what_clients_saw(browser: Browser, tmp_path: Path) -> None:
    """What they tell, and CloudWatch of them, has charts and a table of its own."""
    run = planted_run(tmp_path / "run", length_s=180, dark_at_ms=90_000)
    first = START.mono_ns // S
    roles = ["primary"] * 100 + ["replica"] * 80
    rows = [
        ServerRow("h:1", "0002", role, first + n, 1000, 50, 9, 7, 2_500_000, None, 0)
        for n, role in enumerate(roles)
        if not 120 <= n < 125
    ]
    minutes = [
        MetricRow(
            "g-1", START.wall_ns // S // 60 * 60 + 60 * n, {"CPUUtilization": 7.5}
        )
        for n in range(3)
    ]
    with (run.path / SERVERS).open("wb") as file:
        file.write(header_of(SERVERS))
        file.write(b"".join(encode_json(row) + b"\n" for row in rows))
    with (run.path / CLOUDWATCH).open("wb") as file:
        file.write(header_of(CLOUDWATCH))
        file.write(b"".join(encode_json(row) + b"\n" for row in minutes))
    config = {"control": {"replication_group": "g", "endpoint_url": None}}
    run = replace(run, info=msgspec.structs.replace(run.info, config=config))
    with showing(browser, written(run)) as shown:
        text = shown.page.inner_text("#time")
        ranges = shown.ask(
            "() => [...document.querySelectorAll('#time .u-over')]"
            ".map((each) => each.clientWidth)"
        )
    assert (shown.requests, shown.complaints) == ([], [])
    assert "Servers: operations, of anybody" in text
    assert "CloudWatch: CPUUtilization" in text
    assert "CloudWatch tells of whole minutes" in text
    assert "no answer from" in text
    assert text.index("arrivals offered") < text.index("Servers, over the same time")
    assert len(ranges) >= 6


def test_a_picture_of_the_film(browser: Browser, tmp_path: Path) -> None:
    """A single dark millisecond of a minute is to be seen in it, and nothing is cut."""
    run = planted_run(tmp_path / "run", length_s=60, dark_at_ms=30_000)
    picture = write_still(run, tmp_path / "film.png").read_bytes()
    width, height = struct.unpack(">II", picture[16:24])
    assert (width, 200 < height < 900) == (1280, True)
    page = browser.new_page()
    image = f"data:image/png;base64,{base64.b64encode(picture).decode()}"
    pixels = page.evaluate(
        """async (source) => {
          const image = new Image();
          image.src = source;
          await image.decode();
          const canvas = document.createElement('canvas');
          [canvas.width, canvas.height] = [image.width, image.height];
          const pen = canvas.getContext('2d');
          pen.drawImage(image, 0, 0);
          const { data } = pen.getImageData(0, 0, image.width, image.height);
          const counts = {};
          for (let n = 0; n < data.length; n += 4) {
            const colour = [...data.slice(n, n + 3)].join();
            counts[colour] = (counts[colour] ?? 0) + 1;
          }
          return counts;
        }""",
        image,
    )
    page.close()
    dark, lit = "140,13,53", "143,193,222"
    assert pixels[dark] > 100  # the key of the legend has more than one column, too
    assert pixels[lit] > 3000


def test_a_file_that_lacks_is_named(browser: Browser, tmp_path: Path) -> None:
    """Without a file of seconds the rest is there, and the page says what is not."""
    run = long_run(tmp_path / "run", length_s=30, incidents=1, dark_ms=100)
    (tmp_path / "run" / "series.ndjson").unlink()
    with showing(browser, written(run)) as shown:
        missing = shown.page.inner_text(".missing")
        drawn = shown.page.locator(".uplot").count()
    assert "series.ndjson is not there" in missing
    assert drawn == 2  # the latencies of both lanes
    assert (shown.requests, shown.complaints) == ([], [])


def test_a_dark_millisecond_in_ten_hours_is_seen_at_every_zoom(
    browser: Browser, planted: Path
) -> None:
    """From ten hours down to one millisecond, where the pointer is it stays dark."""
    with showing(browser, planted) as shown:
        dark = shown.colour("dark")
        canvas = shown.page.locator("canvas.film")
        canvas.scroll_into_view_if_needed()
        box = canvas.bounding_box()
        assert box is not None
        spans = []
        canvas.focus()
        for _ in range(80):
            since, until = shown.view
            spans.append(until - since)
            found = [x for x, c in enumerate(shown.colours(0, TOP)) if c == dark]
            place = (PLANTED_MS + 0.5 - since) / (until - since) * box["width"]
            assert found, f"not seen in {until - since} ms"
            assert min(abs(x + 0.5 - place) for x in found) < 2 + len(found) / 2
            if until - since <= 1.0:
                break
            middle = (found[0] + found[-1] + 1) / 2
            shown.page.mouse.move(box["x"] + middle, box["y"] + 35)
            shown.page.mouse.wheel(0, -200)
            shown.page.wait_for_function(
                """span => {
                  const {from, to} = document.querySelector('canvas.film').dataset;
                  return to - from < span;
                }""",
                arg=until - since,
            )
    assert spans[0] > TEN_HOURS_S * 1000
    assert spans[-1] == pytest.approx(1.0)
    assert spans == sorted(spans, reverse=True)


def test_keys_and_buttons_lead_to_the_incident(browser: Browser, planted: Path) -> None:
    """What is in view follows the keys, is said in words, and is in the address."""
    with showing(browser, planted) as shown:
        everything = shown.view
        shown.page.focus("canvas.film")
        shown.page.keyboard.press("n")
        shown.page.keyboard.press("ArrowDown")
        shown.settle()
        since, until = shown.view
        reading = shown.page.inner_text("#film-reading")
        shown.page.wait_for_function("() => location.hash.length > 3")
        moment = shown.ask("location.hash")
        shown.page.keyboard.press("+")
        shown.settle()
        closer = shown.view
        shown.page.keyboard.press("ArrowRight")
        shown.settle()
        moved = shown.view
        shown.page.click("text=Everything")
        shown.settle()
        assert shown.view == everything
    assert since < PLANTED_MS < until < since + 100
    assert "tcp, shard 0002, write" in reading
    assert "1 ms dark" in reading
    assert closer[1] - closer[0] == pytest.approx((until - since) / 2)
    assert moved[0] == pytest.approx(closer[0] + (closer[1] - closer[0]) / 5)
    with showing(browser, Path(f"{planted}{moment}")) as shown:
        assert shown.view == pytest.approx((since, until), abs=0.001)


def test_the_pointer_tells_and_drags(browser: Browser, planted: Path) -> None:
    """What is under the pointer is told with counts and classes; a drag zooms in."""
    with showing(browser, Path(f"{planted}#t=12345628..12345728")) as shown:
        canvas = shown.page.locator("canvas.film")
        canvas.scroll_into_view_if_needed()
        box = canvas.bounding_box()
        assert box is not None
        middle, y = box["x"] + box["width"] * 0.505, box["y"] + 35
        shown.page.mouse.move(middle, y)
        tip = shown.page.inner_text(".tip")
        shown.page.mouse.move(middle - 50, y)
        shown.page.mouse.down()
        shown.page.mouse.move(middle + 50, y)
        shown.page.mouse.up()
        shown.settle()
        since, until = shown.view
    assert "refused 1" in tip
    assert "clusterdown 343" in tip
    assert until - since == pytest.approx(100 * 100 / box["width"], rel=0.01)
    assert since < PLANTED_MS < until


def test_the_line_above_is_the_whole_run(browser: Browser, planted: Path) -> None:
    """It has the dark millisecond of ten hours, and a click there leads to it."""
    with showing(browser, Path(f"{planted}#t=0..60000")) as shown:
        flat = shown.ask(
            """() => {
              const line = document.querySelector('canvas.overview');
              const {data} = line.getContext('2d').getImageData(0, 7, line.width, 1);
              return [...data];
            }"""
        )
        colours = [tuple(flat[n : n + 3]) for n in range(0, len(flat), 4)]
        (place,) = (x for x, c in enumerate(colours) if c == shown.colour("dark"))
        shown.page.locator("canvas.overview").click(position={"x": place, "y": 7})
        shown.settle()
        since, until = shown.view
    assert until - since == pytest.approx(60_000)
    assert since < PLANTED_MS < until


@pytest.mark.parametrize("size", [(390, 800), (1280, 900)])
def test_nothing_is_wider_than_the_screen(
    browser: Browser, tmp_path: Path, size: tuple[int, int]
) -> None:
    """On a phone, too, the page is read without moving it sideways."""
    run = long_run(tmp_path / "run", length_s=60, incidents=2, dark_ms=500)
    viewport = {"width": size[0], "height": size[1]}
    with showing(browser, written(run), viewport=viewport) as shown:
        assert shown.ask("document.documentElement.scrollWidth") <= size[0]


def test_printed_it_is_light_and_whole(browser: Browser, tmp_path: Path) -> None:
    """On paper the film is drawn anew in light colours, without what is for screens."""
    run = long_run(tmp_path / "run", length_s=60, incidents=2, dark_ms=500)
    with showing(browser, written(run), color_scheme="dark") as shown:
        on_screen = shown.colours(0, 0)[0]
        shown.page.emulate_media(media="print")
        shown.settle()
        on_paper = shown.colours(0, 0)[0]
        assert not shown.page.is_visible(".tools")
    assert sum(on_screen) < 150
    assert on_paper == (255, 255, 255)


def test_a_run_without_an_arrival_has_a_page(browser: Browser, tmp_path: Path) -> None:
    """It says that there is nothing to see, and does not fail."""
    with showing(browser, written(empty_run(tmp_path / "run"))) as shown:
        text = shown.page.inner_text("main")
    assert "No arrival was due" in text
    assert "No arrival was judged" in text
    assert (shown.requests, shown.complaints) == ([], [])


def test_names_are_text_whatever_they_hold(browser: Browser, tmp_path: Path) -> None:
    """Markup in names, events, replies and settings is shown, and never runs."""
    with showing(browser, written(hostile_run(tmp_path / "run"))) as shown:
        canvas = shown.page.locator("canvas.film")
        canvas.scroll_into_view_if_needed()
        canvas.hover(position={"x": 200, "y": 35})
        tip = shown.page.inner_text(".tip")
        text = shown.page.inner_text("main")
        kinds = shown.ask("[...document.querySelectorAll('script')].map(s => s.type)")
        assert shown.ask("document.querySelectorAll('img, main script').length") == 0
        assert shown.ask("document.title").startswith("<script>")
    assert kinds == ["application/json", "", "module"]
    assert HOSTILE.replace("\u202e", "\\u202e") in text
    assert "<img src=x" in tip
    assert (shown.requests, shown.complaints) == ([], [])


def test_a_part_that_cannot_be_made_takes_no_other_with_it(
    browser: Browser, tmp_path: Path
) -> None:
    """What is not as it should be is said in its place; the rest is shown."""
    run = long_run(tmp_path / "run", length_s=10, incidents=1, dark_ms=50)
    topology: dict[str, object] = {"0001": {"ranges": 7, "replicas": None}}
    info = msgspec.structs.replace(run.info, topology_start=topology)
    with showing(browser, written(replace(run, info=info))) as shown:
        text = shown.page.inner_text("main")
    assert text.count("This part cannot be shown") == 1
    assert "What the probe could not see" in text
    assert (shown.requests, shown.complaints) == ([], [])


def test_markup_of_others_would_not_run(browser: Browser, tmp_path: Path) -> None:
    """Were markup ever let in, the policy of the page would still stop it."""
    page = write_page(load_run(write_run(tmp_path)))
    content = page.read_text()
    page.write_text(
        content.replace(
            "</main>",
            "</main><script>document.title = 'taken'</script>"
            "<img src='https://192.0.2.1/x.png'>",
        )
    )
    with showing(browser, page) as shown:
        assert shown.ask("document.title") == "run - loadprobe"
        assert (
            shown.ask(
                "() => { try { document.body.innerHTML = '<b>'; return 'let in' }"
                " catch { return 'refused' } }"
            )
            == "refused"
        )
    assert any("Content Security Policy" in text for text in shown.complaints)


def test_the_page_is_of_its_folder(tmp_path: Path) -> None:
    """It is written beside the other files, for its owner alone."""
    path = write_page(load_run(write_run(tmp_path)))
    assert path.name == PAGE
    assert path.stat().st_mode & 0o777 == 0o600
