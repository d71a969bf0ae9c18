"""Sends single milliseconds to a receiver of Prometheus' remote write.

It runs beside the measuring and is never waited for: what it cannot send in time is
dropped and counted. ``core.judging.delivery`` decides what is sent, again or never.
"""

import asyncio
import base64
import logging
import os
from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol, Self

import aiohttp
import msgspec
from yarl import URL

from loadprobe import __version__
from loadprobe.clock import NS_PER_MS, ClockPair, mono_now_ns, wall_now_ns
from loadprobe.config.remote_write import RemoteWrite
from loadprobe.core.judging.delivery import Answer, Delivery, DropReason, answer_of
from loadprobe.core.judging.ms_log import MsLog
from loadprobe.core.judging.ms_samples import MsSamples
from loadprobe.errors import LoadprobeError
from loadprobe.outputs.remote_write.login import RemoteLogin, make_tls
from loadprobe.outputs.remote_write.request import HEADERS, write_request
from loadprobe.outputs.retry_after import retry_after_s

FLUSH_S = 5.0
"""What a run that ends waits for the rest to be sent, at most."""

_LINGER_S = 1.0
"""Samples wait so long for others, to share a request with them."""

_ASK_MS = 3_000
"""A run that begins does not wait longer to know how the receiver is."""

_SHOWN_BYTES = 300
_TELLING = 16
"""Characters by which a secret is known, also where the rest of it is cut off."""

_TOKEN = "X-Amz-Security-Token"  # noqa: S105 - the name of a header
_MS_PER_S = 1000

logger = logging.getLogger(__name__)


class RemoteWriteMetrics(Protocol):
    """Where the sending of samples is counted."""

    def set(self, metric: str, *labels: str, value: float) -> None:
        """Set one series."""
        ...


class WriteReply(NamedTuple):
    """What became of one request.

    Args:
        answer: see ``Answer``.
        text: what the receiver said, or what was in the way, for people.
        asked_s: the pause that it asks for.
    """

    answer: Answer
    text: str
    asked_s: float | None = None


class Receiver:
    """The other side, over HTTP; use it as a context manager.

    Args:
        remote: where it is, and how to log in.

    Raises:
        PreflightError: a certificate or key file cannot be used.
    """

    def __init__(self, remote: RemoteWrite) -> None:
        self._remote = remote
        self._login = RemoteLogin(remote)
        self._tls = make_tls(remote)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Be ready to connect."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=1, ssl=self._tls or True),
            timeout=aiohttp.ClientTimeout(total=self._remote.timeout_ms / _MS_PER_S),
            skip_auto_headers=["User-Agent"],
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        """Drop the connection."""
        assert self._session is not None
        await self._session.close()

    async def send(
        self,
        batches: Iterable[MsSamples],
        *,
        cluster: str = "",
        shift_ms: int = 0,
    ) -> WriteReply:
        """Send one request; its making is a thread's work.

        Args:
            batches: see ``write_request``, as the others.
            cluster: name of the target.
            shift_ms: UNIX time of the monotonic zero.
        """

        def prepare() -> tuple[bytes, dict[str, str]]:
            body = write_request(
                batches,
                cluster=cluster,
                shift_ms=shift_ms,
                extra_labels=self._remote.extra_labels,
            )
            plain = {**HEADERS, "User-Agent": f"loadprobe/{__version__}"}
            return body, self._login.headers(body, plain)

        try:
            body, headers = await asyncio.to_thread(prepare)
        except LoadprobeError as exc:
            return WriteReply(Answer.BUSY, str(exc))
        return await self._post(body, headers)

    async def _post(self, body: bytes, headers: dict[str, str]) -> WriteReply:
        assert self._session is not None
        url = self._remote.url
        try:
            async with self._session.post(
                URL(url, encoded=True),
                data=body,
                headers=headers,
                allow_redirects=False,  # a login is for nobody else
            ) as reply:
                said = await reply.content.read(_SHOWN_BYTES)
        except aiohttp.ClientConnectorError as exc:
            text = f"{url} cannot be reached: {exc.__cause__ or exc}"
            return WriteReply(Answer.BUSY, _shown(text, headers))
        except TimeoutError:
            waited = f"no answer within {self._remote.timeout_ms} ms"
            return WriteReply(Answer.NONE, f"{url}: {waited}")
        except (aiohttp.ClientError, OSError) as exc:
            text = f"{url}: {str(exc) or type(exc).__name__}"
            return WriteReply(Answer.NONE, _shown(text, headers))
        answer = answer_of(reply.status)
        text = f"{url} answered {reply.status} {reply.reason}"
        if answer not in (Answer.TAKEN, Answer.REFUSED):
            text += f": {said.decode(errors='replace')}"
        after = reply.headers.get("Retry-After", "")
        asked_s = retry_after_s(after, wall_now_ns())
        return WriteReply(answer, _shown(text, headers), asked_s)


async def ask(remote: RemoteWrite) -> WriteReply:
    """Send a request without samples, to see what the receiver says.

    Raises:
        PreflightError: a certificate or key file cannot be used.
    """
    timeout_ms = min(remote.timeout_ms, _ASK_MS)
    remote = msgspec.structs.replace(remote, timeout_ms=timeout_ms)
    async with Receiver(remote) as receiver:
        return await receiver.send([])


class RemoteWriter:
    """Sends what is added to a log, from now on (see the module).

    Args:
        remote: the receiver.
        log: the samples.
        clock: to give samples their UNIX time.
        cluster: returns the name of the target.
        metrics: where it is counted.

    Attributes:
        problem: why samples are not taken now, or None.

    Raises:
        PreflightError: a certificate or key file cannot be used.
    """

    def __init__(
        self,
        remote: RemoteWrite,
        log: MsLog,
        *,
        clock: ClockPair,
        cluster: Callable[[], str],
        metrics: RemoteWriteMetrics,
    ) -> None:
        self._remote = remote
        self._cursor = log.cursor()
        self._missed = 0
        # As on the page: a constant distance, so no two milliseconds have one time.
        self._shift_ms = clock.to_wall(0) // NS_PER_MS
        self._cluster = cluster
        self._metrics = metrics
        self._delivery = Delivery(remote.queue_samples, remote.batch_samples)
        self._receiver = Receiver(remote)
        self._woken = asyncio.Event()
        self._until_ms = 0
        self.problem: str | None = None
        self._show()

    def advance(self, until_ms: int) -> None:
        """Take in what is new in the log, up to a time; never waits."""
        self._until_ms = until_ms
        batches = self._cursor.take()
        self._delivery.miss(self._cursor.missed - self._missed)
        self._missed = self._cursor.missed
        self._delivery.offer(batches)
        if batches:
            self._woken.set()
        self._show()

    async def run(self) -> None:
        """Send until cancelled."""
        async with self._receiver:
            while True:
                await self._woken.wait()
                self._woken.clear()
                if len(self._delivery) < self._remote.batch_samples:
                    await asyncio.sleep(_LINGER_S)
                await self._deliver()

    async def flush(self) -> None:
        """Send what is left, for a limited time; ``run`` has ended."""
        try:
            async with asyncio.timeout(FLUSH_S), self._receiver:
                await self._deliver()
        except TimeoutError:
            self._delivery.give_up()
        self._show()
        dropped = {f"lp_{reason}": n for reason, n in self._delivery.dropped.items()}
        logger.info(
            "remote_write_ended", extra={"lp_sent": self._delivery.sent, **dropped}
        )

    async def _deliver(self) -> None:
        """Send all that waits."""
        lost_before = self._delivery.lost
        while (part := self._delivery.next(mono_now_ns())) is not None:
            reply = await self._receiver.send(
                part.batches, cluster=self._cluster(), shift_ms=self._shift_ms
            )
            if reply.answer is not Answer.TAKEN:
                self._note(reply.text)
            pause_s = self._delivery.take_answer(
                reply.answer,
                now_ns=mono_now_ns(),
                jitter=int.from_bytes(os.urandom(2)) / 0xFFFF,
                asked_s=reply.asked_s,
            )
            self._show()
            if pause_s:
                await asyncio.sleep(pause_s)
        if self._delivery.lost == lost_before:
            self._note(None)

    def _note(self, problem: str | None) -> None:
        """Log where trouble begins and ends, not what is between."""
        if (problem is None) != (self.problem is None):
            if problem is not None:
                logger.warning("remote_write_fails", extra={"lp_problem": problem})
            else:
                logger.info("remote_write_works", extra={"lp_url": self._remote.url})
            self.problem = problem and f"remote write: {problem}"

    def _show(self) -> None:
        delivery, show = self._delivery, self._metrics.set
        show("remote_write_samples_sent_total", value=delivery.sent)
        for reason in DropReason:
            count = delivery.dropped[reason]
            show("remote_write_samples_dropped_total", reason.value, value=count)
        show("remote_write_retries_total", value=delivery.retries)
        show("remote_write_queue_samples", value=len(delivery))
        oldest_ms = delivery.oldest_ms
        lag_ms = 0 if oldest_ms is None else self._until_ms - oldest_ms
        show("remote_write_lag_seconds", value=max(lag_ms, 0) / _MS_PER_S)


def _shown(text: str, headers: dict[str, str]) -> str:
    """Return what was said in one line, unless there is a secret of ours in it."""
    text = " ".join(text.split())
    if any(secret[:_TELLING] in text for secret in _secrets(headers)):
        return "the receiver sent our login back; what it said is not shown"
    return "".join(c if c.isprintable() else "?" for c in text)


def _secrets(headers: dict[str, str]) -> list[str]:
    scheme, _, login = headers.get("Authorization", "").partition(" ")
    found = [login, headers.get(_TOKEN, "")]
    if scheme == "Basic":
        found.append(base64.b64decode(login).decode().partition(":")[2])
    return [secret for secret in found if secret]
