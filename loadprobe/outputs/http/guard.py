"""The door of the HTTP server: logins, headers, errors, and how many may come in."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import cast

from aiohttp import web

from loadprobe.outputs.folder.documents import encode_json
from loadprobe.outputs.http.api_documents import ErrorReply, Problem
from loadprobe.outputs.http.passwords import TooManyLoginsError
from loadprobe.outputs.http.web_access import Access, User

API = "/api/"
MARKS = "/api/v1/marks"
LARGEST_BODY_BYTES = 4096
MOST_CONNECTIONS = 512
"""More of them are closed as they come; the run needs its file descriptors."""

PATIENCE_S = 30.0
"""A client that takes nothing of its reply for so long is let go, and the reply too."""

_IDLE_S = 75.0
"""A connection without a request is closed after this; scrapes come every minute."""

_OURS = 500
"""Statuses from here on are a defect of ours."""

ACCESS: web.AppKey[Access] = web.AppKey("access")
USER: web.RequestKey[User | None] = web.RequestKey("user")

_NO_LOGIN = (
    "this needs a name and a password of the web configuration's basic_auth_users"
)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let in who may come in; errors of the API are JSON."""
    try:
        await _admit(request)
        return await handler(request)
    except web.HTTPException as exc:
        if not request.path.startswith(API):
            raise
        reply = error_reply(exc.status, exc.text or exc.reason)
        for name in ("Allow", "WWW-Authenticate", "Retry-After"):
            if name in exc.headers:
                reply.headers[name] = exc.headers[name]
        return reply


async def _admit(request: web.Request) -> None:
    """Find out who asks; a token opens nothing but the way to the marks.

    Raises:
        web.HTTPUnauthorized: a login is needed, and there is none that is right.
        web.HTTPTooManyRequests: too many logins are being checked.
    """
    access = request.app[ACCESS]
    access.refresh()
    try:
        user = await access.user_of(request.headers.get("Authorization"))
    except TooManyLoginsError:
        raise web.HTTPTooManyRequests(
            headers={"Retry-After": "1"},
            text="too many logins are being checked; try again in a second",
        ) from None
    request[USER] = user
    may_enter = user is not None and (not user.is_token or request.path == MARKS)
    if access.needs_login and not may_enter:
        raise web.HTTPUnauthorized(
            headers={"WWW-Authenticate": 'Basic realm="loadprobe"'}, text=_NO_LOGIN
        )


def error_reply(status: int, message: str) -> web.Response:
    """Return an error of the API."""
    # A request's own words come back in some, and may be no Unicode.
    text = message.encode("utf-8", "replace").decode()
    return json_reply(ErrorReply(Problem(status, text)), status=status)


def json_reply(document: object, *, status: int = 200) -> web.Response:
    """Return a document as JSON."""
    return web.Response(
        body=encode_json(document) + b"\n",
        status=status,
        content_type="application/json",
    )


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Add what every reply carries."""
    response.headers["Cache-Control"] = "no-store"
    response.headers["Server"] = "loadprobe"
    headers = request.app[ACCESS].config.http_server_config.headers
    for name, value in headers.items():
        if value:
            response.headers[name] = value


class Door:
    """Makes the protocol of a new connection, if there is room for it."""

    def __init__(self, server: web.Server, logger: logging.Logger) -> None:
        self._server = server
        self._logger = logger

    def __call__(self) -> asyncio.BaseProtocol:
        """Return a protocol that serves, or one that closes."""
        if len(self._server.connections) >= MOST_CONNECTIONS:
            return _Closing()
        return _Connection(
            self._server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=_IDLE_S,
            logger=self._logger,
            auto_decompress=False,
            access_log=None,  # type: ignore[arg-type]  # as AppRunner takes it
        )


class _Connection(web.RequestHandler):
    """A connection that is cut if its replies are not taken.

    It does not tell a malformed request back to its sender: there may be a password in
    what could not be read, and a log on the way.
    """

    _cut: asyncio.TimerHandle | None = None

    def pause_writing(self) -> None:
        """Give the client some time to take what it asked for."""
        super().pause_writing()
        if self.transport is not None:
            loop = asyncio.get_running_loop()
            self._cut = loop.call_later(PATIENCE_S, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on with a client that has taken enough."""
        super().resume_writing()
        self._go_on()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget about it."""
        self._go_on()
        super().connection_lost(exc)

    def _go_on(self) -> None:
        if self._cut is not None:
            self._cut.cancel()
            self._cut = None

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what could not be read or carried out."""
        told = "the request cannot be read as HTTP/1.1" if status < _OURS else None
        return super().handle_error(request, status, exc, told if message else None)


class _Closing(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.Transport", transport).abort()  # uvloop's are of no such class
