"""Measuring: whose silence is whose, and where the load ends."""

import asyncio

import pytest

from loadprobe import measurement as module
from loadprobe.config import Config, Lane, Target
from loadprobe.measurement import Measurement
from loadprobe.probe.messages import FromProbe, Snapshot

S = 1_000_000_000


class Clock:
    """A monotonic clock that is set by hand."""

    def __init__(self) -> None:
        self.now_ns = 100 * S

    def __call__(self) -> int:
        """Return the time."""
        return self.now_ns


class QuietProbe:
    """A probe process that takes what it is told and says nothing."""

    def __init__(self, _plan: object, **_callbacks: object) -> None:
        self.stopped_at_ns: int | None = None

    def start(self, _message: object) -> None:
        """Begin."""

    def stop(self, at_ns: int) -> None:
        """Note the end."""
        self.stopped_at_ns = at_ns

    def kill(self) -> None:
        """End."""


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Replace the clock, and the probe processes."""
    clock = Clock()
    monkeypatch.setattr(module, "mono_now_ns", clock)
    monkeypatch.setattr(module, "Probe", QuietProbe)
    return clock


def begun(clock: Clock) -> Measurement:
    """Return a measurement of one process whose load has begun."""
    measurement = Measurement(
        Config(target=Target(host="127.0.0.1"), lanes=(Lane(name="tcp"),))
    )
    clock.now_ns = measurement.begin()
    return measurement


def snapshot(watermark_ns: int) -> FromProbe:
    """Return a snapshot that says only how far everything is settled."""
    return Snapshot(
        process=0,
        seq=0,
        taken_ns=watermark_ns,
        watermark_ns=watermark_ns,
        blocks=[],
        lanes=[],
        stalls=[],
        lag_ns=b"",
        gc_ns=[],
        cpu_ns=0,
        rss_bytes=0,
    )


def look_for(measurement: Measurement, clock: Clock, seconds: int) -> None:
    """Seal four times a second, as a supervisor does."""
    for _ in range(4 * seconds):
        clock.now_ns += S // 4
        measurement.seal()


def blind_ns(measurement: Measurement, end_ns: int) -> int:
    """Return how long the lane was blind, all in all."""
    return measurement.aggregate.finish(end_ns).lane_totals["tcp"].blind_ns


def test_a_silent_process_is_blind(clock: Clock) -> None:
    """Sealing goes on without a process that says nothing for five seconds."""
    measurement = begun(clock)
    start_ns = clock.now_ns
    look_for(measurement, clock, 20)
    assert measurement.aggregate.sealed_until_ns == start_ns + 15 * S


def test_a_stopped_supervisor_does_not_make_data_blind(clock: Clock) -> None:
    """What the probes said while nobody looked is judged when it is heard."""
    measurement = begun(clock)
    look_for(measurement, clock, 1)
    clock.now_ns += 3600 * S
    look_for(measurement, clock, 1)
    measurement._take(snapshot(clock.now_ns))
    measurement.seal()
    assert measurement.aggregate.sealed_until_ns == clock.now_ns
    assert blind_ns(measurement, clock.now_ns) == 0


def test_silence_counts_again_after_a_pause(clock: Clock) -> None:
    """A process that stays silent after the supervisor is back is blind."""
    measurement = begun(clock)
    start_ns = clock.now_ns
    look_for(measurement, clock, 1)
    clock.now_ns += 60 * S
    look_for(measurement, clock, 7)
    assert measurement.aggregate.sealed_until_ns > start_ns + 60 * S


async def test_the_read_back_is_not_blind(clock: Clock) -> None:
    """After the end of the load silence is no blind time, and nothing is sealed."""
    measurement = begun(clock)
    look_for(measurement, clock, 2)
    end_ns = clock.now_ns
    reading_back = asyncio.Event()

    def meanwhile() -> None:
        if measurement.aggregate.watermark_ns(0) != end_ns + S:
            measurement._take(snapshot(end_ns + S))
        clock.now_ns += 4 * S
        assert measurement.seal().until_ns <= end_ns
        if clock.now_ns > end_ns + 10 * S:
            reading_back.set()

    async def probe() -> None:
        await reading_back.wait()

    ended_ns = await measurement.end(
        [asyncio.create_task(probe())], meanwhile=meanwhile
    )
    assert ended_ns == measurement.end_ns == end_ns
    assert measurement.aggregate.sealed_until_ns == end_ns // 1_000_000 * 1_000_000
    assert blind_ns(measurement, end_ns) == 0
