"""The page of single milliseconds over real sockets."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from loadprobe.clock import ClockPair
from loadprobe.core.judging.ms_log import MsLog, MsWindow
from loadprobe.core.judging.ms_samples import MsKind, MsSamples, MsSeries
from loadprobe.outputs.http.server import HttpServer, start_http
from loadprobe.outputs.metrics.exposition import Format
from loadprobe.outputs.metrics.ms_page import make_ms_renderer
from tests.support.http_stage import no_page

BASE_MS = 1_767_323_045_000
LABELS = ("tcp", "0001", "read", "refused")


def batch_at(first_ms: int, count: int) -> MsSamples:
    """Return samples of consecutive milliseconds."""
    batch = MsSamples(MsSeries(MsKind.ERRORS, LABELS))
    for ms in range(first_ms, first_ms + count):
        batch.add(ms, ms % 7)
    return batch


@pytest.fixture
def log() -> MsLog:
    """Return a log of its own."""
    return MsLog()


@pytest.fixture
async def server(log: MsLog) -> AsyncIterator[HttpServer]:
    """Serve the page of what is in the log when it begins."""
    log.add([batch_at(1000, 5_000)], until_ms=6_000)
    window = MsWindow(log)
    window.advance(6_000)
    clock = ClockPair(0, BASE_MS * 1_000_000 + 499_999)
    server = await start_http(
        ("127.0.0.1", 0),
        render=no_page,
        render_ms=make_ms_renderer(window, clock=clock, cluster=lambda: "c"),
        not_ready=lambda: None,
    )
    yield server
    await server.stop()


async def get(server: HttpServer, accept: str) -> tuple[str, str, str | None]:
    """Return (content type, body, encoding on the wire) of the page."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(
            f"http://{server.host}:{server.port}/metrics/ms",
            headers={"Accept": accept, "Accept-Encoding": "gzip"},
        ) as reply,
    ):
        text = await reply.text()
        encoding = reply.headers.get("Content-Encoding")
        return reply.headers["Content-Type"], text, encoding


async def test_every_scraper_gets_the_same(server: HttpServer) -> None:
    """Each sample has one value and one time, whoever asks and however often."""
    openmetrics = "application/openmetrics-text;version=1.0.0"
    first, again = await get(server, openmetrics), await get(server, openmetrics)
    assert first == again
    assert first[0] == Format.OPENMETRICS.value
    assert first[2] == "gzip"
    lines = [line for line in first[1].splitlines() if not line.startswith("#")]
    assert len(lines) == 5_000
    assert lines[1] == (
        'loadprobe_cell_errors{cluster="c",lane="tcp",shard="0001",op="read",'
        'outcome="refused"} 0 1767323046.001'
    )
    plain, text, _ = await get(server, ";;malformed;;version=,q")
    assert plain == Format.TEXT.value
    assert text.splitlines()[3].endswith(" 0 1767323046001")


async def test_a_page_of_nothing(log: MsLog) -> None:
    """Without a failure the page is empty, and valid in both formats."""
    clock = ClockPair(0, 0)
    render = make_ms_renderer(MsWindow(log), clock=clock, cluster=lambda: "c")
    assert await render("") == (b"", Format.TEXT.value)
    assert await render("application/openmetrics-text") == (
        b"# EOF\n",
        Format.OPENMETRICS.value,
    )
