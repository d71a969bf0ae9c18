"""The HTTP server over real sockets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loadprobe.errors import PreflightError, UsageError
from loadprobe.outputs.http.server import HttpServer, start_http

POST = b"POST /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


@dataclass(slots=True)
class Page:
    """What the server under test serves."""

    body: bytes = b"# HELP up Up.\nup 1\n"
    reason: str | None = None

    async def render(self, accept: str) -> tuple[bytes, str]:
        """Return the body, with what was asked for in the type."""
        kind = "openmetrics" if "openmetrics" in accept else "plain"
        return self.body, f"text/{kind}; charset=utf-8"

    def not_ready(self) -> str | None:
        """Return the reason that was set."""
        return self.reason


@asynccontextmanager
async def serving(page: Page) -> AsyncIterator[HttpServer]:
    """Serve a page on a free port."""
    server = await start_http(
        ("127.0.0.1", 0), render=page.render, not_ready=page.not_ready
    )
    try:
        yield server
    finally:
        await server.stop()


async def get(server: HttpServer, path: str, **headers: str) -> tuple[int, str, str]:
    """Return (status, content type, body) of one request."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(
            f"http://{server.host}:{server.port}{path}", headers=headers
        ) as reply,
    ):
        return reply.status, reply.headers["Content-Type"], await reply.text()


async def exchange(server: HttpServer, request: bytes) -> bytes:
    """Send raw bytes; return what comes back until the server closes, or waits."""
    reader, writer = await asyncio.open_connection(server.host, server.port)
    answer = b""
    try:
        writer.write(request)
        async with asyncio.timeout(1):
            while more := await reader.read(65536):
                answer += more
    except (ConnectionError, TimeoutError):
        pass
    finally:
        writer.close()
    return answer


async def test_pages() -> None:
    """Metrics, health and readiness answer; anything else is 404 or 405."""
    page = Page()
    async with serving(page) as server:
        assert await get(server, "/metrics") == (
            200,
            "text/plain; charset=utf-8",
            page.body.decode(),
        )
        accept = {"Accept": "application/openmetrics-text"}
        assert (await get(server, "/metrics", **accept))[1].startswith("text/openm")
        assert (await get(server, "/healthz"))[0] == 200
        assert (await get(server, "/readyz"))[0] == 200
        page.reason = "topology is not known yet"
        status, _, text = await get(server, "/readyz")
        assert (status, text) == (503, "not ready: topology is not known yet\n")
        assert (await get(server, "/"))[0] == 404
        reply = await exchange(server, POST)
        assert reply.startswith(b"HTTP/1.1 405")


async def test_port_in_use() -> None:
    """A taken port is a preflight error that says what to set."""
    page = Page()
    async with serving(page) as server:
        with pytest.raises(PreflightError) as caught:
            await start_http(
                ("127.0.0.1", server.port),
                render=page.render,
                not_ready=page.not_ready,
            )
    assert str(caught.value) == (
        f"port {server.port} on 127.0.0.1 is in use; set [http] listen = "
        '"host:port" to another port, or listen = "" to serve nothing'
    )


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "example.org", ""])
async def test_loopback_only(host: str) -> None:
    """Any other address than loopback is refused before a socket is opened."""
    page = Page()
    with pytest.raises(UsageError, match="not a loopback address"):
        await start_http((host, 0), render=page.render, not_ready=page.not_ready)


async def test_impossible_port() -> None:
    """A port above 65535 is a usage error, not a traceback."""
    page = Page()
    with pytest.raises(UsageError, match="99999 is not a port"):
        await start_http(
            ("127.0.0.1", 99999), render=page.render, not_ready=page.not_ready
        )


async def test_rude_clients() -> None:
    """Clients that stall or leave in the middle hold up neither others nor the end."""
    page = Page(body=b"x" * 8_000_000)
    async with serving(page) as server:
        slow = [
            await asyncio.open_connection(server.host, server.port) for _ in range(8)
        ]
        for _, writer in slow[:4]:
            writer.write(b"GET /metr")
        for _, writer in slow[4:]:
            writer.write(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        for _, writer in slow[6:]:
            writer.transport.abort()
        assert (await get(server, "/healthz"))[0] == 200
        assert (await get(server, "/metrics"))[0] == 200
        async with asyncio.timeout(20):
            await server.stop()
        for _, writer in slow:
            writer.transport.abort()


REQUESTS = st.one_of(
    st.binary(min_size=1, max_size=300).map(lambda raw: raw + b"\r\n\r\n"),
    st.builds(
        lambda method, path, header: (
            f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{header}\r\n"
            "Connection: close\r\n\r\n"
        ).encode("utf-8", "surrogatepass"),
        st.sampled_from(["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "BREW", "get"]),
        st.text(max_size=40).map(lambda text: "/" + text),
        st.sampled_from(
            ["Accept", "Range", "Expect", "Content-Length", "Cookie"]
        ).flatmap(
            lambda name: st.text(max_size=40).map(lambda text: f"{name}: {text}")
        ),
    ),
)


def generated_requests() -> list[bytes]:
    """Return the requests that hypothesis thinks of."""
    requests: list[bytes] = []

    @settings(
        max_examples=200,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(REQUESTS)
    def collect(request: bytes) -> None:
        requests.append(request)

    collect()
    return requests


async def test_fuzz(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever is sent, the answer is no 5xx, nothing is logged, the server goes on."""
    page = Page()
    async with serving(page) as server:
        requests = generated_requests()
        answers: list[bytes] = []
        for at in range(0, len(requests), 40):
            batch = (exchange(server, request) for request in requests[at : at + 40])
            answers += await asyncio.gather(*batch)
        assert not [a for a in answers if a.startswith((b"HTTP/1.1 5", b"HTTP/1.0 5"))]
        assert any(a.startswith(b"HTTP/1.0 400") for a in answers)
        assert any(a.startswith(b"HTTP/1.1 404") for a in answers)
        assert (await get(server, "/healthz"))[0] == 200
    assert not caplog.records
