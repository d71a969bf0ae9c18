"""Notices published to a topic."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import orjson
import pytest
from aiohttp import web

from loadprobe.config.webhooks import Webhook
from loadprobe.core.verdict.notice_queue import Fate
from loadprobe.outputs.webhooks.reach import reach
from loadprobe.outputs.webhooks.receiver import send_notice
from tests.support.prometheus_server import free_port
from tests.support.sending import notice, sending, shorten_waits

TOPIC = "arn:aws:sns:eu-west-1:123456789012:oncall"


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make pauses short."""
    shorten_waits(monkeypatch)


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give AWS credentials that are nobody's."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")


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
