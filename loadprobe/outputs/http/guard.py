"""The door of the HTTP server: logins, headers, errors, and how many may come in."""

from collections.abc import Awaitable, Callable
from ipaddress import ip_address

from aiohttp import web

from loadprobe.outputs.folder.documents import encode_json
from loadprobe.outputs.http.api_documents import ErrorReply, Problem
from loadprobe.outputs.http.passwords import TooManyLoginsError
from loadprobe.outputs.http.web_access import Access, User

API = "/api/"
MARKS = "/api/v1/marks"
LARGEST_BODY_BYTES = 4096
ACCESS: web.AppKey[Access] = web.AppKey("access")
USER: web.RequestKey[User | None] = web.RequestKey("user")

ONLY_NEAR: web.AppKey[bool] = web.AppKey("only_near")
"""It is served on loopback, to whoever asks there."""

_NOT_NEAR = (
    "without a login, this serves only who asks for localhost or a loopback address"
)
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
        web.HTTPMisdirectedRequest: without a login, it is for another host: of a page
            whose name was made to point here (DNS rebinding).
        web.HTTPUnauthorized: a login is needed, and there is none that is right.
        web.HTTPTooManyRequests: too many logins are being checked.
    """
    access = request.app[ACCESS]
    access.refresh()
    if request.app[ONLY_NEAR] and not access.needs_login and not _is_near(request.host):
        raise web.HTTPMisdirectedRequest(text=_NOT_NEAR)
    try:
        user = await access.user_of(
            request.headers.get("Authorization"), address=request.remote or ""
        )
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


def _is_near(host: str) -> bool:
    """Tell whether a Host header names loopback, with or without a port."""
    if host.startswith("["):
        name = host.partition("]")[0][1:]
    else:
        name = host.partition(":")[0]
    if name.lower() == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


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
