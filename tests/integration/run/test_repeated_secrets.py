"""Secrets that can be recognised, in a real run that has everything; then looked for.

All of them are used: the server, the receivers and the HTTP server let nobody in
without. What receivers answer has the whole request in it, so whoever repeats an answer
repeats a secret. The run meets an outage, a probe that dies, a login that is refused
and ends in order; its report is made once more.
"""

import asyncio
import base64
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import aiohttp
import bcrypt
import pytest

from loadprobe.local.cluster.ports import free_ports
from tests.scripted.hook import Answer, Hook
from tests.scripted.receiver import Decoded, Request, Said, ScriptedReceiver
from tests.support.bad_input import (
    DEADLINE_S,
    SECRET,
    Servers,
    config_of,
    run_folder,
    start,
)
from tests.support.commands import family, kill_group
from tests.support.running import until, until_true

pytestmark = [
    pytest.mark.alone,
    pytest.mark.timeout(180),
    pytest.mark.asyncio(loop_scope="module"),
]

PAGES = (
    "/",
    "/metrics",
    "/metrics/ms",
    "/healthz",
    "/readyz",
    *(
        f"/api/v1/{name}"
        for name in (
            "status",
            "outages",
            "events",
            "topology",
            "budget",
            "maintenance",
            "openapi.json",
        )
    ),
)
USER = "alice"
MARKS = {
    "the server's password": SECRET,
    "the password of HTTP": "mark1web1password",
    "the wrong password of HTTP": "mark2wrong2password",
    "the address of a webhook": "mark3hook3address",
    "the token of a webhook": "mark4hook4token",
    "the key of PagerDuty": "mark5routing5key",
    "the password of remote write": "mark6remote6write",
    "the next password of the server": "mark7next7password",
}
WEB, WRONG, ADDRESS, TOKEN, KEY, REMOTE, NEXT = list(MARKS.values())[1:]
HASH = bcrypt.hashpw(WEB.encode(), bcrypt.gensalt(4)).decode()
HOOKS = """
[[webhooks]]
name = "chat"
kind = "slack"
url_file = "{folder}/address"
min_dark_ms = 100

[[webhooks]]
name = "plain"
kind = "json"
url = "{url}"
token_env = "LOADPROBE_HOOK_TOKEN"
min_dark_ms = 100

[[webhooks]]
name = "duty"
kind = "pagerduty"
url = "{url}"
routing_key_file = "{folder}/key"
min_dark_ms = 100

[remote_write]
url = "{remote}"
username = "{user}"
password_env = "LOADPROBE_REMOTE_PASSWORD"
"""
ENVIRONMENT = {"LOADPROBE_HOOK_TOKEN": TOKEN, "LOADPROBE_REMOTE_PASSWORD": REMOTE}


def forms() -> Iterator[tuple[str, bytes]]:
    """Yield what a secret is called, and each form in which it could be shown."""
    for name, mark in MARKS.items():
        yield name, mark.encode()
        yield name, quote(mark, safe="").encode()
        yield name, base64.b64encode(mark.encode())
        yield name, base64.b64encode(f"{USER}:{mark}".encode())
    yield "the hash of a password", HASH.encode()


@dataclass(frozen=True, slots=True)
class Place:
    """Something that can be read by somebody, and by what name to call it."""

    name: str
    content: bytes

    @property
    def secrets(self) -> list[str]:
        """Return what secrets are in it."""
        return [f"{name} in {self.name}" for name, f in forms() if f in self.content]


def write_config(
    servers: Servers, folder: Path, listen: str, hook: Hook, to: str
) -> Path:
    """Write a configuration with all secrets, each where it belongs."""
    for name, text in (
        ("address", f"{hook.url}/{ADDRESS}"),
        ("key", KEY),
        ("password", SECRET),
        ("web.yml", f"basic_auth_users:\n  {USER}: {HASH}\n"),
    ):
        (folder / name).write_text(text + "\n")
    path = config_of(
        servers,
        folder,
        http={"listen": listen, "web_config_file": str(folder / "web.yml")},
        target={"password_file": str(folder / "password")},
        lanes={"rate_per_s": 200, "read_ratio": 0.5, "deadline_ms": 100},
    )
    hooks = HOOKS.format(folder=folder, url=hook.url, remote=to, user=USER)
    path.write_text(path.read_text() + hooks)
    return path


def of_processes(pid: int) -> Iterator[Place]:
    """Yield arguments and environments; the first one's has what it was given."""
    for member in family(pid):
        own = Path(f"/proc/{member}")
        with suppress(FileNotFoundError, ProcessLookupError):
            yield Place(f"arguments of {member}", (own / "cmdline").read_bytes())
            environ = (own / "environ").read_bytes()
            if member == pid:
                for mark in ENVIRONMENT.values():
                    assert mark.encode() in environ
                    environ = environ.replace(mark.encode(), b"")
            yield Place(f"environment of {member}", environ)


def login(password: str) -> dict[str, str]:
    """Return the header of a login."""
    return {"Authorization": aiohttp.encode_basic_auth(USER, password)}


async def pages(url: str) -> list[Place]:
    """Return all pages: to who may see them, to who may not, and to who guesses."""
    found: list[Place] = []
    async with aiohttp.ClientSession() as session:
        for password in (WEB, WRONG, None):
            headers = {} if password is None else login(password)
            for page in PAGES:
                async with session.get(url + page, headers=headers) as reply:
                    text = f"{reply.status} {reply.headers}".encode()
                    found.append(Place(page, text + await reply.read()))
    assert sum(b"200 " in place.content[:4] for place in found) >= len(PAGES) - 1
    return found


def rude(request: Request, _: Decoded) -> Said:
    """Refuse a request, and repeat it."""
    return Said(400, f"{request.headers}")


async def ready(url: str) -> None:
    """Wait until a run measures."""
    async with aiohttp.ClientSession(headers=login(WEB)) as session:
        async with asyncio.timeout(DEADLINE_S):
            while True:
                with suppress(aiohttp.ClientError):
                    async with session.get(url + "/readyz") as reply:
                        if reply.status == 200:
                            return
                await asyncio.sleep(0.05)


async def disturb(servers: Servers, pid: int, hook: Hook, url: str, path: Path) -> None:
    """Have an outage that people are told of, a dead probe, and a refused login."""
    (node,) = servers.closed.nodes
    await node.pipeline([("CONFIG", "SET", "maxmemory", 1)])
    await until(lambda: len(hook.requests) >= 6, what="notices, each tried again")
    await node.pipeline([("CONFIG", "SET", "maxmemory", 0)])

    async def is_told(what: str) -> bool:
        """Tell whether there was an event of a kind."""
        async with (
            aiohttp.ClientSession(headers=login(WEB)) as session,
            session.get(f"{url}/api/v1/events") as reply,
        ):
            return what in await reply.text()

    path.with_name("password").write_text(f"{NEXT}\n")  # the server does not know it
    await until_true(lambda: is_told("logins_renewed"))
    os.kill(family(pid)[1], signal.SIGKILL)
    await until_true(lambda: is_told("died"))


async def test_no_secret_is_anywhere(servers: Servers, tmp_path: Path) -> None:
    """In no argument, environment of a child, log, event, file, notice or page."""
    listen = f"127.0.0.1:{free_ports(1)[0]}"
    answers = [Answer(500, echoes=True)] * 1_000
    async with Hook(*answers) as hook, ScriptedReceiver(judge=rude) as receiver:
        path = write_config(servers, tmp_path, listen, hook, receiver.url)
        words = ("run", str(path), "--log-level", "debug")
        run = await start(*words, env=ENVIRONMENT)
        try:
            await ready(f"http://{listen}")
            places = list(of_processes(run.pid))
            await disturb(servers, run.pid, hook, f"http://{listen}", path)
            places += of_processes(run.pid)
            places += await pages(f"http://{listen}")
            run.send_signal(signal.SIGINT)
            await asyncio.sleep(0.5)
            with suppress(ProcessLookupError):
                run.send_signal(signal.SIGINT)  # notices wait for ever
            out, err = await asyncio.wait_for(run.communicate(), DEADLINE_S)
        finally:
            kill_group(run)
        sent = b"".join(
            f"{r.path} {r.headers}".encode() + r.body for r in hook.requests
        )
        written = f"{[r.headers for r in receiver.requests]}".encode()
    for mark in (ADDRESS, TOKEN, KEY):
        assert mark.encode() in sent, "it was not used"
    assert base64.b64encode(f"{USER}:{REMOTE}".encode()) in written, "it was not used"

    report = await start("report", str(run_folder(path)), "--full")
    shown = await asyncio.wait_for(report.communicate(), DEADLINE_S)
    texts = {"output": out, "log": err, "report": b"".join(shown)}
    places += [Place(name, text) for name, text in texts.items()]
    files = [file for file in (tmp_path / "runs").rglob("*") if file.is_file()]
    places += [Place(str(file), file.read_bytes()) for file in files]
    places.append(Place("run.toml", path.read_bytes()))
    assert b"webhook" in err, "nothing was said of the receivers"
    assert any("events" in file.name for file in files)
    assert [text for place in places for text in place.secrets] == []


async def test_a_secret_is_found_in_every_form() -> None:
    """Plain, quoted, in base64, as a login: what looks for them would find them."""
    for name, form in forms():
        assert f"{name} in x" in Place("x", b"before " + form + b" after").secrets
