"""What pages that watch a run are told, over real sockets."""

import asyncio
from pathlib import Path

import aiohttp
import pytest

from loadprobe.core.events import MarkMade
from loadprobe.core.topology.server_side import ServerRow
from loadprobe.outputs.http import live_page
from loadprobe.outputs.http.live_page import MOST_WAITING, Watcher
from tests.support.http_stage import BEGIN_UNIX_NS, MS, S, ask
from tests.support.live_stage import CONFIG, Listening, LiveStage, listening, live
from tests.support.running import until
from tests.support.web_files import HASH, PASSWORD, Files

SERVER = ServerRow("h:1", "0001", "primary", 1, 1000, 250, 3, 7, 1_000_000, None, 0)


@pytest.fixture
def stage(tmp_path: Path) -> LiveStage:
    """Return a run that pages can watch."""
    return LiveStage.make(tmp_path)


async def joined(stage: LiveStage, *, watchers: int = 1) -> None:
    """Wait until so many pages watch."""
    await until(lambda: stage.showing.watchers == watchers, what="a page that watches")


async def test_the_page_is_for_no_other_server(stage: LiveStage) -> None:
    """It may ask its own server and nobody else, and nobody may frame it."""
    async with live(stage) as server:
        reply = await ask(server, "/")
    page = reply.body.decode()
    assert reply.status == 200
    assert reply.headers["Content-Type"] == "text/html; charset=utf-8"
    assert reply.headers["Content-Security-Policy"] == "frame-ancestors 'none'"
    policy = page.partition('http-equiv="Content-Security-Policy" content="')[2]
    policies = policy.partition('"')[0].split("; ")
    assert policies[0] == "default-src 'none'"
    assert [each for each in policies if "connect" in each] == ["connect-src 'self'"]
    assert "EventSource" in page


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://page.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_pages_of_others_take_no_room(
    stage: LiveStage, headers: dict[str, str]
) -> None:
    """They could read nothing, but would keep those out who watch."""
    async with live(stage) as server, asyncio.timeout(10):
        assert (await ask(server, "/live", headers=headers)).status == 403
    assert stage.showing.watchers == 0


async def test_a_page_is_told_all_and_then_what_is_new(stage: LiveStage) -> None:
    """Seconds, events, cells and outages come once each, in the order of time."""
    async with live(stage) as server, listening(server) as page:
        await joined(stage)
        stage.pass_second()
        name, first = await page.next()
        assert name == "document"
        assert first["course"]["at"] == [0]
        assert first["run"]["name"] == CONFIG.name
        stage.showing.take_event(MarkMade(1500 * MS, "deploy", "alice"))
        stage.showing.take_servers([SERVER])
        stage.pass_second((1200 * MS, 1500 * MS))
        name, part = await page.next()
        assert name == "grown"
        assert part["course"]["at"] == [1000]
        (told,) = part["servers"]
        assert (told["node"], told["at"], told["ops_per_s"]) == ("h:1", 1000, 250)
        assert first["servers"] == {"nodes": [], "left_out": 0}
        assert part["course"]["counts"][0]["refused"] == [30]
        assert [row["text"] for row in part["events"]] == ["operator: deploy"]
        (outage,) = part["outages"]
        assert (outage["shard"], outage["failed"]) == ("0002", 30)
        (dark,) = [s for s in part["summary"]["scopes"] if s["shard"] == "0002"]
        assert dark["outages"] == 1
        seen = [part]
        for _ in range(4):
            stage.pass_second()
            seen.append((await page.next())[1])
    assert [each["course"]["at"] for each in seen[1:]] == [
        [2000],
        [3000],
        [4000],
        [5000],
    ]
    assert sum(len(each["events"]) for each in seen) == 1
    assert ["outages" in each for each in seen] == [True] + [False] * 4
    assert ["incidents" in each["summary"] for each in seen] == [True] + [False] * 4
    chunks = [chunk for each in seen for chunk in each["film"]["chunks"]]
    of_0002 = [chunk for chunk in chunks if chunk[0] == 1]
    # 300 ms of refusals, and a second of film before and after, each 10 ms.
    assert sum(count for _, _, count, *_ in of_0002) == 230


async def test_who_comes_later_knows_as_much(stage: LiveStage) -> None:
    """A second page is told once what the first one was told in parts."""
    async with live(stage) as server, listening(server) as page:
        await joined(stage)
        stage.pass_second()
        _, first = await page.next()
        for _ in range(3):
            stage.pass_second((stage.second * S, stage.second * S + 100 * MS))
            _, part = await page.next()
            first["course"]["at"] += part["course"]["at"]
            first["events"] += part["events"]
        async with listening(server) as late:
            await joined(stage, watchers=2)
            stage.pass_second()
            _, whole = await late.next()
            name, part = await page.next()
    assert name == "grown"
    assert whole["course"]["at"] == [*first["course"]["at"], *part["course"]["at"]]
    assert whole["zero_unix_ns"] == first["zero_unix_ns"]
    assert part["summary"].items() <= whole["summary"].items()
    assert part.get("outages", whole["outages"]) == whole["outages"]


async def test_pages_that_watch_long_begin_anew(tmp_path: Path) -> None:
    """Neither a page nor what it is told first grows without end."""
    stage = LiveStage.make(tmp_path, kept_s=3)
    async with live(stage) as server, listening(server) as page:
        await joined(stage)
        told = []
        for _ in range(10):
            stage.pass_second()
            told.append(await page.next())
    whole = [document for name, document in told if name == "document"]
    assert [len(each["course"]["at"]) for each in whole] == [1, 3]
    assert told[-1][0] == "grown"
    seconds = [
        document["zero_unix_ns"] // S + at // 1000
        for document in whole
        for at in document["course"]["at"]
    ]
    assert seconds == [BEGIN_UNIX_NS // S + n for n in (0, 4, 5, 6)]


async def test_one_message_for_all(
    stage: LiveStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is made once a second, however many watch; and not at all without a page."""
    made: list[str] = []
    message = live_page.message

    def counted(name: str, document: object) -> bytes:
        made.append(name)
        return message(name, document)

    monkeypatch.setattr("loadprobe.run.showing.message", counted)
    async with live(stage) as server:
        stage.pass_second()
        async with listening(server) as one, listening(server) as two:
            await joined(stage, watchers=2)
            stage.pass_second()
            assert await one.next() == await two.next()
            stage.pass_second()
            assert await one.next() == await two.next()
        await joined(stage, watchers=0)
        stage.pass_second()
    assert made == ["document", "grown"]


async def test_the_end_is_told(stage: LiveStage, tmp_path: Path) -> None:
    """A page hears that the run is over, and where its own page is."""
    (tmp_path / "report.html").touch()
    async with live(stage) as server, listening(server) as page:
        await joined(stage)
        stage.pass_second()
        await page.next()
        stage.pass_second()
        assert (await page.next())[0] == "grown"
        stage.finish((2_100 * MS, 2_400 * MS))
        stage.showing.end(tmp_path)
        name, last = await page.next()
        assert name == "grown"
        assert last["course"]["at"] == [2000]
        assert last["course"]["counts"][0]["refused"] == [60]
        # 300 ms of refusals, a second of film before and what came after, each 10 ms.
        of_0002 = [each for each in last["film"]["chunks"] if each[0] == 1]
        assert sum(count for _, _, count, *_ in of_0002) == 140
        assert await page.next() == ("ended", {"page": str(tmp_path / "report.html")})
        assert await page.next() == ("", None)


async def test_logins_hold_for_the_page_too(stage: LiveStage, tmp_path: Path) -> None:
    """With users, neither the page nor what it is told is for strangers."""
    path = Files(tmp_path).users(alice=HASH)
    async with live(stage, web_config_file=path) as server:
        for where in ("/", "/live"):
            assert (await ask(server, where)).status == 401
        assert (await ask(server, "/", login=("alice", PASSWORD))).status == 200
        async with listening(server, login=("alice", PASSWORD)) as page:
            await joined(stage)
            stage.pass_second()
            assert (await page.next())[0] == "document"


@pytest.mark.parametrize(
    "header",
    [{"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}],
)
async def test_pages_of_others_do_not_watch(
    stage: LiveStage, header: dict[str, str]
) -> None:
    """They could read nothing, and are not let in to take the room of those who do."""
    async with live(stage) as server:
        reply = await ask(server, "/live", headers=header)
    assert (reply.status, stage.showing.watchers) == (403, 0)


async def test_too_many_pages(
    stage: LiveStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One more than there is room for is refused, until another one leaves."""
    monkeypatch.setattr(live_page, "MOST_PAGES", 1)
    async with live(stage) as server:
        async with listening(server):
            await joined(stage)
            assert (await ask(server, "/live")).status == 503
        await joined(stage, watchers=0)
        async with listening(server) as page:
            assert page.reply.status == 200


async def test_a_page_that_does_not_read_is_cut_off(stage: LiveStage) -> None:
    """What waits for it is bounded; the others are told on."""
    cut: list[bool] = []
    asleep = Watcher(lambda: cut.append(True))
    async with live(stage) as server, listening(server) as page:
        await joined(stage)
        stage.showing.join(asleep)
        for _ in range(MOST_WAITING + 1):
            stage.pass_second()
            await page.next()
        assert cut == [True]
        await joined(stage)


async def test_who_is_cut_off_is_gone(stage: LiveStage) -> None:
    """Its connection ends at once, and its room is free."""
    async with live(stage) as server:
        async with aiohttp.ClientSession() as session:
            reply = await session.get(f"{server.url}live")
            await joined(stage)
            (watcher,) = stage.showing._joining
            while watcher.tell(b"x"):
                pass
            with pytest.raises(aiohttp.ClientError):
                await asyncio.wait_for(reply.read(), 5)
        await joined(stage, watchers=0)


async def test_without_a_page_nothing_waits(stage: LiveStage) -> None:
    """Who comes when a second has passed is told all of it."""
    async with live(stage) as server:
        for _ in range(3):
            stage.pass_second()
        async with listening(server) as page:
            await joined(stage)
            stage.pass_second()
            name, first = await page.next()
    assert (name, first["course"]["at"]) == ("document", [0, 1000, 2000, 3000])
    assert isinstance(page, Listening)
