"""The other side of a webhook, over HTTP: one request, one answer, nothing followed.

Addresses and logins are read anew for every request, so that they may be changed
meanwhile. Neither they nor what a receiver says of them is ever shown.
"""

import asyncio
import re
import ssl
from typing import NamedTuple
from urllib.parse import urlsplit

import aiohttp
import orjson
from yarl import URL

from loadprobe import __version__
from loadprobe.clock import wall_now_ns
from loadprobe.config.bounded_file import check_bounded
from loadprobe.config.webhooks import Webhook
from loadprobe.core.verdict.notice_queue import Fate, fate_of
from loadprobe.core.verdict.notices import Notice
from loadprobe.errors import LoadprobeError, PreflightError
from loadprobe.outputs.retry_after import retry_after_s
from loadprobe.outputs.webhooks.formats import FORMATS, as_pagerduty

_SHOWN_BYTES = 300
_TELLING = 8
"""So many characters in a row make a piece of a secret known."""

_WORD = re.compile(rf"[A-Za-z0-9_-]{{{_TELLING},}}")
_MS_PER_S = 1000


class ReceiverReply(NamedTuple):
    """What became of one request.

    Args:
        fate: see ``Fate``.
        text: what the receiver said, or what was in the way, for people.
        asked_s: the pause that it asks for.
    """

    fate: Fate
    text: str
    asked_s: float | None = None


class _Request(NamedTuple):
    """What is sent; ``secrets`` are the pieces by which one would be known."""

    url: str
    body: bytes
    headers: dict[str, str]
    tls: ssl.SSLContext | None
    secrets: frozenset[str]


async def send_notice(webhook: Webhook, notice: Notice) -> ReceiverReply:
    """Send a notice once; whatever goes wrong is in the reply."""
    if webhook.kind == "sns":
        return await _publish(webhook, notice)
    try:
        request = await asyncio.to_thread(_prepare, webhook, notice)
    except LoadprobeError as exc:
        return ReceiverReply(Fate.LATER, str(exc))
    timeout = aiohttp.ClientTimeout(total=webhook.timeout_ms / _MS_PER_S)
    connector = aiohttp.TCPConnector(
        limit=1, force_close=True, ssl=request.tls if request.tls is not None else True
    )
    async with aiohttp.ClientSession(
        connector=connector, timeout=timeout, auto_decompress=False
    ) as session:
        return await _post(session, request, webhook.timeout_ms)


def make_tls(webhook: Webhook, url: str) -> ssl.SSLContext | None:
    """Return the context of connections; certificates are always verified.

    Returns:
        None for plain HTTP.

    Raises:
        PreflightError: the file of authorities cannot be used.
    """
    if not url.startswith("https:"):
        return None
    try:
        if webhook.ca_file is not None:
            # First, as OpenSSL would wait for a pipe, and read a device to its end.
            check_bounded(webhook.ca_file)
        return ssl.create_default_context(cafile=webhook.ca_file)
    except (OSError, ValueError) as exc:
        raise PreflightError(
            f"{webhook.at}.ca_file {webhook.ca_file!r} cannot be used: {exc}; it must "
            "be a PEM file of certificate authorities"
        ) from exc


def place_of(url: str) -> str:
    """Return the part of an address that is no secret: ``https://host:port``."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


async def _publish(webhook: Webhook, notice: Notice) -> ReceiverReply:
    def publish() -> tuple[Fate, str]:
        from loadprobe.outputs.webhooks import topic

        return topic.publish(webhook, notice)

    fate, text = await asyncio.to_thread(publish)
    return ReceiverReply(fate, _one_line(text))


def _prepare(webhook: Webhook, notice: Notice) -> _Request:
    """Read addresses, logins and certificates, and encode; in a thread."""
    url = webhook.read_url()
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"loadprobe/{__version__}",
    }
    secrets: set[str] = set()
    if webhook.has_secret_url:
        secrets |= set(_WORD.findall(url[len(place_of(url)) :]))
    if webhook.kind == "pagerduty":
        key = webhook.read_routing_key() or ""
        secrets |= set(_WORD.findall(key))
        document = as_pagerduty(notice, routing_key=key)
    else:
        document = FORMATS[webhook.kind](notice)
    token = webhook.read_token()
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
        secrets |= set(_WORD.findall(token))
    return _Request(
        url, orjson.dumps(document), headers, make_tls(webhook, url), frozenset(secrets)
    )


async def _post(
    session: aiohttp.ClientSession, request: _Request, timeout_ms: int
) -> ReceiverReply:
    place = place_of(request.url)
    try:
        async with session.post(
            URL(request.url, encoded=True),
            data=request.body,
            headers=request.headers,
            allow_redirects=False,  # what is for one receiver is for nobody else
        ) as reply:
            said = await reply.content.read(_SHOWN_BYTES)
    except aiohttp.ClientConnectorError as exc:
        # Its own text is not shown, nor that of any other: it may have the address.
        why = exc.os_error.strerror or type(exc.os_error).__name__
        return ReceiverReply(Fate.LATER, _one_line(f"{place} cannot be reached: {why}"))
    except TimeoutError:
        return ReceiverReply(Fate.LATER, f"{place}: no answer within {timeout_ms} ms")
    except (aiohttp.ClientError, OSError, ValueError) as exc:
        return ReceiverReply(Fate.LATER, f"{place}: {type(exc).__name__}, no answer")
    fate = fate_of(reply.status)
    text = f"{place} answered {reply.status}"
    if fate is not Fate.TAKEN:
        text += f": {_harmless(said.decode(errors='replace'), request.secrets)}"
    after = reply.headers.get("Retry-After", "")
    return ReceiverReply(fate, _one_line(text), retry_after_s(after, wall_now_ns()))


def _harmless(said: str, secrets: frozenset[str]) -> str:
    """Return what was said, unless there is a secret of ours in it."""
    if any(secret[:_TELLING] in said for secret in secrets):
        return "it sent a secret back; what it said is not shown"
    return said


def _one_line(text: str) -> str:
    text = " ".join(text.split())
    return "".join(c if c.isprintable() else "?" for c in text)
