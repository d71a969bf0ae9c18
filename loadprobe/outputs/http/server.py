"""The HTTP face of a run: /metrics, /metrics/ms, /healthz, /readyz and the API.

It knows nothing of what it serves: that is given to it. No request changes what is
measured, and no client, slow or rude, can hold up the run or another client.
"""

import errno
import ipaddress
import logging
import warnings
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from loadprobe.config.keys import Http
from loadprobe.core.topology.topology import join_address
from loadprobe.errors import PreflightError, UsageError
from loadprobe.outputs.http.api import RunApi, add_api
from loadprobe.outputs.http.door import Door
from loadprobe.outputs.http.guard import (
    ACCESS,
    LARGEST_BODY_BYTES,
    ONLY_NEAR,
    add_headers,
    guard,
)
from loadprobe.outputs.http.live_page import WatchedRun, add_live_page
from loadprobe.outputs.http.reload import Reload, add_reload
from loadprobe.outputs.http.web_access import Access

Render = Callable[[str], Awaitable[tuple[bytes, str]]]
"""From an Accept header to (body, content type); long pages are written by a thread."""

NotReady = Callable[[], str | None]
"""The reason why the run is not ready, or None if it is."""

LARGEST_PORT = 65535
_LONG_BYTES = 65_536
"""What is longer is compressed by a thread."""

logger = logging.getLogger(__name__)

_PLAIN = Http()
_RENDER: web.AppKey[Render] = web.AppKey("render")
_RENDER_MS: web.AppKey[Render] = web.AppKey("render_ms")
_NOT_READY: web.AppKey[NotReady] = web.AppKey("not_ready")


def make_app(
    *,
    render: Render,
    render_ms: Render | None,
    not_ready: NotReady,
    api: RunApi | None,
    reload: Reload | None,
    watched: WatchedRun | None,
    access: Access,
    only_near: bool,
) -> web.Application:
    """Return the application; it accepts no request bodies of note."""
    app = web.Application(client_max_size=LARGEST_BODY_BYTES, middlewares=[guard])
    app[ACCESS] = access
    app[ONLY_NEAR] = only_near
    app.on_response_prepare.append(add_headers)
    if api is not None:
        add_api(app, api)
    if reload is not None:
        add_reload(app, reload)
    if watched is not None:
        add_live_page(app, watched)
    app[_RENDER] = render
    app[_NOT_READY] = not_ready
    app.router.add_get("/metrics", _metrics)
    if render_ms is not None:
        app[_RENDER_MS] = render_ms
        app.router.add_get("/metrics/ms", _metrics_ms)
    app.router.add_get("/healthz", _healthz)
    app.router.add_get("/readyz", _readyz)
    return app


async def _metrics(request: web.Request) -> web.Response:
    accept = request.headers.get("Accept", "")
    body, content_type = await request.app[_RENDER](accept)
    return web.Response(body=body, headers={"Content-Type": content_type})


async def _metrics_ms(request: web.Request) -> web.Response:
    accept = request.headers.get("Accept", "")
    body, content_type = await request.app[_RENDER_MS](accept)
    headers = {"Content-Type": content_type}
    response = web.Response(body=body, headers=headers, zlib_executor_size=_LONG_BYTES)
    response.enable_compression()
    return response


async def _healthz(_: web.Request) -> web.Response:
    return web.Response(text="ok\n")


async def _readyz(request: web.Request) -> web.Response:
    reason = request.app[_NOT_READY]()
    if reason is None:
        return web.Response(text="ready\n")
    return web.Response(status=503, text=f"not ready: {reason}\n")


@dataclass(frozen=True, slots=True)
class HttpServer:
    """A server that listens.

    Args:
        host: address it is bound to.
        port: port it is bound to (the real one where 0 was asked for).
        access: who may come in.
    """

    host: str
    port: int
    access: Access
    _door: Door
    _runner: web.AppRunner

    @property
    def url(self) -> str:
        """Return the address for people."""
        scheme = "http" if self.access.tls is None else "https"
        return f"{scheme}://{join_address(self.host, self.port)}/"

    @property
    def connections(self) -> int:
        """Return how many clients are connected."""
        assert self._runner.server is not None
        return len(self._runner.server.connections)

    async def stop(self) -> None:
        """Close the socket and every connection; waits at most a second for replies."""
        self._door.close()
        await self._runner.cleanup()
        self.access.close()
        _let_go(self._runner.app)


def _let_go(app: web.Application) -> None:
    """Have an application that was stopped refer to nobody.

    aiohttp keeps the last 1024 handlers with their applications, and a run behind each.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it is for those that run
        for key in list(app):
            del app[key]


async def start_http(
    address: tuple[str, int],
    *,
    render: Render,
    not_ready: NotReady,
    render_ms: Render | None = None,
    api: RunApi | None = None,
    reload: Reload | None = None,
    watched: WatchedRun | None = None,
    http: Http = _PLAIN,
) -> HttpServer:
    """Serve until ``stop`` is called.

    Args:
        address: (host, port); port 0 takes a free one.
        render: see ``Render``.
        render_ms: of single milliseconds; None: there is no such page.
        not_ready: see ``NotReady``.
        api: what the API tells; None leaves it out.
        reload: reads the configuration again; None leaves it out.
        watched: what the live page shows; None: there is no such page.
        http: who may come in (its ``listen`` is not looked at).

    Raises:
        UsageError: the address is no loopback address and nothing guards it, the port
            is impossible, or a file of ``http`` is not usable.
        PreflightError: the port is in use, or cannot be bound.
    """
    host, port = address
    access = Access(http)
    is_guarded = access.config.protects or http.insecure_listen
    _check_address(host, port, is_guarded=is_guarded)
    runner = web.AppRunner(
        make_app(
            render=render,
            render_ms=render_ms,
            not_ready=not_ready,
            api=api,
            reload=reload,
            watched=watched,
            access=access,
            only_near=not http.insecure_listen and _is_loopback(host),
        ),
        handle_signals=False,
        shutdown_timeout=1.0,
    )
    logger.addFilter(_is_our_fault)
    await runner.setup()
    assert runner.server is not None
    door = Door(runner.server, access.tls, logger)
    try:
        bound = await door.open(host, port)
    except OSError as exc:
        await runner.cleanup()
        # asyncio words the error anew when several addresses were tried.
        if exc.errno == errno.EADDRINUSE or "in use" in str(exc):
            text = f"port {port} on {host} is in use"
        else:
            text = f"cannot listen on {host}:{port}: {exc.strerror or exc}"
        raise PreflightError(
            f'{text}; set [http] listen = "host:port" to another port,'
            ' or listen = "" to serve nothing'
        ) from exc
    return HttpServer(*bound, access, door, runner)


def _is_our_fault(record: logging.LogRecord) -> bool:
    """Tell whether a record is more than what clients do, which is not logged.

    They send malformed requests, and leave before they are answered.
    """
    cause = record.exc_info[1] if record.exc_info else None
    return not isinstance(
        cause, HttpProcessingError | web.RequestPayloadError | ConnectionError
    )


def _check_address(host: str, port: int, *, is_guarded: bool) -> None:
    if port > LARGEST_PORT:
        raise UsageError(
            f"[http] listen: {port} is not a port; the largest is {LARGEST_PORT}"
        )
    if not _is_loopback(host) and not (host and is_guarded):
        raise UsageError(
            f"[http] listen: {host} is not a loopback address, and there is neither "
            "TLS nor a login; set [http] web_config_file to a file with one of them, "
            "use 127.0.0.1 or [::1], or set insecure_listen = true to let everybody "
            "read who reaches the port"
        )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
