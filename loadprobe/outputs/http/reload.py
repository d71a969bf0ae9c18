"""``POST /-/reload``: have the configuration read again.

It changes something, so no web page may send it: a browser tells the origin of such a
request, and keeps a login that it was given once. Who may: a user who has logged in;
without any users, whoever is on this machine and names it so (a page can have a name of
its own point at loopback).
"""

import ipaddress
from collections.abc import Awaitable, Callable

from aiohttp import web

from loadprobe.outputs.http.guard import ACCESS, USER

PATH = "/-/reload"
BY_HTTP = "http"

Reload = Callable[[str], Awaitable[tuple[bool, str]]]
"""From who asks to (whether it is in force, what to say of it)."""

_SENT_BY_PAGES = frozenset({"cross-site", "same-site", "same-origin"})
_LOCAL_ONLY = (
    "without users only this machine may ask for it: set [http] web_config_file to a "
    "file with basic_auth_users, or send SIGHUP"
)

_RELOAD: web.AppKey[Reload] = web.AppKey("reload")


def add_reload(app: web.Application, reload: Reload) -> None:
    """Add the route."""
    app[_RELOAD] = reload
    app.router.add_post(PATH, _reload)


async def _reload(request: web.Request) -> web.Response:
    by = _who(request)
    is_done, text = await request.app[_RELOAD](by)
    return web.Response(status=200 if is_done else 400, text=f"{text}\n")


def _who(request: web.Request) -> str:
    """Return who asks.

    Raises:
        web.HTTPForbidden: whoever it is may not.
    """
    fetch = request.headers.get("Sec-Fetch-Site", "")
    if "Origin" in request.headers or fetch.lower() in _SENT_BY_PAGES:
        raise web.HTTPForbidden(text="this is not for web pages: there is an Origin\n")
    user = request[USER]
    if request.app[ACCESS].needs_login and user is not None:
        return user.name
    own = request.transport and request.transport.get_extra_info("sockname")
    if not own or not _is_loopback(own[0]) or not _is_loopback(_host_of(request)):
        raise web.HTTPForbidden(text=f"{_LOCAL_ONLY}\n")
    return BY_HTTP


def _host_of(request: web.Request) -> str:
    """Return the Host of a request without its port."""
    host = request.host.lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
