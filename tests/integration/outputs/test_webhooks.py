"""Notices sent to real receivers: good ones, slow ones, rude ones, and none at all."""

import asyncio
import logging
import ssl
import sys
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest
import trustme

from loadprobe.config.file import parse_config
from loadprobe.config.webhooks import Webhook
from loadprobe.core.verdict.notice_queue import Fate
from loadprobe.core.verdict.notices import Notice
from loadprobe.errors import ConfigError, RunError
from loadprobe.outputs.webhooks import sender as sender_module
from loadprobe.outputs.webhooks.reach import reach
from loadprobe.outputs.webhooks.receiver import send_notice
from tests.scripted.hook import Answer, Hook
from tests.support.docs_blocks import block
from tests.support.prometheus_server import free_port
from tests.support.running import until
from tests.support.sending import (
    hook_of,
    notice,
    notices,
    sending,
    shorten_waits,
)

SECRET = "hunter2hunter2hunter2hunter2"


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make pauses short."""
    shorten_waits(monkeypatch)


# --- forms ----------------------------------------------------------------------------


async def test_the_document_arrives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As JSON, with the token, once; what was sent is on disk no more."""
    monkeypatch.setenv("TOKEN", SECRET)
    async with Hook() as receiver:
        webhook = hook_of(receiver, token_env="TOKEN")
        async with sending(webhook, tmp_path) as running:
            running.sender.offer(notices(3), [])
            await running.until_empty()
            await until(
                lambda: orjson.loads(running.path.read_bytes())["waiting"] == [],
                what="an empty file",
            )
    assert receiver.ids == ["night-1/1", "night-1/2", "night-1/3"]
    (first, *_) = receiver.requests
    assert first.headers["Authorization"] == f"Bearer {SECRET}"
    assert first.headers["Content-Type"] == "application/json"
    assert first.headers["User-Agent"].startswith("loadprobe/")
    assert first.document["dark_ms"]["estimate"] == 2000.0
    assert running.counts.plain == {("notices_sent_total",): 3}


@pytest.mark.parametrize("kind", ["slack", "teams", "pagerduty"])
async def test_every_kind_arrives(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the form of its receiver, at an address that is a secret."""
    async with Hook() as receiver:
        monkeypatch.setenv("URL", f"{receiver.url}/{SECRET}?sig={SECRET}")
        monkeypatch.setenv("KEY", SECRET)
        keys: dict[str, Any] = {"url": None, "url_env": "URL"}
        if kind == "pagerduty":
            keys = {"routing_key_env": "KEY"}
        async with sending(hook_of(receiver, kind=kind, **keys), tmp_path) as running:
            running.sender.offer([notice()], [])
            await running.until_empty()
    (request,) = receiver.taken
    if kind == "pagerduty":
        assert request.document["routing_key"] == SECRET
        assert request.document["event_action"] == "trigger"
    else:
        assert request.path == f"/hook/{SECRET}?sig={SECRET}"
        assert request.document["attachments"]
    assert SECRET.encode() not in running.path.read_bytes()


async def test_certificates_are_verified(tmp_path: Path) -> None:
    """An authority of one's own is trusted where it is named, and not elsewhere."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    async with Hook(tls=context) as receiver:
        trusting = hook_of(receiver, ca_file=str(tmp_path / "ca.pem"))
        assert (await send_notice(trusting, notice())).fate is Fate.TAKEN
        assert "can be reached; nothing was sent" in await reach(trusting)
        reply = await send_notice(hook_of(receiver), notice())
        assert reply.fate is Fate.LATER
        assert "certificate verify failed" in reply.text
        with pytest.raises(RunError, match="is a ca_file missing"):
            await reach(hook_of(receiver))
        missing = hook_of(receiver, ca_file=str(tmp_path / "none.pem"))
        reply = await send_notice(missing, notice())
        assert "webhooks.hook.ca_file" in reply.text
    assert len(receiver.requests) == 1


# --- receivers that are not well ------------------------------------------------------


async def test_trouble_that_passes_costs_nothing(tmp_path: Path) -> None:
    """Errors, resets and silence are tried again; every notice arrives, in order."""
    script = [
        Answer(500),
        Answer(503),
        Answer(429, headers={"Retry-After": "0"}),
        Answer(resets="before"),
        Answer(resets="midst", status=500),
        Answer(after_s=30.0),
        Answer(404),
        Answer(401),
    ]
    async with (
        Hook(*script) as receiver,
        sending(hook_of(receiver, timeout_ms=300), tmp_path) as running,
    ):
        running.sender.offer(notices(4), [])
        await running.until_empty()
        assert receiver.ids == [f"night-1/{n}" for n in range(1, 5)]
    assert running.counts.plain == {
        ("notices_sent_total",): 4,
        ("requests_failed_total",): len(script),
    }


async def test_the_receiver_may_ask_for_a_pause(tmp_path: Path) -> None:
    """Retry-After is waited for, though pauses would be shorter."""
    script = [Answer(429, headers={"Retry-After": "1"})]
    async with (
        Hook(*script) as receiver,
        sending(hook_of(receiver), tmp_path) as running,
    ):
        began_s = asyncio.get_running_loop().time()
        running.sender.offer([notice()], [])
        await running.until_empty()
        assert asyncio.get_running_loop().time() - began_s >= 1.0


async def test_what_is_rejected_is_dropped(tmp_path: Path) -> None:
    """A notice that the receiver will never take holds up none behind it."""
    async with (
        Hook(Answer(400, text="no such thing")) as receiver,
        sending(hook_of(receiver), tmp_path) as running,
    ):
        running.sender.offer(notices(2), [])
        await running.until_empty()
        assert receiver.ids == ["night-1/2"]
    assert running.counts["notices_dropped_total", "rejected"] == 1


async def test_a_receiver_that_dies_of_a_notice_gets_the_others(tmp_path: Path) -> None:
    """A 5xx that goes on for one notice holds up its own incident and no other."""
    poison = notices(2)
    others = [
        msgspec.structs.replace(n, incident="night-2", id=f"night-2/{n.number}")
        for n in notices(2)
    ]
    async with (
        Hook() as receiver,
        sending(hook_of(receiver), tmp_path) as running,
    ):
        receiver.deadly = "night-1/1"
        running.sender.offer([*poison, *others], [])
        await until(lambda: running.counts["notices_sent_total",] == 2, what="others")
        assert running.sender.problems, "one is still not taken"
        assert receiver.ids == ["night-2/1", "night-2/2"]
        receiver.deadly = None
        await running.until_empty()
        assert receiver.ids[-2:] == ["night-1/1", "night-1/2"]
        assert not running.sender.problems


async def test_an_answer_without_an_end_is_not_read(tmp_path: Path) -> None:
    """Its beginning is enough: what it says is known by then, and it is hung up on."""
    async with Hook(Answer(is_endless=True), Answer(500, is_endless=True)) as receiver:
        reply = await send_notice(hook_of(receiver), notice())
        assert reply.fate is Fate.TAKEN
        reply = await send_notice(hook_of(receiver), notice())
        assert reply.fate is Fate.LATER
        assert len(reply.text) < 500


async def test_nothing_is_followed(tmp_path: Path) -> None:
    """A redirect leads nowhere, whatever its scheme; a notice is for one receiver."""
    async with Hook() as other:
        targets = [other.url, "file:///etc/passwd", "ftp://localhost/"]
        script = [Answer(302, headers={"Location": to}) for to in targets]
        script += [Answer(308, headers={"Location": other.url})]
        async with Hook(*script) as receiver:
            for _ in script:
                reply = await send_notice(hook_of(receiver), notice())
                assert reply.fate is Fate.LATER
        assert other.requests == []


async def test_a_receiver_that_is_down_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Where trouble begins and ends is logged; the oldest make room meanwhile."""
    caplog.set_level(logging.INFO, sender_module.__name__)
    receiver = Hook(port=free_port())
    webhook = hook_of(receiver, queue_notices=3)
    async with sending(webhook, tmp_path) as running:
        for number in range(1, 9):
            running.sender.offer([notice(number)], [])
        await until(lambda: bool(running.sender.problems), what="a problem")
        (problem,) = running.sender.problems
        assert "cannot be reached" in problem
        async with receiver:
            await running.until_empty()
            assert receiver.ids[-2:] == ["night-1/7", "night-1/8"]
            await until(lambda: not running.sender.problems, what="no problem")
    counts = running.counts
    assert counts["notices_sent_total",] == len(receiver.ids)
    assert counts["notices_dropped_total", "queue_full"] == 8 - len(receiver.ids)
    events = [record.message for record in caplog.records]
    assert events == ["webhook_fails", "webhook_works"]


# --- nothing is told of secrets -------------------------------------------------------


@pytest.mark.parametrize("kind", ["slack", "pagerduty", "json"])
async def test_a_receiver_that_echoes_is_not_quoted(
    kind: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What a receiver says is shown, unless an address, key or token is in it."""
    caplog.set_level(logging.DEBUG)
    async with Hook(*[Answer(500, echoes=True)] * 3) as receiver:
        monkeypatch.setenv("URL", f"{receiver.url}/{SECRET}")
        monkeypatch.setenv("KEY", SECRET)
        keys: dict[str, dict[str, Any]] = {
            "slack": {"url": None, "url_env": "URL"},
            "pagerduty": {"routing_key_env": "KEY"},
            "json": {"token_env": "KEY"},
        }
        webhook = hook_of(receiver, kind=kind, **keys[kind])
        reply = await send_notice(webhook, notice())
        assert "it sent a secret back" in reply.text
        async with sending(webhook, tmp_path) as running:
            running.sender.offer([notice()], [])
            await running.until_empty()
    logged = [str(vars(record)) for record in caplog.records]
    assert SECRET not in "".join([reply.text, repr(webhook), *logged])


async def test_addresses_are_in_no_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither where nobody listens, nor where the name or the address is wrong."""
    for url, problem in (
        (f"http://localhost:{free_port()}/{SECRET}", "cannot be reached"),
        (f"https://no-such-host.invalid/{SECRET}", "cannot be reached"),
        (f"http://not.loopback.example/{SECRET}", "would show a secret"),
        (SECRET, "not an address"),
    ):
        monkeypatch.setenv("URL", url)
        webhook = Webhook(name="hook", kind="slack", url_env="URL")
        reply = await send_notice(webhook, notice())
        assert reply.fate is Fate.LATER
        assert problem in reply.text
        with pytest.raises((RunError, ConfigError), match=problem) as caught:
            await reach(webhook)
        assert SECRET not in reply.text + str(caught.value)
    monkeypatch.delenv("URL")
    with pytest.raises(ConfigError, match="'URL' is not set"):
        await reach(webhook)


async def test_reaching_sends_nothing() -> None:
    """A connection is made and ended; the receiver gets no request."""
    async with Hook() as receiver:
        assert "can be reached" in await reach(hook_of(receiver))
        assert receiver.requests == []


# --- the page -------------------------------------------------------------------------


async def test_the_receiver_of_the_page_prints_what_it_gets() -> None:
    """docs/webhooks.md's program takes the notices of its configuration."""
    port = str(free_port())
    program = block("docs/webhooks.md", holding="BaseHTTPRequestHandler").text
    text = block("docs/webhooks.md", holding='name = "here"').text
    lane = '[target]\nhost = "h"\n[[lanes]]\nname = "tcp"\n'
    config = parse_config(text.replace("9130", port) + lane, where="page")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program.replace("9130", port)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        (webhook,) = config.webhooks
        async with asyncio.timeout(20):
            while (await send_notice(webhook, notice())).fate is not Fate.TAKEN:
                await asyncio.sleep(0.05)
            assert process.stdout is not None
            line = await process.stdout.readline()
    finally:
        process.kill()
        await process.wait()
    assert line.decode() == (
        "opened - Dark: shard 0002, both lanes of db.example.com\n"
    )


def test_the_document_of_the_page_is_one() -> None:
    """It has the keys of a notice, all of them, and is read as one."""
    text = block("docs/webhooks.md", holding='"schema_version"').text
    document = orjson.loads(text)
    names = {field.name for field in msgspec.structs.fields(Notice)}
    assert document.keys() == names
    assert msgspec.json.decode(text, type=Notice).outages == 1
