"""Single milliseconds sent to receivers of remote write, real and unwell ones."""

import asyncio
import logging
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trustme

from loadprobe.clock import ClockPair, wall_now_ns
from loadprobe.config.remote_write import RemoteWrite
from loadprobe.core.judging import delivery
from loadprobe.core.judging.delivery import DropReason
from loadprobe.core.judging.ms_log import MsLog
from loadprobe.core.judging.ms_samples import MsKind, MsSamples, MsSeries
from loadprobe.outputs.remote_write import sender as remote_write
from loadprobe.outputs.remote_write.sender import RemoteWriter, ask
from tests.scripted.receiver import Decoded, Request, Said, ScriptedReceiver
from tests.support.prometheus_server import (
    NEEDS_PROMETHEUS,
    free_port,
    prometheus,
)
from tests.support.running import until

NOW_MS = wall_now_ns() // 1_000_000
OUT_OF_ORDER = "storage: {tsdb: {out_of_order_time_window: 10m}}\n"
SECRET = "hunter2-" * 8


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make pauses short; how they grow is tested without a clock."""
    monkeypatch.setattr(delivery, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(delivery, "LONGEST_PAUSE_S", 0.05)
    monkeypatch.setattr(remote_write, "_LINGER_S", 0.01)


class Sender:
    """A writer, its log and what it counts; times are UNIX milliseconds."""

    def __init__(self, remote: RemoteWrite) -> None:
        self.log = MsLog(keep_ms=10**10)
        self.counts: dict[tuple[str, ...], float] = {}
        self.writer = RemoteWriter(
            remote,
            self.log,
            clock=ClockPair(0, 0),
            cluster=lambda: "db",
            metrics=self,
        )

    def set(self, metric: str, *labels: str, value: float) -> None:
        """Take a value."""
        self.counts[metric.removeprefix("remote_write_"), *labels] = value

    @property
    def sent(self) -> float:
        """Return how many samples were sent."""
        return self.counts["samples_sent_total",]

    @property
    def dropped(self) -> Counter[str]:
        """Return how many samples were dropped, by reason; without zeros."""
        return +Counter(
            {
                str(reason): int(self.counts["samples_dropped_total", reason])
                for reason in DropReason
            }
        )

    def offer(self, *batches: MsSamples) -> None:
        """Put samples into the log."""
        until_ms = max(batch.ms[-1] for batch in batches) + 1
        self.log.add(batches, until_ms=until_ms)
        self.writer.advance(until_ms)

    async def until_empty(self) -> None:
        """Wait until nothing waits to be sent."""
        await until(lambda: not self.counts["queue_samples",], what="an empty queue")


@asynccontextmanager
async def sending(remote: RemoteWrite) -> AsyncIterator[Sender]:
    """Send while the block runs."""
    sender = Sender(remote)
    task = asyncio.create_task(sender.writer.run())
    try:
        yield sender
        assert not task.done() or task.result() is None
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def batch_of(shard: str, points: Iterable[int]) -> MsSamples:
    """Return samples of a shard; their values differ."""
    batch = MsSamples(MsSeries(MsKind.ERRORS, ("tcp", shard, "read", "refused")))
    for ms in points:
        batch.add(ms, ms % 7)
    return batch


def points_of(*batches: MsSamples) -> dict[str, list[tuple[int, float]]]:
    """Return (time, value) of samples by shard."""
    found: dict[str, list[tuple[int, float]]] = {}
    for batch in batches:
        rows = [(ms, float(v)) for ms, v in zip(batch.ms, batch.values, strict=True)]
        found.setdefault(batch.series.labels[1], []).extend(rows)
    return found


def remote_of(receiver: ScriptedReceiver, **more: Any) -> RemoteWrite:
    """Return the configuration for a receiver."""
    return RemoteWrite(url=receiver.url, **more)


# --- a real Prometheus ----------------------------------------------------------------


@NEEDS_PROMETHEUS
@pytest.mark.parametrize("storage", ["", OUT_OF_ORDER], ids=["in order", "window"])
async def test_prometheus_has_what_was_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, storage: str
) -> None:
    """Every sample comes back as it was; what is too old takes nothing down with it.

    Prometheus 2.42 answers 400 to what is too old, or 500 if it takes some of it.
    """
    first_ms = NOW_MS - 30_000
    steps = [
        [
            batch_of("1", range(start, start + 250)),
            batch_of("2", range(start, start + 250, 3)),
        ]
        for start in range(first_ms, first_ms + 20_000, 250)
    ]
    async with prometheus(
        tmp_path, storage, "--web.enable-remote-write-receiver"
    ) as database:
        await database.until_ready()
        remote = RemoteWrite(
            url=f"{database.url}/api/v1/write",
            batch_samples=3_000,
            extra_labels={"job": "sent"},
        )
        assert (await ask(remote)).answer is delivery.Answer.TAKEN
        async with sending(remote) as sender:
            for step in steps:
                sender.offer(*step)
            await sender.until_empty()
            batches = [batch for step in steps for batch in step]
            assert sender.sent == sum(map(len, batches))
            old = batch_of("3", range(first_ms - 7_200_000, first_ms - 7_199_900))
            late = [batch_of(shard, range(NOW_MS, NOW_MS + 50)) for shard in "1245"]
            # In one request, which their age would forbid.
            monkeypatch.setattr(delivery, "SPAN_MS", 10**10)
            sender.offer(old, *late)
            await sender.until_empty()
        rows = await database.ask('loadprobe_cell_errors{job="sent", cluster="db"}[3h]')
    found = {
        row["metric"]["shard"]: [(round(t * 1000), float(v)) for t, v in row["values"]]
        for row in rows
    }
    assert found == points_of(*batches, *late)
    assert sender.dropped == {"rejected": 100}


# --- receivers that are not well ------------------------------------------------------


async def test_errors_that_pass_cost_nothing() -> None:
    """5xx, 429 and 408 are tried again; every sample is taken once, by time."""
    script = [Said(503), Said(429, headers={"Retry-After": "0"}), Said(500), Said(408)]
    async with ScriptedReceiver(*script) as receiver:
        async with sending(remote_of(receiver, batch_samples=40)) as sender:
            batches = [batch_of("1", range(100)), batch_of("2", range(100))]
            sender.offer(*batches)
            await sender.until_empty()
        assert receiver.points == points_of(*batches)
    assert sender.counts["retries_total",] == 4
    assert (sender.sent, sender.dropped) == (200, {})
    headers = receiver.requests[0].headers
    assert headers["Content-Encoding"] == "snappy"
    assert headers["Content-Type"] == "application/x-protobuf"
    assert headers["X-Prometheus-Remote-Write-Version"] == "0.1.0"
    assert headers["User-Agent"].startswith("loadprobe/")


async def test_the_receiver_may_ask_for_a_pause() -> None:
    """Retry-After is waited for, though pauses would be shorter."""
    script = [Said(429, headers={"Retry-After": "1"})]
    async with ScriptedReceiver(*script) as receiver:
        async with sending(remote_of(receiver)) as sender:
            began_s = asyncio.get_running_loop().time()
            sender.offer(batch_of("1", range(10)))
            await sender.until_empty()
        assert asyncio.get_running_loop().time() - began_s >= 1.0


async def test_a_receiver_that_is_away_costs_the_oldest_only(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """While nobody listens the newest are kept; who comes back gets them."""
    caplog.set_level(logging.INFO, remote_write.__name__)
    receiver = ScriptedReceiver(port=free_port())
    remote = remote_of(receiver, queue_samples=1_000, batch_samples=100)
    async with sending(remote) as sender:
        batches = [batch_of("1", range(s, s + 250)) for s in range(0, 5_000, 250)]
        for batch in batches:
            sender.offer(batch)
        await until(lambda: sender.writer.problem is not None, what="a problem")
        assert "cannot be reached" in str(sender.writer.problem)
        dropped = sender.dropped["queue_full"]
        assert 3_800 <= dropped <= 4_000
        assert sender.counts["lag_seconds",] >= 1
        async with receiver:
            await sender.until_empty()
            await until(lambda: sender.writer.problem is None, what="no problem")
        taken = receiver.points["1"]
    assert sender.sent + dropped == 5_000 == len(taken) + dropped
    assert taken[-1_000:] == points_of(*batches)["1"][-1_000:]
    assert sender.counts["lag_seconds",] == 0
    events = [record.message for record in caplog.records]
    assert events == ["remote_write_fails", "remote_write_works"]


async def test_a_receiver_that_is_slow_holds_up_nobody() -> None:
    """Requests without an answer in time are sent again; taking samples in is quick."""
    async with ScriptedReceiver(Said(after_s=5.0), Said(after_s=5.0)) as receiver:
        async with sending(remote_of(receiver, timeout_ms=150)) as sender:
            sender.offer(batch_of("1", range(100)))
            await until(lambda: len(receiver.requests) == 1, what="a request")
            sender.offer(batch_of("1", range(100, 200)))
            await sender.until_empty()
            assert sender.counts["retries_total",] == 2
        assert receiver.points == points_of(batch_of("1", range(200)))


async def test_what_was_stored_without_an_answer_is_told_apart() -> None:
    """A repeated request that is rejected as one that is there is no loss."""
    stored: set[tuple[int, float]] = set()

    def judge(_: Request, series: Decoded) -> Said:
        points = {point for _, samples in series for point in samples}
        is_there = bool(points & stored)
        stored.update(points)
        return Said(400, "out of order sample") if is_there else Said(after_s=5.0)

    async with ScriptedReceiver(judge=judge) as receiver:
        remote = remote_of(receiver, timeout_ms=150)
        async with sending(remote) as sender:
            sender.offer(batch_of("1", range(20)))
            await sender.until_empty()
    assert sender.dropped == {"repeated": 20}


async def test_one_bad_series_stands_alone() -> None:
    """On a 400 the request is halved until only what is wrong is dropped."""

    def judge(_: Request, series: Decoded) -> Said:
        is_bad = any(("shard", "07") in labels for labels, _ in series)
        return Said(400, "label value too strange") if is_bad else Said()

    async with ScriptedReceiver(judge=judge) as receiver:
        async with sending(remote_of(receiver)) as sender:
            batches = [batch_of(f"{n:02}", range(20)) for n in range(12)]
            sender.offer(*batches)
            await sender.until_empty()
        assert receiver.points == points_of(*batches[:7], *batches[8:])
    assert sender.dropped == {"rejected": 20}
    assert "label value too strange" in str(sender.writer.problem)


async def test_a_refusal_drops_the_request() -> None:
    """A login that is not taken is no reason to ask for ever."""
    async with ScriptedReceiver(Said(403), Said(404)) as receiver:
        async with sending(remote_of(receiver, batch_samples=10)) as sender:
            sender.offer(batch_of("1", range(30)))
            await sender.until_empty()
        assert receiver.points == points_of(batch_of("1", range(20, 30)))
    assert sender.dropped == {"refused": 20}
    assert sender.counts["retries_total",] == 0


async def test_a_redirect_is_not_followed() -> None:
    """A login goes where the configuration says, and nowhere else."""
    async with ScriptedReceiver(Said(307, headers={"Location": "/x"})) as receiver:
        async with sending(remote_of(receiver)) as sender:
            sender.offer(batch_of("1", range(3)))
            await sender.until_empty()
        assert [request.path for request in receiver.requests] == ["/api/v1/write"]
    assert sender.dropped == {"refused": 3}


# --- logins and secrets ---------------------------------------------------------------


async def test_secrets_are_read_anew_and_never_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A token may be renewed; a receiver that repeats it does not get it logged."""
    caplog.set_level(logging.DEBUG)

    def judge(request: Request, _: Decoded) -> Said:
        login = request.headers["Authorization"]
        is_right = login == "Bearer renewed"
        return Said() if is_right else Said(503, f"{'x' * 250} wrong: {login}")

    path = tmp_path / "token"
    path.write_text(f"{SECRET}\n")
    async with ScriptedReceiver(judge=judge) as receiver:
        remote = remote_of(receiver, bearer_token_file=str(path))
        async with sending(remote) as sender:
            sender.offer(batch_of("1", range(3)))
            await until(lambda: sender.writer.problem is not None, what="a problem")
            assert SECRET[:8] not in str(sender.writer.problem)
            path.unlink()
            await until(lambda: sender.counts["retries_total",] > 3, what="retries")
            path.write_text("renewed\n")
            await sender.until_empty()
    assert sender.sent == 3
    assert "remote_write_fails" in caplog.text
    shown = caplog.text + str([vars(record) for record in caplog.records])
    assert SECRET[:8] not in shown
    assert SECRET[:8] not in str(msgspec.to_builtins(remote))


async def test_tls_with_certificates_on_both_sides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The receiver is verified, and sees our certificate and our login."""
    monkeypatch.setenv("RW_PASSWORD", "pä:ss")
    authority, stranger = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    stranger.cert_pem.write_to_path(str(tmp_path / "other.pem"))
    ours = authority.issue_cert("probe.example.com")
    ours.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    ours.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    async with ScriptedReceiver(tls=context) as receiver:
        remote = remote_of(
            receiver,
            username="me",
            password_env="RW_PASSWORD",
            ca_file=str(tmp_path / "ca.pem"),
            cert_file=str(tmp_path / "cert.pem"),
            key_file=str(tmp_path / "key.pem"),
        )
        reply = await ask(remote)
        assert reply.answer is delivery.Answer.TAKEN, reply.text
        (request,) = receiver.requests
        assert request.headers["Authorization"] == "Basic bWU6cMOkOnNz"
        wrong = msgspec.structs.replace(remote, ca_file=str(tmp_path / "other.pem"))
        reply = await ask(wrong)
        assert reply.answer is delivery.Answer.BUSY
        assert "certificate" in reply.text.lower()
        nobody = msgspec.structs.replace(remote, cert_file=None, key_file=None)
        reply = await ask(nobody)
        assert reply.answer is delivery.Answer.NONE
        assert len(receiver.requests) == 1


async def test_a_password_that_is_sent_back_is_not_shown(tmp_path: Path) -> None:
    """Neither as it is, nor as it went over the wire."""
    path = tmp_path / "password"
    path.write_text("hunter2\n")
    texts = ["user me, password hunter2?", "Basic bWU6aHVudGVyMg== ?"]
    async with ScriptedReceiver(*(Said(400, text) for text in texts)) as receiver:
        remote = remote_of(receiver, username="me", password_file=str(path))
        for _ in texts:
            reply = await ask(remote)
            assert reply.text.startswith("the receiver sent our login back")


# --- the end --------------------------------------------------------------------------


async def test_the_last_samples_are_sent_at_the_end() -> None:
    """What came in last is sent by the flush, also what was being tried."""
    async with ScriptedReceiver(Said(after_s=5.0)) as receiver:
        async with sending(remote_of(receiver)) as sender:
            sender.offer(batch_of("1", range(10)))
            await until(lambda: len(receiver.requests) == 1, what="a request")
        sender.offer(batch_of("1", range(10, 20)))
        await sender.writer.flush()
        assert receiver.points == points_of(batch_of("1", range(20)))
    assert (sender.sent, sender.dropped) == (20, {})


@pytest.mark.parametrize(
    "make",
    [
        lambda: ScriptedReceiver(judge=lambda _r, _s: Said(after_s=60.0)),
        lambda: ScriptedReceiver(judge=lambda _r, _s: Said(503)),
    ],
    ids=["hangs", "is broken"],
)
async def test_the_end_does_not_wait_for_ever(
    make: Callable[[], ScriptedReceiver], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flush is limited; what is left then is counted."""
    monkeypatch.setattr(remote_write, "FLUSH_S", 0.3)
    async with make() as receiver:
        sender = Sender(remote_of(receiver))
        sender.offer(batch_of("1", range(10)))
        async with asyncio.timeout(5.0):
            await sender.writer.flush()
    assert (sender.sent, sender.dropped) == (0, {"ended": 10})
    assert sender.counts["queue_samples",] == 0
