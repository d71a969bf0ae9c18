"""Notices sent to real receivers: good ones, slow ones, rude ones, and none at all."""

import asyncio
import logging
import ssl
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import msgspec
import orjson
import pytest
import trustme
from aiohttp import web

from loadprobe.clock import wall_now_ns
from loadprobe.config.file import parse_config
from loadprobe.config.webhooks import Webhook
from loadprobe.core.verdict import notice_queue
from loadprobe.core.verdict.incidents import DarkTime
from loadprobe.core.verdict.notice_queue import Fate
from loadprobe.core.verdict.notices import Notice
from loadprobe.core.verdict.occasions import OpenIncident
from loadprobe.errors import ConfigError, RunError
from loadprobe.outputs.webhooks import sender as sender_module
from loadprobe.outputs.webhooks.queue_file import QueueFile, Stored
from loadprobe.outputs.webhooks.reach import reach
from loadprobe.outputs.webhooks.receiver import send_notice
from loadprobe.outputs.webhooks.sender import Sender
from tests.scripted.hook import Answer, Hook
from tests.support.docs_blocks import block
from tests.support.notices import a_notice
from tests.support.paths import ROOT
from tests.support.prometheus_server import free_port
from tests.support.running import until

SECRET = "hunter2hunter2hunter2hunter2"
TOPIC = "arn:aws:sns:eu-west-1:123456789012:oncall"
OPEN = OpenIncident(
    "night-1", 5, 1, 0, DarkTime(1, 2, 3), 9, (("tcp", "0002"),), outages=1
)


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make pauses short; how they grow is tested without a clock."""
    monkeypatch.setattr(notice_queue, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(notice_queue, "LONGEST_PAUSE_S", 0.05)
    monkeypatch.setattr(sender_module, "FLUSH_S", 1.0)


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give AWS credentials that are nobody's."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")


class Counts(dict[tuple[str, ...], float]):
    """What is counted of one receiver; (metric, reason) -> value."""

    def set(self, metric: str, *labels: str, value: float) -> None:
        """Take a value."""
        assert labels[0] == "hook"
        self[metric.removeprefix("webhook_"), *labels[1:]] = value

    @property
    def plain(self) -> dict[tuple[str, ...], float]:
        """Return what is not zero."""
        return {key: value for key, value in self.items() if value}


def notice(number: int = 1) -> Notice:
    """Return a notice of now."""
    return a_notice(number, at_unix_ns=wall_now_ns())


def notices(count: int) -> list[Notice]:
    """Return notices 1, 2, ... of now."""
    return [notice(number) for number in range(1, count + 1)]


def hook_of(receiver: Hook, **more: Any) -> Webhook:
    """Return the configuration for a receiver."""
    return Webhook(**({"name": "hook", "kind": "json", "url": receiver.url} | more))


class Running:
    """A sender, its file and what it counts."""

    def __init__(self, webhook: Webhook, path: Path) -> None:
        self.counts = Counts()
        self.path = path
        self.sender = Sender(webhook, QueueFile(path), self.counts)

    async def until_empty(self) -> None:
        """Wait until nothing waits to be sent."""
        await until(lambda: not self.counts["queue_notices",], what="an empty queue")


@asynccontextmanager
async def sending(
    webhook: Webhook, folder: Path, name: str = "queue/hook.json"
) -> AsyncIterator[Running]:
    """Send while the block runs, and be gone after it as if killed."""
    running = Running(webhook, folder / name)
    task = asyncio.create_task(running.sender.run())
    try:
        yield running
        assert not task.done() or task.result() is None
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        running.sender._file.close()


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


# --- a queue that outlives its process ------------------------------------------------


async def test_what_waits_survives(tmp_path: Path) -> None:
    """A process that is gone leaves what it could not send, and what was open."""
    receiver = Hook(port=free_port())
    async with sending(hook_of(receiver), tmp_path) as before:
        before.sender.offer(notices(3), [OPEN])
        await until(
            lambda: (
                before.path.exists()
                and len(orjson.loads(before.path.read_bytes())["waiting"]) == 3
            ),
            what="three on disk",
        )
    assert stat.S_IMODE(before.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(before.path.parent.stat().st_mode) == 0o700
    async with receiver, sending(hook_of(receiver), tmp_path) as after:
        assert after.sender.resumed == (OPEN,)
        after.sender.offer([notice(4)], [])
        await after.until_empty()
        assert receiver.ids == [f"night-1/{n}" for n in range(1, 5)]
    assert Running(hook_of(receiver), after.path).sender.resumed == ()


KILLED = """
import asyncio, os, signal, sys
sys.path.insert(0, {root!r})
from pathlib import Path
from loadprobe.config.webhooks import Webhook
from loadprobe.outputs.webhooks.queue_file import QueueFile
from loadprobe.outputs.webhooks.sender import Sender
from tests.integration.outputs.test_webhooks import Counts, notices

async def main():
    webhook = Webhook(name="hook", kind="json", url={url!r})
    sender = Sender(webhook, QueueFile(Path({path!r})), Counts())
    sender.offer(notices(5), [])
    async with asyncio.TaskGroup() as group:
        group.create_task(sender.run())
        while sender.problem is None:
            await asyncio.sleep(0.01)
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


async def test_a_killed_process_loses_nothing_that_was_taken_in(tmp_path: Path) -> None:
    """After kill -9 the next process sends all of it: at least once, in order."""
    script = [Answer(), Answer(), Answer(503)]
    async with Hook(*script) as receiver:
        path = tmp_path / "queue" / "hook.json"
        text = KILLED.format(root=str(ROOT), url=receiver.url, path=str(path))
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", text)
        async with asyncio.timeout(30):
            assert await process.wait() == -9
        assert receiver.ids == ["night-1/1", "night-1/2"]
        async with sending(hook_of(receiver), tmp_path) as running:
            await running.until_empty()
        assert list(dict.fromkeys(receiver.ids)) == [
            f"night-1/{n}" for n in range(1, 6)
        ]


def test_what_is_older_is_not_written(tmp_path: Path) -> None:
    """A thread that comes late does not undo what was written since."""
    path = tmp_path / "hook.json"
    file = QueueFile(path)
    file.load()
    file.save(Stored(notices(2)), 2)
    file.save(Stored(notices(1)), 1)
    file.close()
    file.save(Stored(notices(3)), 3)
    assert len(QueueFile(path).load().waiting) == 2


async def test_a_file_that_cannot_be_read_is_set_aside(tmp_path: Path) -> None:
    """It is kept under another name, and is the end of nothing."""
    path = tmp_path / "queue" / "hook.json"
    path.parent.mkdir()
    damaged = (b"", b"{", b"[1]", b'{"schema_version": 99}', b"\xff" * 100, b"[" * 9999)
    for content in damaged:
        path.write_bytes(content)
        running = Running(Webhook(name="hook", kind="json", url="http://h/"), path)
        assert running.counts["queue_notices",] == 0
        running.sender._file.close()
        assert not path.exists()
    kept = {file.read_bytes() for file in path.parent.glob("hook.bad*")}
    assert kept == set(damaged)


async def test_a_queue_belongs_to_one_process(tmp_path: Path) -> None:
    """A second run of the same name sends all the same, and says what it cannot do."""
    async with Hook() as receiver, sending(hook_of(receiver), tmp_path) as first:
        second = Running(hook_of(receiver), first.path)
        (problem,) = second.sender.problems
        assert "another run of the same name has it" in problem
        second.sender.offer([notice()], [])
        await second.sender.flush()
        assert receiver.ids == ["night-1/1"]
        assert not first.path.exists()


async def test_a_disk_that_is_full_is_no_end(tmp_path: Path) -> None:
    """Notices that cannot be kept are sent; that they are not kept is said."""
    file = tmp_path / "queue"
    file.write_text("no folder")
    async with Hook() as receiver, sending(hook_of(receiver), file) as running:
        (problem,) = running.sender.problems
        assert "what waits is lost with the process" in problem
        running.sender.offer([notice()], [])
        await running.until_empty()
        assert receiver.ids == ["night-1/1"]


async def test_a_run_that_ends_waits_a_moment_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is left then is on disk."""
    monkeypatch.setattr(sender_module, "FLUSH_S", 0.2)
    async with Hook(*[Answer(after_s=30.0)] * 9) as receiver:
        running = Running(hook_of(receiver), tmp_path / "hook.json")
        running.sender.offer(notices(2), [OPEN])
        async with asyncio.timeout(5.0):
            await running.sender.flush()
        again = Running(hook_of(receiver), running.path)
    assert again.counts["queue_notices",] == 2
    assert again.sender.resumed == (OPEN,)


# --- SNS ------------------------------------------------------------------------------


class Topics:
    """Speaks as much of SNS as ``Publish`` needs; answers as it is told, then well."""

    def __init__(self, *script: tuple[int, str]) -> None:
        self._script = list(script)
        self.published: list[dict[str, str]] = []

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        """Listen while the block runs; yield the endpoint."""
        app = web.Application()
        app.router.add_post("/", self._publish)
        runner = web.AppRunner(app, shutdown_timeout=0.0)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()

    async def _publish(self, request: web.Request) -> web.Response:
        fields = parse_qs(await request.text())
        if self._script:
            status, code = self._script.pop(0)
            text = (
                "<ErrorResponse><Error><Type>Sender</Type>"
                f"<Code>{code}</Code><Message>no</Message></Error></ErrorResponse>"
            )
            return web.Response(status=status, text=text, content_type="text/xml")
        self.published.append({name: values[0] for name, values in fields.items()})
        text = (
            '<PublishResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/">'
            "<PublishResult><MessageId>1</MessageId></PublishResult></PublishResponse>"
        )
        return web.Response(text=text, content_type="text/xml")


def topic_of(endpoint: str, **more: Any) -> Webhook:
    """Return the configuration for a topic."""
    plain: dict[str, Any] = {
        "name": "hook",
        "kind": "sns",
        "topic_arn": TOPIC,
        "endpoint_url": endpoint,
    }
    return Webhook(**(plain | more))


@pytest.mark.usefixtures("credentials")
async def test_a_topic_gets_text_and_document(tmp_path: Path) -> None:
    """People read text, programs the document; who is busy is asked again."""
    topics = Topics((503, "ServiceUnavailable"), (400, "Throttling"))
    async with (
        topics.serve() as endpoint,
        sending(topic_of(endpoint), tmp_path) as running,
    ):
        running.sender.offer([notice()], [])
        await running.until_empty()
    (published,) = topics.published
    assert published["TopicArn"] == TOPIC
    assert published["Subject"] == "Dark: shard 0002, both lanes of db.example.com"
    forms = orjson.loads(published["Message"])
    assert forms["default"].startswith(f"{published['Subject']}\n")
    assert orjson.loads(forms["sqs"])["id"] == "night-1/1"
    assert running.counts.plain == {
        ("notices_sent_total",): 1,
        ("requests_failed_total",): 2,
    }


@pytest.mark.usefixtures("credentials")
async def test_a_topic_that_refuses(tmp_path: Path) -> None:
    """What is wrong with a notice is dropped; what is about us is tried again."""
    topics = Topics((400, "InvalidParameter"), (403, "AuthorizationError"))
    async with topics.serve() as endpoint:
        reply = await send_notice(topic_of(endpoint), notice())
        assert reply.fate is Fate.REJECTED
        assert "refused: InvalidParameter: no" in reply.text
        reply = await send_notice(topic_of(endpoint), notice())
        assert reply.fate is Fate.LATER
        assert "can be reached" in await reach(topic_of(endpoint))
    reply = await send_notice(topic_of(f"http://127.0.0.1:{free_port()}"), notice())
    assert reply.fate is Fate.LATER
    assert "EndpointConnectionError" in reply.text


async def test_a_topic_without_credentials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said that there are none."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    reply = await send_notice(topic_of("http://127.0.0.1:1"), notice())
    assert reply.fate is Fate.LATER
    assert "NoCredentialsError" in reply.text


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
