"""Notices in the forms of their receivers."""

import orjson
import pytest

from loadprobe.core.verdict.notices import Notice
from loadprobe.core.verdict.occasions import OccasionKind
from loadprobe.outputs.webhooks.formats import (
    FORMATS,
    as_json,
    as_pagerduty,
    as_slack,
    as_sns,
    as_teams,
)
from tests.support.notices import a_notice

TOPIC = "arn:aws:sns:eu-west-1:123456789012:oncall"
KEY = "0123456789abcdef0123456789abcdef"
RUDE = "<!channel> & *all* [here](http://evil)\x1b[31m\n"


def rude(kind: OccasionKind = OccasionKind.OPENED) -> Notice:
    """Return a notice in which others put markup."""
    return a_notice(kind=kind, title=RUDE, text=[RUDE], target=RUDE, shards=[RUDE])


def test_the_document_has_every_key() -> None:
    """Kind, name and times are plain values."""
    document = orjson.loads(orjson.dumps(as_json(a_notice())))
    assert document["kind"] == "opened"
    assert document["schema_version"] == 1
    assert document["dark_ms"] == {
        "estimate": 2000.0,
        "lower": 1998.0,
        "upper": 2002.0,
        "unseen": 0.0,
    }
    assert document["dark_now"] == [["tcp", "0002"]]


def test_slack() -> None:
    """A text and an attachment; nothing in it is markup."""
    message = as_slack(a_notice())
    assert message["text"] == "Dark: shard 0002, both lanes of db.example.com"
    (attachment,) = message["attachments"]
    assert attachment["color"] == "#c4162a"
    assert "cause: shard" in attachment["text"]
    assert {"title": "Shards", "value": "0002", "short": True} in attachment["fields"]
    text = str(as_slack(rude()))
    assert "<" not in text
    assert "&lt;!channel&gt; &amp;" in text


def test_teams() -> None:
    """A message with one Adaptive Card, and no other kind of attachment."""
    message = as_teams(a_notice())
    assert message["type"] == "message"
    (attachment,) = message["attachments"]
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    card = attachment["content"]
    assert (card["type"], card["version"]) == ("AdaptiveCard", "1.4")
    assert card["body"][0]["color"] == "attention"
    facts = card["body"][-1]["facts"]
    assert {"title": "Lanes", "value": "tcp, tls"} in facts
    text = orjson.dumps(as_teams(rude())).decode()
    assert "](" not in text
    assert "*all*" not in text


@pytest.mark.parametrize(
    ("kind", "action"),
    [
        (OccasionKind.OPENED, "trigger"),
        (OccasionKind.WORSENED, "trigger"),
        (OccasionKind.LEFT, "trigger"),
        (OccasionKind.CLOSED, "resolve"),
    ],
)
def test_pagerduty(kind: OccasionKind, action: str) -> None:
    """All notices of an incident are one alert; only its end resolves it."""
    event = as_pagerduty(a_notice(2, kind=kind), routing_key=KEY)
    assert event["event_action"] == action
    assert event["dedup_key"] == "loadprobe/night-1"
    assert event["routing_key"] == KEY
    payload = event["payload"]
    assert payload["severity"] == "error"
    assert payload["source"] == "db.example.com"
    assert payload["timestamp"] == "2023-11-14T22:13:24.000Z"
    assert payload["custom_details"]["incident"] == "night-1"


@pytest.mark.parametrize(
    ("changes", "severity"),
    [
        ({"is_all": True}, "critical"),
        ({"is_planned": True, "is_all": True}, "info"),
        ({"is_test": True}, "info"),
    ],
)
def test_severity(changes: dict[str, bool], severity: str) -> None:
    """All shards dark is worse than one; what was planned, or a test, is neither."""
    event = as_pagerduty(a_notice(**changes), routing_key=KEY)
    assert event["payload"]["severity"] == severity


def test_sns() -> None:
    """One line as the subject, text for people, the document for programs."""
    arguments = as_sns(rude(), topic_arn=TOPIC)
    assert arguments["Subject"].isascii()
    assert arguments["Subject"].isprintable()
    assert len(as_sns(a_notice(title="x" * 500), topic_arn=TOPIC)["Subject"]) == 100
    forms = orjson.loads(arguments["Message"])
    assert set(forms) == {
        "default",
        "sms",
        "lambda",
        "sqs",
        "http",
        "https",
        "firehose",
    }
    assert "MessageGroupId" not in arguments
    fifo = as_sns(a_notice(), topic_arn=f"{TOPIC}.fifo")
    assert fifo["MessageGroupId"] == "night-1"
    assert fifo["MessageDeduplicationId"] == "night-1-1"


def test_limits_of_receivers() -> None:
    """The longest notice is within what every receiver takes."""
    names = ["x" * 64] * 50
    longest = a_notice(
        title="t" * 5000,
        text=["l" * 5000] * 5,
        lanes=names,
        shards=names,
        dark_now=[("a" * 32, "b" * 64)] * 50,
        evidence="e" * 1000,
    )
    assert len(orjson.dumps(as_teams(longest))) < 28_000
    assert len(as_slack(longest)["attachments"][0]["text"]) < 3_000
    event = as_pagerduty(longest, routing_key=KEY)
    assert len(event["payload"]["summary"]) <= 1024
    assert len(orjson.dumps(event)) < 512_000
    assert len(orjson.dumps(as_sns(longest, topic_arn=TOPIC))) < 262_144


def test_escapes_of_terminals_are_no_text() -> None:
    """No form carries control characters of others."""
    for form in (as_slack, as_teams):
        assert "\\u001b" not in orjson.dumps(form(rude())).decode()


def test_kinds_with_forms() -> None:
    """PagerDuty and SNS need more than the notice."""
    assert set(FORMATS) == {"json", "slack", "teams"}
