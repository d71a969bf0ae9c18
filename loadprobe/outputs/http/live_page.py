"""The live page at ``/``, and what it is told at ``/live`` by server-sent events.

What is sent is encoded once for all that watch. A page that is too slow to read is cut
off, and comes again by itself.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

from aiohttp import web

from loadprobe.outputs.folder.documents import encode_json

MOST_PAGES = 32
"""At once; each may take a copy of the first document, which is the largest."""

MOST_WAITING = 8
"""Messages that a page has not read yet; one more, and it is cut off."""

_OF_OURS = {"same-origin", "none"}
"""What browsers say of requests of the page itself, and of a person's own. Pages of
others could read nothing, but take the room of those who watch."""

_RETRY_MS = 2_000
_LOOK_S = 0.5
"""After so long without news it is looked whether the page is still there."""

_TOO_MANY = f"{MOST_PAGES} pages watch this run already; close one of them"


class Watcher:
    """A page that watches.

    Args:
        cut: ends its connection at once.
    """

    def __init__(self, cut: Callable[[], None]) -> None:
        self._cut = cut
        self._waiting: asyncio.Queue[bytes | None] = asyncio.Queue()

    def tell(self, message: bytes) -> bool:
        """Tell it something; tell whether it still reads."""
        if self._waiting.qsize() >= MOST_WAITING:
            self._cut()
            return False
        self._waiting.put_nowait(message)
        return True

    def end(self) -> None:
        """Tell it nothing more."""
        self._waiting.put_nowait(None)

    async def next(self) -> bytes | None:
        """Return what it is told next, None if nothing comes any more.

        Raises:
            TimeoutError: nothing came for a while.
        """
        async with asyncio.timeout(_LOOK_S):
            return await self._waiting.get()


class WatchedRun(Protocol):
    """A run that pages watch, and the page; see ``run.showing``."""

    page: bytes

    @property
    def watchers(self) -> int:
        """Return how many watch it."""
        ...

    def join(self, watcher: Watcher) -> None:
        """Tell a page from now on."""
        ...

    def leave(self, watcher: Watcher) -> None:
        """Tell a page nothing more."""
        ...


_WATCHED: web.AppKey[WatchedRun] = web.AppKey("watched")


def message(event: str, document: object) -> bytes:
    """Return an event as it is sent; JSON has no line breaks."""
    return b"event: " + event.encode() + b"\ndata: " + encode_json(document) + b"\n\n"


def add_live_page(app: web.Application, watched: WatchedRun) -> None:
    """Add the page and what it is told."""
    app[_WATCHED] = watched
    app.router.add_get("/", _page)
    app.router.add_get("/live", _live, allow_head=False)


async def _page(request: web.Request) -> web.Response:
    return web.Response(
        body=request.app[_WATCHED].page,
        content_type="text/html",
        charset="utf-8",
        headers={
            "Content-Security-Policy": "frame-ancestors 'none'",
            "X-Content-Type-Options": "nosniff",
        },
    )


async def _live(request: web.Request) -> web.StreamResponse:
    fetch = request.headers.get("Sec-Fetch-Site", "same-origin").lower()
    if "Origin" in request.headers or fetch not in _OF_OURS:
        raise web.HTTPForbidden(text="this is for the page of this server alone\n")
    watched = request.app[_WATCHED]
    if watched.watchers >= MOST_PAGES:
        raise web.HTTPServiceUnavailable(text=_TOO_MANY)
    watcher = Watcher(lambda: _cut(request))
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    watched.join(watcher)
    try:
        await response.prepare(request)
        await response.write(f"retry: {_RETRY_MS}\n\n".encode())
        await _pass_on(request, response, watcher)
    except ConnectionResetError:
        pass  # the page is gone, or was cut off
    finally:
        watched.leave(watcher)
    return response


async def _pass_on(
    request: web.Request, response: web.StreamResponse, watcher: Watcher
) -> None:
    """Pass on what a page is told, until it is told nothing more or is gone."""
    while request.transport is not None:
        try:
            told = await watcher.next()
        except TimeoutError:
            continue
        if told is None:
            await response.write_eof()
            return
        await response.write(told)


def _cut(request: web.Request) -> None:
    """End a connection at once."""
    if request.transport is not None:
        request.transport.abort()
