"""A run without probes that pages watch, over real sockets."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from loadprobe.config.keys import Config, Http, Lane, Target
from loadprobe.core.judging.columns import Block, Scope
from loadprobe.core.judging.outcome import OpKind
from loadprobe.outputs.folder.documents import Moment, describe_run
from loadprobe.outputs.http.server import HttpServer, start_http
from loadprobe.outputs.page.page import render_live_page
from loadprobe.run.health import Health
from loadprobe.run.showing import Showing
from tests.support.http_stage import CLOCK, MS, S, Stage, arrivals, no_page

CONFIG = Config(target=Target(host="db.example"), lanes=(Lane(name="tcp"),))


@dataclass(slots=True)
class LiveStage:
    """A stage and what pages are told of it."""

    stage: Stage
    showing: Showing
    second: int = 0

    @classmethod
    def make(cls, folder: Path, *, config: Config = CONFIG, **more: int) -> "LiveStage":
        """Return a run that has begun and judged nothing; ``more`` is for showing."""
        stage = Stage.make(*(lane.name for lane in config.lanes))
        showing = Showing(stage.view, CLOCK, health=Health(), late_ns=20 * MS, **more)
        start = Moment(CLOCK.wall_ns, CLOCK.mono_ns)
        showing.about = describe_run(config, start=start, scenario=None), folder
        showing.page = render_live_page(title="test")
        stage.begin()
        return cls(stage, showing)

    def pass_second(self, *dark: tuple[int, int], lane: str = "tcp") -> None:
        """Let a second pass; 0001 is always served, 0002 was refused in dark times."""
        begin, end = self.second * S, (self.second + 1) * S
        blocks: dict[tuple[str, str], Block] = {
            (lane, "0001"): arrivals(begin, end),
            (lane, "0002"): arrivals(begin, end, *dark),
        }
        self.showing.take_sealed(self.stage.add(blocks, end))
        self.second += 1

    def finish(self, *dark: tuple[int, int]) -> None:
        """Let half a second pass, and the load end."""
        begin, end = self.second * S, self.second * S + S // 2
        scopes = {
            Scope("tcp", shard, OpKind.READ): arrivals(begin, end, *dark)
            for shard in ("0001", "0002")
        }
        self.stage.aggregate.add(0, scopes, watermark_ns=end)
        sealed = self.stage.aggregate.finish(end).last
        for sink in (self.stage.view, self.stage.counter, self.showing):
            sink.take_sealed(sealed)


@asynccontextmanager
async def live(stage: LiveStage, **http: Any) -> AsyncIterator[HttpServer]:
    """Serve the page, and tell pages what is new; keywords are keys of ``[http]``."""
    server = await start_http(
        ("127.0.0.1", 0),
        render=no_page,
        not_ready=lambda: None,
        api=stage.stage.view,
        watched=stage.showing,
        http=Http(**http),
    )
    telling = asyncio.create_task(stage.showing.run())
    try:
        yield server
        if telling.done():
            telling.result()
    finally:
        telling.cancel()
        await server.stop()


@dataclass(slots=True)
class Listening:
    """A page that watches, without a browser."""

    reply: aiohttp.ClientResponse

    async def next(self) -> tuple[str, Any]:
        """Return the next event and its document."""
        name = ""
        async with asyncio.timeout(10):
            while True:
                line = (await self.reply.content.readline()).decode()
                if not line:
                    return "", None
                if line.startswith("event: "):
                    name = line.removeprefix("event: ").strip()
                if line.startswith("data: "):
                    return name, json.loads(line.removeprefix("data: "))


@asynccontextmanager
async def listening(
    server: HttpServer, *, login: tuple[str, str] | None = None
) -> AsyncIterator[Listening]:
    """Watch a run."""
    headers: dict[str, str] = {}
    if login is not None:
        headers["Authorization"] = aiohttp.encode_basic_auth(*login)
    async with (
        aiohttp.ClientSession(headers=headers, read_bufsize=1 << 22) as session,
        session.get(f"{server.url}live") as reply,
    ):
        yield Listening(reply)
