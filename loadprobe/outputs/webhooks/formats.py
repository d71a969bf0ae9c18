"""Notices in the forms that receivers understand.

Pure. Nothing in a notice may become markup: it is plain text wherever a receiver has
it, and escaped elsewhere. Limits are those of the receivers: Slack 3,000 characters of
a text, Teams 28 kB of a message, PagerDuty 1,024 characters of a summary, SNS 100 of a
subject and 256 kB of a message.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
import orjson

from loadprobe.clock import NS_PER_S
from loadprobe.core.verdict.notices import Notice
from loadprobe.core.verdict.occasions import OccasionKind

_RED, _AMBER, _GREEN, _GREY = "#c4162a", "#e0752d", "#37872d", "#8e8e8e"
_SLACK_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_TEAMS_ESCAPES = str.maketrans({"[": "(", "]": ")", "*": "\N{ASTERISK OPERATOR}"})
"""Links and emphasis of the Markdown in cards, which has no escapes that all honour."""

_LONGEST_TITLE = 250
_LONGEST_LINE = 500
_LONGEST_SUBJECT = 100
_LONGEST_KEY = 255


def as_json(notice: Notice) -> dict[str, Any]:
    """Return the document itself."""
    plain: dict[str, Any] = msgspec.to_builtins(notice)
    return plain


def as_slack(notice: Notice) -> dict[str, Any]:
    """Return a message with an attachment, which what is like Slack has as well."""
    title = _cut(notice.title, _LONGEST_TITLE).translate(_SLACK_ESCAPES)
    lines = [
        _cut(line, _LONGEST_LINE).translate(_SLACK_ESCAPES) for line in _lines(notice)
    ]
    return {
        "text": title,
        "attachments": [
            {
                "color": _color(notice),
                "fallback": title,
                "text": "\n".join(lines),
                "fields": [
                    {
                        "title": name,
                        "value": value.translate(_SLACK_ESCAPES),
                        "short": True,
                    }
                    for name, value in _facts(notice).items()
                ],
                "mrkdwn_in": [],
                "ts": notice.at_unix_ns // NS_PER_S,
            }
        ],
    }


def as_teams(notice: Notice) -> dict[str, Any]:
    """Return a message with an Adaptive Card, as Teams' workflows take it.

    Its content is of schema 1.4, which all of Teams' clients show.
    """
    styles = {_RED: "attention", _AMBER: "warning", _GREEN: "good", _GREY: "default"}
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "msteams": {"width": "Full"},
        "fallbackText": _teams_text(notice.title, _LONGEST_TITLE),
        "body": [
            {
                "type": "TextBlock",
                "text": _teams_text(notice.title, _LONGEST_TITLE),
                "weight": "bolder",
                "size": "medium",
                "color": styles[_color(notice)],
                "wrap": True,
            },
            *(
                {
                    "type": "TextBlock",
                    "text": _teams_text(line, _LONGEST_LINE),
                    "wrap": True,
                    "spacing": "small",
                }
                for line in _lines(notice)
            ),
            {
                "type": "FactSet",
                "facts": [
                    {"title": name, "value": _teams_text(value, _LONGEST_LINE)}
                    for name, value in _facts(notice).items()
                ],
            },
        ],
    }
    return {
        "type": "message",
        "attachments": [
            {
                "contentType": "application/vnd.microsoft.card.adaptive",
                "contentUrl": None,
                "content": card,
            }
        ],
    }


def as_pagerduty(notice: Notice, *, routing_key: str) -> dict[str, Any]:
    """Return an event of the Events API v2.

    An incident is one alert: all of its events have the same ``dedup_key``. One that
    was left by a run that ended stays open; the next run that sees its end resolves it.
    """
    is_over = notice.kind is OccasionKind.CLOSED
    return {
        "routing_key": routing_key,
        "event_action": "resolve" if is_over else "trigger",
        "dedup_key": _cut(f"loadprobe/{notice.incident}", _LONGEST_KEY),
        "client": "loadprobe",
        "payload": {
            "summary": _cut(notice.title, 1024),
            "source": _cut(notice.target, _LONGEST_TITLE),
            "severity": _severity(notice),
            "timestamp": _iso(notice.at_unix_ns),
            "component": _cut(", ".join(notice.shards), _LONGEST_TITLE),
            "group": notice.run,
            "class": _class(notice),
            "custom_details": as_json(notice),
        },
    }


def as_sns(notice: Notice, *, topic_arn: str) -> dict[str, Any]:
    """Return the arguments of ``Publish``.

    People (e-mail, SMS) get text, programs (Lambda, SQS, HTTP) the document.
    """
    text = "\n".join([notice.title, *_lines(notice)])
    document = orjson.dumps(as_json(notice)).decode()
    programs = ("lambda", "sqs", "http", "https", "firehose")
    arguments: dict[str, Any] = {
        "TopicArn": topic_arn,
        "Subject": _subject(notice.title),
        "MessageStructure": "json",
        "Message": orjson.dumps(
            {
                "default": text,
                "sms": _cut(notice.title, _LONGEST_SUBJECT),
                **dict.fromkeys(programs, document),
            }
        ).decode(),
        "MessageAttributes": {
            name: {"DataType": "String", "StringValue": value}
            for name, value in (
                ("kind", notice.kind.value),
                ("severity", _severity(notice)),
                ("run", notice.run),
            )
        },
    }
    if topic_arn.endswith(".fifo"):
        arguments["MessageGroupId"] = _cut(notice.incident, 128)
        arguments["MessageDeduplicationId"] = _cut(notice.id.replace("/", "-"), 128)
    return arguments


FORMATS: Mapping[str, Callable[[Notice], dict[str, Any]]] = {
    "json": as_json,
    "slack": as_slack,
    "teams": as_teams,
}
"""Kinds of receivers whose form is made from the notice alone."""


def _color(notice: Notice) -> str:
    if notice.is_test:
        return _GREY
    if notice.kind is OccasionKind.CLOSED:
        return _GREEN
    is_told_only = notice.is_planned or notice.is_maintenance
    is_grave = not is_told_only and notice.kind is not OccasionKind.LEFT
    return _RED if is_grave else _AMBER


def _severity(notice: Notice) -> str:
    """Return how grave it is, in PagerDuty's words."""
    if notice.is_test or notice.is_planned or notice.is_maintenance:
        return "info"
    return "critical" if notice.is_all else "error"


def _class(notice: Notice) -> str:
    if notice.is_maintenance:
        return "maintenance"
    return "test" if notice.is_test else notice.cause or "unknown"


def _facts(notice: Notice) -> dict[str, str]:
    facts = {
        "Run": f"{notice.run} on {notice.probe_host}",
        "Since": _iso(notice.start_unix_ns),
        "Lanes": ", ".join(notice.lanes),
        "Shards": ", ".join(notice.shards),
        "Incident": notice.incident,
    }
    return {name: _cut(value, _LONGEST_LINE) for name, value in facts.items() if value}


def _lines(notice: Notice) -> list[str]:
    return [_cut(line, _LONGEST_LINE) for line in notice.text]


def _teams_text(text: str, longest: int) -> str:
    return _cut(text, longest).translate(_TEAMS_ESCAPES)


def _subject(text: str) -> str:
    """Return a subject as SNS takes it: ASCII in one line, no space at its start."""
    plain = "".join(c if " " <= c <= "~" else "?" for c in text)
    return _cut(plain.strip(), _LONGEST_SUBJECT)


def _cut(text: str, longest: int) -> str:
    text = "".join(c if c.isprintable() else " " for c in text)
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def _iso(unix_ns: int) -> str:
    seconds, rest_ns = divmod(unix_ns, NS_PER_S)
    at = datetime.fromtimestamp(seconds, UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{rest_ns // 1_000_000:03d}Z"
