"""The HTTP face of a run: /metrics, /healthz and /readyz, on a loopback address.

It knows nothing of what it serves: two functions are given to it. A request changes
nothing, and no client, slow or rude, can hold up the run or another client.
"""

import errno
import ipaddress
import logging
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from loadprobe.errors import PreflightError, UsageError

Render = Callable[[str], tuple[bytes, str]]
"""From an Accept header to (body, content type)."""

NotReady = Callable[[], str | None]
"""The reason why the run is not ready, or None if it is."""

LARGEST_PORT = 65535

logger = logging.getLogger(__name__)

_RENDER: web.AppKey[Render] = web.AppKey("render")
_NOT_READY: web.AppKey[NotReady] = web.AppKey("not_ready")


def make_app(*, render: Render, not_ready: NotReady) -> web.Application:
    """Return the application; it accepts no request bodies of note."""
    app = web.Application(client_max_size=4096)
    app[_RENDER] = render
    app[_NOT_READY] = not_ready
    app.router.add_get("/metrics", _metrics)
    app.router.add_get("/healthz", _healthz)
    app.router.add_get("/readyz", _readyz)
    return app


async def _metrics(request: web.Request) -> web.Response:
    body, content_type = request.app[_RENDER](request.headers.get("Accept", ""))
    return web.Response(body=body, headers={"Content-Type": content_type})


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
    """

    host: str
    port: int
    _runner: web.AppRunner

    async def stop(self) -> None:
        """Close the socket and every connection; waits at most a second for replies."""
        await self._runner.cleanup()


async def start_http(
    address: tuple[str, int], *, render: Render, not_ready: NotReady
) -> HttpServer:
    """Serve until ``stop`` is called.

    Args:
        address: (host, port); port 0 takes a free one.
        render: see ``Render``.
        not_ready: see ``NotReady``.

    Raises:
        UsageError: the address is not a loopback address, or the port impossible.
        PreflightError: the port is in use, or cannot be bound.
    """
    host, port = address
    _check_address(host, port)
    runner = web.AppRunner(
        make_app(render=render, not_ready=not_ready),
        access_log=None,
        logger=logger,
        handle_signals=False,
        keepalive_timeout=75.0,
        shutdown_timeout=1.0,
    )
    logger.addFilter(_is_our_fault)
    await runner.setup()
    site = web.TCPSite(runner, host, port, backlog=64)
    try:
        await site.start()
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
    bound = runner.addresses[0]
    return HttpServer(str(bound[0]), int(bound[1]), runner)


def _is_our_fault(record: logging.LogRecord) -> bool:
    """Tell whether a record is more than a malformed request, which is not logged."""
    cause = record.exc_info[1] if record.exc_info else None
    return not isinstance(cause, HttpProcessingError)


def _check_address(host: str, port: int) -> None:
    if port > LARGEST_PORT:
        raise UsageError(
            f"[http] listen: {port} is not a port; the largest is {LARGEST_PORT}"
        )
    if host == "localhost":
        return
    try:
        is_loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        raise UsageError(
            f"[http] listen: {host} is not a loopback address, and metrics are served "
            "without TLS and login; use 127.0.0.1 or [::1], and a proxy or SSH tunnel "
            "to reach them from elsewhere"
        )
