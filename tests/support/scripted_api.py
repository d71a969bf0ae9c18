"""A server that answers each call of the API with the next step of a script."""

from collections import defaultdict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web

from loadprobe.config.keys import Control
from loadprobe.local.api.codec import ApiCodec, load_codec
from loadprobe.local.api.faults import ApiFault

HANG_UP = "hang up"
GROUP = {
    "ReplicationGroupId": "rg",
    "Status": "available",
    "NodeGroups": [
        {
            "NodeGroupId": "0001",
            "Status": "available",
            "Slots": "0-16383",
            "NodeGroupMembers": [
                {"CacheClusterId": "rg-0001-001"},
                {"CacheClusterId": "rg-0001-002"},
            ],
        }
    ],
}
DESCRIBED = {"ReplicationGroups": [GROUP]}


class ScriptedApi:
    """Answers each action with the next step of its script, or else its default."""

    def __init__(self, codec: ApiCodec) -> None:
        self.url = ""
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.credentials: set[str] = set()
        self.script: dict[str, deque[Any]] = defaultdict(deque)
        self.default: dict[str, Any] = {"DescribeReplicationGroups": DESCRIBED}
        self._codec = codec

    def count(self, action: str) -> int:
        """Return how many requests of an action arrived."""
        return sum(name == action for name, _ in self.requests)

    async def answer(self, request: web.Request) -> web.Response:
        """Serve one request."""
        action, arguments = self._codec.parse(await request.text())
        self.requests.append((action, arguments))
        self.credentials.add(request.headers["Authorization"].split("Credential=")[1])
        script = self.script[action]
        step = script.popleft() if script else self.default[action]
        if step == HANG_UP:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if isinstance(step, ApiFault):
            status, body = self._codec.render_fault(step, "request-1")
        else:
            status, body = 200, self._codec.render(action, step, "request-1")
        return web.Response(status=status, text=body, content_type="text/xml")


@asynccontextmanager
async def serving_script() -> AsyncIterator[ScriptedApi]:
    """Serve a script on loopback."""
    scripted = ScriptedApi(load_codec())
    application = web.Application()
    application.router.add_post("/", scripted.answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    scripted.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield scripted
    finally:
        await runner.cleanup()


def control(server: ScriptedApi) -> Control:
    """Return the configuration of the scripted endpoint."""
    return Control(replication_group="rg", endpoint_url=server.url)


def event(message: str, *, age_s: float = 0.0, source: str = "rg") -> dict[str, Any]:
    """Return an event as the API shows it."""
    return {
        "SourceIdentifier": source,
        "SourceType": "replication-group" if source == "rg" else "cache-cluster",
        "Message": message,
        "Date": datetime.now(UTC) - timedelta(seconds=age_s),
    }
