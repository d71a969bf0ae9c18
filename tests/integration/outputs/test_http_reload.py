"""Who may have the configuration read again, over real sockets."""

import base64
import gc
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import bcrypt
import pytest

from loadprobe.config.keys import Http
from loadprobe.outputs.http.server import HttpServer, start_http
from tests.support.http_stage import no_page

PASSWORD = "correct horse battery staple"
TOKEN = "0123456789abcdef0123456789abcdef"


class Asked:
    """Who asked, and what they are told."""

    def __init__(self) -> None:
        self.by: list[str] = []
        self.reply = (True, "nothing has changed")

    async def __call__(self, by: str) -> tuple[bool, str]:
        """Reload."""
        self.by.append(by)
        return self.reply


@asynccontextmanager
async def serving(asked: Asked, http: Http | None = None) -> AsyncIterator[HttpServer]:
    """Serve on a free port."""
    server = await start_http(
        ("127.0.0.1", 0),
        render=no_page,
        not_ready=lambda: None,
        reload=asked,
        http=http or Http(),
    )
    try:
        yield server
    finally:
        await server.stop()


async def post(
    server: HttpServer,
    *,
    method: str = "POST",
    login: tuple[str, str] | None = None,
    headers: dict[str, str] | None = None,
    **more: str,
) -> tuple[int, str]:
    """Ask for a reload; return status and text."""
    named = more | (headers or {})
    if login:
        plain = base64.b64encode(":".join(login).encode()).decode()
        named["Authorization"] = f"Basic {plain}"
    url = f"http://127.0.0.1:{server.port}/-/reload"
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, url, headers=named) as reply,
    ):
        return reply.status, await reply.text()


async def test_without_users_only_this_machine_may() -> None:
    """What a web page could send is refused: an Origin, another Host, a GET."""
    asked = Asked()
    async with serving(asked) as server:
        assert await post(server) == (200, "nothing has changed\n")
        host = f"localhost:{server.port}"
        assert (await post(server, Host=host))[0] == 200
        assert asked.by == ["http", "http"]
        refused = [
            {"Origin": f"http://127.0.0.1:{server.port}"},
            {"Origin": "null"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Host": "page.example.org"},
            {"Host": "127.0.0.1.example.org"},
        ]
        for headers in refused:
            status, text = await post(server, headers=headers)
            assert status in {403, 421}, headers
            assert text
        assert (await post(server, method="GET"))[0] == 405
        asked.reply = (False, "run.toml: not valid TOML")
        assert await post(server) == (400, "run.toml: not valid TOML\n")
    assert asked.by == ["http"] * 3


async def test_with_users_only_they_may(tmp_path: Path) -> None:
    """A user is named; a token opens nothing but the marks, a login no page."""
    path, token = tmp_path / "web-config.yml", tmp_path / "token"
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    path.write_text(f"basic_auth_users:\n  alice: {hashed}\n")
    token.write_text(TOKEN)
    http = Http(web_config_file=str(path), marks_token_file=str(token))
    asked, alice = Asked(), ("alice", PASSWORD)
    async with serving(asked, http) as server:
        assert (await post(server))[0] == 401
        assert (await post(server, login=("alice", "wrong")))[0] == 401
        assert (await post(server, Authorization=f"Bearer {TOKEN}"))[0] == 401
        page = "https://page.example.org"
        assert (await post(server, login=alice, Origin=page))[0] == 403
        assert asked.by == []
        assert (await post(server, login=alice))[0] == 200
        assert (await post(server, login=alice, Host="probe.example.org"))[0] == 200
    assert asked.by == ["alice", "alice"]


async def test_a_token_alone_is_no_user(tmp_path: Path) -> None:
    """With a token for marks and no users it is still for this machine alone."""
    token = tmp_path / "token"
    token.write_text(TOKEN)
    asked = Asked()
    async with serving(asked, Http(marks_token_file=str(token))) as server:
        bearer = f"Bearer {TOKEN}"
        status, _ = await post(server, Authorization=bearer, Host="page.example.org")
        assert status in {403, 421}
        assert (await post(server))[0] == 200


async def test_a_name_that_points_here_is_not_enough() -> None:
    """Where every Host may read, a page with such a name still reloads nothing."""
    asked = Asked()
    async with serving(asked, Http(insecure_listen=True)) as server:
        assert (await post(server, Host="page.example.org"))[0] == 403
        assert asked.by == []
        assert (await post(server))[0] == 200


async def test_from_elsewhere_without_users(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where everybody may read nobody may reload, whatever Host is named."""
    asked = Asked()
    server = await start_http(
        ("0.0.0.0", 0),
        render=no_page,
        not_ready=lambda: None,
        reload=asked,
        http=Http(insecure_listen=True),
    )
    try:
        monkeypatch.setattr(
            "loadprobe.outputs.http.reload._is_loopback",
            lambda host: host == "localhost",  # as if it came in by another address
        )
        assert (await post(server, Host="localhost"))[0] == 403
    finally:
        await server.stop()
    assert asked.by == []


async def test_a_server_that_was_stopped_keeps_nobody() -> None:
    """A run goes over into segments for weeks, each with a server of its own."""
    asked = Asked()
    async with serving(asked) as server:
        assert (await post(server))[0] == 200
    left = weakref.ref(asked)
    del asked
    gc.collect()
    assert left() is None
