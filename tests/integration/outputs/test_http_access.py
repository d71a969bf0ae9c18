"""Who may come in: TLS, logins and tokens over real sockets, and files that change."""

import asyncio
import os
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import bcrypt
import pytest
import trustme

from loadprobe.config.keys import Http
from loadprobe.errors import ConfigError, UsageError
from loadprobe.outputs.http import passwords
from loadprobe.outputs.http.server import HttpServer, start_http
from tests.support.http_stage import (
    Reply,
    Stage,
    ask,
    ended_and_open,
    no_page,
    serving,
)

PASSWORD = "correct horse battery staple"
PATHS = ("/metrics", "/healthz", "/readyz", "/", "/api/v1/status", "/api/v1/nothing")


def hash_of(password: str, cost: int = 4) -> str:
    """Return a bcrypt hash that is checked quickly."""
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(cost)).decode()


HASH = hash_of(PASSWORD)


class Files:
    """A web configuration in a folder, and what it refers to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "web-config.yml"
        self.authority = trustme.CA()
        self._changes = 0

    def write(self, text: str, name: str = "web-config.yml") -> str:
        """Replace a file as configuration management does; return its path."""
        self._changes += 1
        new = self.folder / "new"
        new.write_text(text)
        stamp = 1_700_000_000 + self._changes  # whatever the file system resolves
        os.utime(new, (stamp, stamp))
        new.replace(self.folder / name)
        return str(self.folder / name)

    def users(self, **users: str) -> str:
        """Write a configuration with these users."""
        lines = "".join(f"  {name}: {hashed}\n" for name, hashed in users.items())
        return self.write(f"basic_auth_users:\n{lines}")

    def certificate(self) -> None:
        """Write a new certificate for 127.0.0.1."""
        made = self.authority.issue_cert("127.0.0.1")
        chain = b"".join(blob.bytes() for blob in made.cert_chain_pems)
        self.write(chain.decode(), "server.crt")
        self.write(made.private_key_pem.bytes().decode(), "server.key")

    def tls(self, more: str = "") -> str:
        """Write a configuration with TLS."""
        keys = "  cert_file: server.crt\n  key_file: server.key\n"
        return self.write(f"tls_server_config:\n{keys}{more}")

    def client(self, *, known: bool = False) -> ssl.SSLContext:
        """Return what a client trusts, and its own certificate if it is known."""
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        if known:
            self.authority.issue_cert("client@example.org").configure_cert(context)
        return context


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


class Slow:
    """bcrypt that takes as long as a test wants, and notes its threads."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go_on = threading.Event()
        self.checks = 0
        self.at_once = 0
        self.most_at_once = 0
        self._check = bcrypt.checkpw
        monkeypatch.setattr(bcrypt, "checkpw", self)

    def __call__(self, password: bytes, hashed: bytes) -> bool:
        """Check a password once the test lets it."""
        assert threading.current_thread() is not threading.main_thread()
        self.checks += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        assert self.go_on.wait(20)
        self.at_once -= 1
        return self._check(password, hashed)


async def test_checking_a_password_holds_up_nobody(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who has logged in is served while others are checked one by one, or refused."""
    path = files.users(alice=HASH)
    stage = ended_and_open()
    async with serving(stage, web_config_file=path) as server:
        good = "alice", PASSWORD
        assert (await ask(server, "/metrics", login=good)).status == 200
        slow = Slow(monkeypatch)
        tasks = [
            asyncio.create_task(ask(server, "/metrics", login=("eve", str(n))))
            for n in range(40)
        ]
        refused = 40 - passwords.LARGEST_SHARE
        done: set[asyncio.Task[Reply]] = set()
        while len(done) < refused:
            async with asyncio.timeout(20):
                done, _ = await asyncio.wait(
                    [t for t in tasks if t not in done] or tasks,
                    return_when=asyncio.FIRST_COMPLETED,
                )
            done = {task for task in tasks if task.done()}
        assert {task.result().status for task in done} == {429}
        assert (await ask(server, "/metrics", login=good)).status == 200
        slow.go_on.set()
        replies = await asyncio.gather(*tasks)
        assert sorted(r.status for r in replies) == [401] * (40 - refused) + (
            [429] * refused
        )
        assert (slow.checks, slow.most_at_once) == (40 - refused, 1)
        assert (await ask(server, "/metrics", login=("eve", "0"))).status == 401
        assert slow.checks == 40 - refused + 1, "a wrong login is not remembered"


async def test_an_unknown_name_takes_as_long(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that nobody has is checked against a hash of the same cost."""
    hashes: list[bytes] = []
    check = bcrypt.checkpw

    def note(password: bytes, hashed: bytes) -> bool:
        hashes.append(hashed)
        return check(password, hashed)

    monkeypatch.setattr(bcrypt, "checkpw", note)
    path = files.users(alice=hash_of("x", 5))
    async with serving(Stage.make(), web_config_file=path) as server:
        await ask(server, "/metrics", login=("alice", "y"))
        await ask(server, "/metrics", login=("nobody", "y"))
    assert [hashed[:7] for hashed in hashes] == [b"$2b$05$"] * 2


async def test_a_cheap_hash_takes_as_long(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rounds of bcrypt are the same for every name, so none shows by its time."""
    rounds: list[int] = []
    monkeypatch.setattr(
        bcrypt, "checkpw", lambda _, hashed: rounds.append(2 ** int(hashed[4:6]))
    )
    path = files.users(cheap=hash_of("x", 4), dear=hash_of("x", 7))
    async with serving(Stage.make(), web_config_file=path) as server:
        sums = []
        for name in ("cheap", "dear", "nobody"):
            rounds.clear()
            assert (await ask(server, "/metrics", login=(name, "y"))).status == 401
            sums.append(sum(rounds))
    assert sums == [2**7] * 3


async def test_who_guesses_keeps_nobody_else_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One address has a part of the checks that may wait."""
    slow = Slow(monkeypatch)
    checking = passwords.Passwords()
    users = {"alice": HASH}

    async def log_in(address: str, password: str) -> bool:
        return await checking.is_right(
            users, "alice", password.encode(), address=address
        )

    guesses = [
        asyncio.create_task(log_in("10.0.0.1", str(n)))
        for n in range(passwords.LARGEST_SHARE)
    ]
    await asyncio.sleep(0)
    with pytest.raises(passwords.TooManyLoginsError):
        await log_in("10.0.0.1", PASSWORD)
    mine = asyncio.create_task(log_in("10.0.0.2", PASSWORD))
    await asyncio.sleep(0)
    slow.go_on.set()
    assert await mine
    assert not any(await asyncio.gather(*guesses))
    checking.close()


async def test_long_passwords(files: Files) -> None:
    """Of a password bcrypt knows 72 bytes, as the programs that make hashes do."""
    long = "x" * 100
    path = files.users(alice=hash_of(long[:72]))
    async with serving(Stage.make(), web_config_file=path) as server:
        assert (await ask(server, "/metrics", login=("alice", long))).status == 200
        assert (await ask(server, "/metrics", login=("alice", "x" * 71))).status == 401
