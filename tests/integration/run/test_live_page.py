"""The live page of a real run in a real browser: it grows, and shows what happens."""

import asyncio
import contextlib
import re
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from playwright.sync_api import Error as PlaywrightError

from loadprobe.config.keys import Config, Http
from loadprobe.core.events import (
    CallBegun,
    Event,
    MarkMade,
    PhaseEntered,
    PrimaryPromoted,
    ScenarioBegun,
    StepBegun,
)
from loadprobe.local.cluster.cluster import LocalCluster
from loadprobe.outputs.http.server import HttpServer
from tests.support.browser import CHROMIUM, Shown, a_browser, opened
from tests.support.http_stage import MS, S
from tests.support.live_stage import CONFIG, LiveStage, live
from tests.support.page_runs import HOSTILE
from tests.support.run_command import Command, run_command
from tests.support.running import PATIENT, small_lane, target_of
from tests.support.web_files import HASH, PASSWORD, Files

pytestmark = [
    pytest.mark.alone,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(
        CHROMIUM is None, reason="no chromium on PATH: apt-get install chromium"
    ),
]

TOP = 4  # of a row: lit cells do not reach so high
_CHARTS = """[...document.querySelectorAll('.plot canvas, .heat canvas')].map(
  (canvas) => canvas.toDataURL())"""
_WITHIN_MS = 20_000
_LOOK_MS = 100


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster() -> AsyncIterator[LocalCluster]:
    """Start a cluster whose primaries nobody replaces."""
    async with LocalCluster(shards=3, replicas_per_shard=0) as started:
        yield started


@contextlib.contextmanager
def watching(url: str, **options: Any) -> Iterator[Shown]:
    """Yield the live page in a browser, once it shows the run."""
    with a_browser() as browser, opened(browser, url, **options) as shown:
        shown.page.wait_for_selector("html[data-live=on][data-film=shown]")
        yield shown


def wait_for(shown: Shown, what: str) -> None:
    """Wait until an expression of the page is true; its policy forbids it to ask."""
    for _ in range(_WITHIN_MS // _LOOK_MS):
        if shown.ask(what):
            return
        shown.page.wait_for_timeout(_LOOK_MS)
    raise AssertionError(f"there is still not: {what}")


def is_dark(shown: Shown, row: int) -> bool:
    """Tell whether a row of the film is dark somewhere."""
    return shown.colour("dark") in shown.colours(row, TOP)


async def address(command: Command) -> str:
    """Return where the run can be watched, as it says itself."""
    assert command.process.stdout is not None
    async with asyncio.timeout(30):
        while line := (await command.process.stdout.readline()).decode():
            if found := re.fullmatch(r"Live: (\S+)\n", line):
                return found[1]
    raise AssertionError("it does not say where it can be watched")


async def test_a_page_grows_and_shows_an_outage(
    cluster: LocalCluster, tmp_path: Path
) -> None:
    """A stopped primary is to be seen in the same page, and the end of the run is."""
    config = Config(
        target=target_of(cluster),
        lanes=(small_lane(),),
        http=Http(listen="127.0.0.1:0"),
        probe=PATIENT,
    )
    async with run_command(config, tmp_path) as command:
        url = await address(command)

        def watch() -> tuple[str, Shown]:
            with watching(url) as shown:
                _watch(shown, cluster, command)
                return shown.page.inner_text(".live"), shown

        told, shown = await asyncio.to_thread(watch)
        code, _ = await command.wait()
    assert code == 0
    assert str(command.folder / "report.html") in told
    # A browser minds that the test reads pixels again and again.
    assert [text for text in shown.complaints if "getImageData" not in text] == []
    assert [each for each in shown.requests if each != f"{url}live"] == []


def _watch(shown: Shown, cluster: LocalCluster, command: Command) -> None:
    """Look at the page while a primary is stopped for a while, until the run ends."""
    (index,) = [
        n
        for n, row in enumerate(shown.page.locator(".labels div").all())
        if row.get_attribute("title") == "tcp 0002 read"
    ]
    _, before = shown.view
    assert not is_dark(shown, index)
    seen = int(shown.ask("document.documentElement.dataset.grown ?? 0"))
    wait_for(shown, f"Number(document.documentElement.dataset.grown) >= {seen + 2}")
    shown.settle()
    assert shown.view[1] > before
    (node,) = cluster.shards[1].nodes
    node.pause()
    try:
        shown.page.wait_for_selector("#now .is-dark", timeout=_WITHIN_MS)
    finally:
        node.resume()
    wait_for(shown, "document.querySelector('#now .is-dark') === null")
    # Where the probe itself was stopped for too long, the headline is about that.
    wait_for(
        shown,
        "/shard 0002|the probe was blind/.test(document.querySelector('h1').innerText)",
    )
    assert "0002" in shown.page.inner_text("#cause")
    assert "Servers: operations" in shown.page.inner_text("#time")
    told = shown.page.locator("table", has_text="Servers, as they tell of themselves")
    assert f"127.0.0.1:{node.ports.plain}\tprimary" in told.inner_text()
    # Cells are there two seconds after their time.
    grown = shown.ask("Number(document.documentElement.dataset.grown)")
    wait_for(shown, f"Number(document.documentElement.dataset.grown) >= {grown + 4}")
    shown.settle()
    assert is_dark(shown, index)
    shown.page.keyboard.press("Escape")
    shown.page.focus("canvas.film")
    shown.page.keyboard.press("n")
    shown.settle()
    near = shown.view
    grown = shown.ask("Number(document.documentElement.dataset.grown)")
    wait_for(shown, f"Number(document.documentElement.dataset.grown) > {grown}")
    assert shown.view == near, "who looks closely is not taken away from there"
    shown.page.keyboard.press("0")
    shown.settle()
    everything = shown.view
    wait_for(shown, f"Number(document.documentElement.dataset.grown) > {grown + 1}")
    shown.settle()
    assert shown.view[1] > everything[1], "who sees everything goes on to"
    command.send(signal.SIGTERM)
    shown.page.wait_for_selector("html[data-live=ended]", timeout=_WITHIN_MS)


@contextlib.asynccontextmanager
async def passing(stage: LiveStage, server: HttpServer) -> AsyncIterator[HttpServer]:
    """Let time pass: a second every quarter of one."""

    async def go_on() -> None:
        while True:
            stage.pass_second(lane=CONFIG.lanes[0].name)
            await asyncio.sleep(0.25)

    going_on = asyncio.create_task(go_on())
    try:
        yield server
    finally:
        going_on.cancel()


async def test_hostile_names_are_text(tmp_path: Path) -> None:
    """What a run is called, and what is said of it, is never markup."""
    config = msgspec.structs.replace(CONFIG, name=HOSTILE)
    stage = LiveStage.make(tmp_path / "<img src=x onerror=a()>", config=config)
    stage.stage.live.problems.append(HOSTILE)
    stage.showing.take_event(MarkMade(0, HOSTILE, HOSTILE))
    async with live(stage) as served, passing(stage, served):

        def watch() -> tuple[str, str, int, list[str], list[str]]:
            with watching(served.url) as shown:
                wait_for(shown, "Number(document.documentElement.dataset.grown) >= 2")
                return (
                    shown.page.inner_text(".what-run"),
                    shown.page.inner_text(".missing"),
                    shown.page.locator("img, #page script").count(),
                    shown.complaints,
                    shown.requests,
                )

        name, problems, marks, complaints, requests = await asyncio.to_thread(watch)
    assert "<script>document.title='taken'</script>" in name
    assert "<img src=x onerror=a()>" in problems
    assert marks == 0
    assert complaints == []
    assert set(requests) == {f"{served.url}live"}


def phase_of(at_ns: int, details: Any) -> PhaseEntered:
    """Return a phase of a failover of shard 0002."""
    return PhaseEntered(at_ns, "failover", "failover", "0002", details)


async def test_a_page_that_grew_shows_what_a_new_one_does(tmp_path: Path) -> None:
    """Told in parts or at once, film, charts and the steps so far are the same."""
    stage = LiveStage.make(tmp_path)
    journal: dict[int, list[Event]] = {
        1: [ScenarioBegun(S, "failover"), StepBegun(S, "failover", "failover")],
        2: [phase_of(2 * S, CallBegun("TestFailover(NodeGroupId=0002)"))],
        4: [phase_of(2 * S + 600 * MS, PrimaryPromoted("a", "b"))],
    }
    loop = asyncio.get_running_loop()

    def look(shown: Shown) -> tuple[Any, ...]:
        shown.settle()
        heights = range(TOP, 18, 3)
        film = [shown.colours(row, y) for row in (0, 1) for y in heights]
        names = ("#now", "#cause", "#steps", "header")
        tables = [shown.page.inner_text(name) for name in names]
        return shown.view, film, tables, shown.ask(_CHARTS)

    async with live(stage) as served:

        def watch() -> tuple[tuple[Any, ...], tuple[Any, ...]]:
            def pass_second() -> None:
                begin = stage.second * S
                dark = (begin + 300 * MS, begin + 700 * MS)
                for event in journal.get(stage.second, ()):
                    loop.call_soon_threadsafe(stage.showing.take_event, event)
                loop.call_soon_threadsafe(
                    stage.pass_second, *([dark] if stage.second in {2, 5} else [])
                )

            with a_browser() as browser, opened(browser, served.url) as early:
                told = "document.documentElement.dataset.film === 'shown'"
                while stage.showing.watchers < 1:
                    early.page.wait_for_timeout(_LOOK_MS)
                pass_second()
                wait_for(early, told)
                for n in range(1, 10):
                    pass_second()
                    wait_for(early, f"document.documentElement.dataset.grown == {n}")
                with opened(browser, served.url) as late:
                    while stage.showing.watchers < 2:
                        late.page.wait_for_timeout(_LOOK_MS)
                    pass_second()
                    wait_for(late, told)
                    wait_for(early, "document.documentElement.dataset.grown == 10")
                    return look(early), look(late)

        early, late = await asyncio.to_thread(watch)
    assert early == late
    assert len(early[3]) >= 3, "there are charts"
    steps = early[2][2]
    assert "Scenario failover: going on" in steps
    assert "failover, shard 0002: going on" in steps
    assert "TestFailover(NodeGroupId=0002)" in steps
    assert "another node is primary" in steps
    assert "lane tcp first error" in steps
    dark = tuple(bytes.fromhex("8c0d35"))
    assert any(dark in line for line in early[1])


async def test_a_login_is_asked_for(tmp_path: Path) -> None:
    """Without the right one there is no page, with it the stream is there as well."""
    stage = LiveStage.make(tmp_path)
    path = Files(tmp_path).users(alice=HASH)
    async with live(stage, web_config_file=path) as served, passing(stage, served):
        url = served.url

        def watch() -> list[str]:
            login = {"username": "alice", "password": PASSWORD}
            with watching(url, http_credentials=login) as shown:
                wait_for(shown, "Number(document.documentElement.dataset.grown) >= 2")
            with (
                pytest.raises(PlaywrightError, match="INVALID_AUTH_CREDENTIALS"),
                watching(url),
            ):
                pass
            return shown.complaints

        complaints = await asyncio.to_thread(watch)
    assert complaints == []
