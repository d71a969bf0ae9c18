"""Keeps web pages away from the local control plane, which asks for no login.

A browser sends an Origin with every request of a page that changes anything, and the
page's own host name if that name was made to point at loopback (DNS rebinding). SDKs
and the AWS CLI send no Origin, and the host of the endpoint.
"""

from collections.abc import Awaitable, Callable

from aiohttp import web

_LOOPBACK = frozenset({"127.0.0.1", "localhost"})

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def no_browsers(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer only what no web page can have sent.

    Raises:
        web.HTTPForbidden: there is an Origin, or the host is not loopback.
    """
    if "Origin" in request.headers:
        raise web.HTTPForbidden(text="this serves no web page: there is an Origin\n")
    if request.host.partition(":")[0].lower() not in _LOOPBACK:
        raise web.HTTPForbidden(text="this serves 127.0.0.1 and localhost only\n")
    return await handler(request)
