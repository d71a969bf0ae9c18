"""Who may come in: TLS, logins and tokens over real sockets, and files that change."""

import asyncio
import os
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme

from loadprobe.config.keys import Http
from loadprobe.core.events import RunStarted
from loadprobe.errors import ConfigError, UsageError
from loadprobe.outputs.http.server import HttpServer, start_http
from tests.support.http_stage import (
    Stage,
    ask,
    ended_and_open,
    no_page,
    serving,
)
from tests.support.web_files import HASH, PASSWORD, Files, hash_of

PATHS = ("/metrics", "/healthz", "/readyz", "/", "/api/v1/status", "/api/v1/nothing")


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """Return a folder for a web configuration."""
    return Files(tmp_path)


async def test_logins(files: Files) -> None:
    """With users every path needs a login, also those that do not exist."""
    path = files.users(alice=HASH, bob=hash_of("other"))
    async with serving(ended_and_open(), web_config_file=path) as server:
        for where in PATHS:
            reply = await ask(server, where)
            assert reply.status == 401, where
            assert reply.headers["WWW-Authenticate"] == 'Basic realm="loadprobe"'
        for login in [
            ("alice", "wrong"),
            ("nobody", PASSWORD),
            ("bob", PASSWORD),
            ("alice", ""),
            ("", ""),
            ("alice", PASSWORD + "\0"),
        ]:
            assert (await ask(server, "/metrics", login=login)).status == 401
        for where in PATHS:
            reply = await ask(server, where, login=("alice", PASSWORD))
            assert reply.status == (404 if where in ("/", PATHS[-1]) else 200)


@pytest.mark.parametrize(
    "header",
    ["Basic", "Basic ???", "Basic YWxpY2U=", "Basic /////w==", "Bearer x", "\xff", ""],
)
async def test_odd_logins(files: Files, header: str) -> None:
    """A header that is no login is a missing login."""
    path = files.users(alice=HASH)
    async with serving(Stage.make(), web_config_file=path) as server:
        reply = await ask(server, "/metrics", headers={"Authorization": header})
        assert reply.status == 401


async def test_a_user_marks_and_a_token_only_marks(files: Files) -> None:
    """A user's mark carries the name; the token opens nothing else."""
    path = files.users(alice=HASH)
    token = files.write("a-token-of-some-length\n", "token")
    bearer = {"Authorization": "Bearer a-token-of-some-length"}
    stage = ended_and_open()
    async with serving(stage, web_config_file=path, marks_token_file=token) as server:
        post: dict[str, Any] = {"method": "POST", "json": {"text": "now"}}
        by_user = await ask(server, "/api/v1/marks", login=("alice", PASSWORD), **post)
        by_token = await ask(server, "/api/v1/marks", headers=bearer, **post)
        reading = await ask(server, "/api/v1/status", headers=bearer)
        neither = await ask(server, "/api/v1/marks", **post)
    assert [r.status for r in (by_user, by_token, reading, neither)] == [
        201,
        201,
        401,
        401,
    ]
    assert [by_user.json["fields"]["by"], by_token.json["fields"]["by"]] == [
        "alice",
        "token",
    ]


async def reloaded(_by: str) -> tuple[bool, str]:
    """Reload nothing."""
    return True, "nothing has changed"


async def test_all_that_changes_anything_asks_who(files: Files) -> None:
    """There are two such requests; with users neither is heard without a login.

    A browser that has a login sends it with what a page of another origin has it send:
    such a request of a page is refused, or no form can be it.
    """
    stage, login = ended_and_open(), ("alice", PASSWORD)
    path = files.users(alice=HASH)
    async with serving(stage, reload=reloaded, web_config_file=path) as server:
        routes = server._runner.app.router.routes()
        changing = {
            (r.method, r.resource.canonical)
            for r in routes
            if r.resource is not None and r.method not in {"GET", "HEAD"}
        }
        assert changing == {("POST", "/api/v1/marks"), ("POST", "/-/reload")}
        page = {"Origin": "https://page.example", "Content-Type": "text/plain"}
        for method, where in changing:
            body = b'{"text": "now"}'
            bare = await ask(server, where, method=method, data=body)
            assert bare.status == 401, where
            by_page = await ask(
                server, where, method=method, data=body, login=login, headers=page
            )
            assert by_page.status in {403, 415}, where
    assert [type(event) for event in stage.journal] == [RunStarted]


async def test_no_page_of_another_origin_is_let_in(files: Files) -> None:
    """No reply lets one read it, and what a browser asks beforehand is not granted."""
    path, login = files.users(alice=HASH), ("alice", PASSWORD)
    origin = {"Origin": "https://page.example"}
    wish = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type",
    }
    stage = ended_and_open()
    async with serving(stage, reload=reloaded, web_config_file=path) as server:
        replies = []
        for where in (*PATHS, "/api/v1/marks", "/-/reload"):
            replies.append(await ask(server, where, login=login, headers=origin))
            for known in (None, login):
                reply = await ask(
                    server, where, login=known, method="OPTIONS", headers=origin | wish
                )
                assert reply.status in {401, 404, 405}, where
                replies.append(reply)
    told = {name.lower() for reply in replies for name in reply.headers}
    assert not [name for name in told if name.startswith("access-control")]


async def test_a_user_who_is_called_token(files: Files) -> None:
    """A user's name does not make a token of a login."""
    path = files.users(token=HASH)
    async with serving(ended_and_open(), web_config_file=path) as server:
        reply = await ask(server, "/api/v1/status", login=("token", PASSWORD))
    assert reply.status == 200


async def test_no_secret_is_told(files: Files) -> None:
    """Neither password, hash, token nor the place of the files is in any reply."""
    path = files.users(alice=HASH)
    token = files.write("a-token-of-some-length\n", "token")
    stage = ended_and_open()
    login = "alice", PASSWORD
    async with serving(stage, web_config_file=path, marks_token_file=token) as server:
        replies = [await ask(server, where, login=login) for where in PATHS]
        replies += [
            await ask(server, f"/api/v1/{name}", login=login)
            for name in ("outages", "events", "topology", "openapi.json", "status?x=1")
        ]
        replies.append(
            await ask(
                server, "/api/v1/marks", login=login, method="POST", json={"text": "x"}
            )
        )
        replies.append(await ask(server, "/metrics", login=("alice", "wrong")))
    told = b"".join(reply.body + repr(reply.headers).encode() for reply in replies)
    for secret in (PASSWORD, HASH, "a-token-of-some-length", str(files.folder)):
        assert secret.encode() not in told


async def test_logins_change_with_the_file(
    files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    """A new file counts at once; a broken one does not, and the status says so."""
    path = files.users(alice=HASH)
    async with serving(ended_and_open(), web_config_file=path) as server:
        old, new = ("alice", PASSWORD), ("alice", "new")
        assert (await ask(server, "/metrics", login=old)).status == 200
        files.users(alice=hash_of("new"))
        assert (await ask(server, "/metrics", login=old)).status == 401
        assert (await ask(server, "/metrics", login=new)).status == 200
        for broken in (
            "basic_auth_users: {alice: x}",
            "",
            f"rate_limit: {{a: {HASH}}}",
        ):
            files.write(broken)
            status = await ask(server, "/api/v1/status", login=new)
            (problem,) = status.json["problems"]
            assert "what was read before stays in force" in problem
        files.path.unlink()
        assert (await ask(server, "/metrics")).status == 401
        files.users(alice=HASH)
        status = await ask(server, "/api/v1/status", login=old)
        assert status.json["problems"] == []
    refused = [r for r in caplog.records if r.message == "web_config_refused"]
    assert len(refused) == 4
    assert HASH not in caplog.text


async def test_headers_of_the_file(files: Files) -> None:
    """Headers of the web configuration are on every reply, also on errors."""
    headers = "X-Content-Type-Options: nosniff, X-Frame-Options: deny"
    path = files.write(f"http_server_config: {{headers: {{{headers}}}}}")
    async with serving(Stage.make(), web_config_file=path) as server:
        for where in PATHS:
            reply = await ask(server, where)
            assert reply.headers["X-Content-Type-Options"] == "nosniff", where
            assert reply.headers["X-Frame-Options"] == "deny"


async def tls_version(server: HttpServer, context: ssl.SSLContext) -> str | None:
    """Return the version of TLS that a connection uses."""
    _, writer = await asyncio.open_connection(server.host, server.port, ssl=context)
    version = writer.get_extra_info("ssl_object").version()
    writer.transport.abort()
    assert version is None or isinstance(version, str)
    return version


async def test_tls(files: Files) -> None:
    """TLS is served, plain HTTP is not; new files hold for the next connection."""
    files.certificate()
    path = files.tls("  max_version: TLS12\n")
    async with serving(ended_and_open(), web_config_file=path) as server:
        client = files.client()
        reply = await ask(server, "/metrics", scheme="https", ssl=client)
        assert reply.status == 200
        with pytest.raises(aiohttp.ClientError):
            await ask(server, "/metrics")
        assert await tls_version(server, client) == "TLSv1.2"
        files.tls("  min_version: TLS13\n")
        assert await tls_version(server, client) == "TLSv1.3"
        files.authority = trustme.CA()
        files.certificate()
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await ask(server, "/healthz", scheme="https", ssl=client)
        reply = await ask(server, "/healthz", scheme="https", ssl=files.client())
        assert reply.status == 200
        files.write("no key", "server.key")
        reply = await ask(server, "/api/v1/status", scheme="https", ssl=files.client())
        (problem,) = reply.json["problems"]
        assert "cannot use cert_file" in problem


async def test_client_certificates(files: Files) -> None:
    """Clients without a certificate of the authority do not come in."""
    files.certificate()
    ours = files.authority.cert_pem.bytes().decode()
    files.write(ours, "ours.pem")
    path = files.tls(
        "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ours.pem\n"
    )
    async with serving(Stage.make(), web_config_file=path) as server:
        known = files.client(known=True)
        reply = await ask(server, "/healthz", scheme="https", ssl=known)
        assert reply.status == 200
        with pytest.raises((aiohttp.ClientError, ConnectionError)):
            await ask(server, "/healthz", scheme="https", ssl=files.client())


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda files: files.tls(), "cannot use cert_file .*: No such file"),
        (
            lambda files: (
                files.certificate(),
                files.write("x", "server.key"),
                files.tls(),
            )[-1],
            "give a PEM certificate and its key",
        ),
        (lambda files: files.users(alice="x"), "basic_auth_users.alice: not a bcrypt"),
    ],
)
async def test_unusable_web_configs(
    files: Files, write: Callable[[Files], str], message: str
) -> None:
    """A web configuration that cannot be used is refused before a socket is opened."""
    path = write(files)
    with pytest.raises(ConfigError, match=message):
        async with serving(Stage.make(), web_config_file=path):
            pass


@pytest.mark.parametrize("content", [b"", b"short\n", b"with spaces in it, long", None])
async def test_unusable_tokens(tmp_path: Path, content: bytes | None) -> None:
    """A token that can be guessed, or none at all, is refused with what to do."""
    path = tmp_path / "token"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"http.marks_token_file: .*token in line 1"):
        async with serving(Stage.make(), marks_token_file=str(path)):
            pass


@pytest.mark.parametrize("of", ["web-config.yml", "server.key", "ours.pem", "token"])
async def test_a_file_that_becomes_a_pipe(files: Files, of: str) -> None:
    """Nobody writes to it: it is not waited for, and what was read before holds."""
    files.certificate()
    files.write(files.authority.cert_pem.bytes().decode(), "ours.pem")
    path = files.tls(
        "  client_auth_type: VerifyClientCertIfGiven\n  client_ca_file: ours.pem\n"
    )
    token = files.write("a-token-of-some-length\n", "token")
    stage = Stage.make()
    async with serving(stage, web_config_file=path, marks_token_file=token) as server:
        os.mkfifo(files.folder / "pipe")
        (files.folder / "pipe").replace(files.folder / of)
        client = files.client()
        async with asyncio.timeout(10):
            reply = await ask(server, "/api/v1/status", scheme="https", ssl=client)
        assert "what was read before stays in force" in str(reply.json["problems"])


async def test_other_addresses_need_protection(files: Files) -> None:
    """Only TLS, a login, or being told so opens another address than loopback."""

    async def listen(**http: Any) -> None:
        server = await start(("0.0.0.0", 0), Http(**http))
        await server.stop()

    with pytest.raises(UsageError, match="set .http. web_config_file .* or set insec"):
        await listen()
    with pytest.raises(UsageError, match="neither TLS nor a login"):
        await listen(web_config_file=files.write("http_server_config: {http2: true}"))
    await listen(insecure_listen=True)
    await listen(web_config_file=files.users(alice=HASH))


async def start(address: tuple[str, int], http: Http) -> HttpServer:
    """Serve an empty run on any address."""
    stage = Stage.make()
    return await start_http(
        address,
        render=no_page,
        not_ready=lambda: None,
        api=stage.view,
        http=http,
    )
