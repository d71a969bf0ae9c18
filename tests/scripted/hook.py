"""A receiver of notices that answers as it is told: well, late, rudely, not at all."""

import asyncio
import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self

import orjson
from aiohttp import web


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer.

    Args:
        status: of it.
        text: of it.
        headers: of it.
        after_s: how long it takes.
        resets: hang up instead: "before" an answer, or in its "midst".
        is_endless: the text never ends.
        echoes: send the request back, headers and address included.
    """

    status: int = 200
    text: str = "ok"
    headers: dict[str, str] = field(default_factory=dict)
    after_s: float = 0.0
    resets: str = ""
    is_endless: bool = False
    echoes: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """One request, as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> dict[str, Any]:
        """Return what is in it."""
        found: dict[str, Any] = orjson.loads(self.body)
        return found


class Hook:
    """Listens on a loopback port; use it as a context manager.

    Args:
        *script: the first answers, in their order; all others are good.
        port: 0 takes a free one.
        tls: for HTTPS.

    Attributes:
        deadly: id of a notice that it dies of, each time; None is none.
        requests: all that came.
        taken: those that were answered with 2xx.
    """

    def __init__(
        self, *script: Answer, port: int = 0, tls: ssl.SSLContext | None = None
    ) -> None:
        self._script = list(script)
        self._tls = tls
        self._runner: web.AppRunner | None = None
        self._closed = asyncio.Event()
        self.port = port
        self.deadly: str | None = None
        self.requests: list[Request] = []
        self.taken: list[Request] = []

    @property
    def url(self) -> str:
        """Return where it is."""
        scheme = "http" if self._tls is None else "https"
        return f"{scheme}://localhost:{self.port}/hook"

    @property
    def ids(self) -> list[str]:
        """Return the ids of the notices that were taken, of kind "json"."""
        return [request.document["id"] for request in self.taken]

    async def __aenter__(self) -> Self:
        """Listen."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.0, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=self._tls)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Listen no more."""
        assert self._runner is not None
        self._closed.set()
        await self._runner.cleanup()

    async def _answer(self, raw: web.Request) -> web.StreamResponse:
        request = Request(str(raw.rel_url), dict(raw.headers), await raw.read())
        self.requests.append(request)
        answer = self._script.pop(0) if self._script else Answer()
        if self.deadly is not None and request.document["id"] == self.deadly:
            answer = Answer(500)
        with suppress(TimeoutError):
            async with asyncio.timeout(answer.after_s):
                await self._closed.wait()
        assert raw.transport is not None
        if answer.resets == "before":
            raw.transport.abort()
        if answer.resets or answer.is_endless:
            await self._stream(raw, answer)
        if 200 <= answer.status < 300:
            self.taken.append(request)
        text = answer.text
        if answer.echoes:
            text = f"{request.path} {request.headers} {request.body.decode()}"
        return web.Response(status=answer.status, text=text, headers=answer.headers)

    async def _stream(self, raw: web.Request, answer: Answer) -> None:
        """Answer with something that does not end well, or at all."""
        response = web.StreamResponse(status=answer.status)
        response.content_length = 1 << 40
        await response.prepare(raw)
        if answer.resets:
            assert raw.transport is not None
            await response.write(b"{")
            raw.transport.abort()
            return
        while not self._closed.is_set():
            await response.write(b"x" * 65536)
