"""The ticker wakes up when it was asked to, and not before."""

import asyncio
import sys
from itertools import pairwise

import pytest

from loadprobe.clock import mono_now_ns
from loadprobe.probe.ticker import Ticker

MS = 1_000_000


@pytest.fixture(params=["timerfd", "loop"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Use both ways to wait: the one of Linux and the one of other systems."""
    name: str = request.param
    if name == "loop":
        monkeypatch.setattr(sys, "platform", "other")
    elif sys.platform != "linux":
        pytest.skip("there is no timerfd on this system")
    return name


async def test_it_calls_at_planned_times(kind: str) -> None:
    """Each call is told its plan and comes at or after it, until it is stopped."""
    calls: list[tuple[int, int]] = []
    finished = asyncio.Event()

    def callback(planned_ns: int, now_ns: int) -> int:
        calls.append((planned_ns, now_ns))
        if len(calls) == 5:
            ticker.stop()
            finished.set()
        return now_ns + 3 * MS

    start = mono_now_ns() + 5 * MS
    ticker = Ticker(callback)
    ticker.start(start)
    async with asyncio.timeout(20):
        await finished.wait()
    assert calls[0][0] == start
    for (_, before), (planned, now) in pairwise(calls):
        assert planned == before + 3 * MS
        assert now >= planned
    # Nothing is left that could call once more.
    for _ in range(20):
        await asyncio.sleep(0.001)
    assert len(calls) == 5


async def test_a_time_in_the_past_is_now(kind: str) -> None:
    """A plan that has passed already is called at once, with the plan as it was."""
    called = asyncio.get_running_loop().create_future()

    def callback(planned_ns: int, now_ns: int) -> int:
        if not called.done():
            called.set_result((planned_ns, now_ns))
        return now_ns + 1000 * MS

    past = mono_now_ns() - 50 * MS
    ticker = Ticker(callback)
    ticker.start(past)
    async with asyncio.timeout(20):
        planned, now = await called
    ticker.stop()
    assert planned == past
    assert now >= past + 50 * MS


async def test_stop_before_the_first_call(kind: str) -> None:
    """A ticker that is stopped in time never calls."""
    calls: list[int] = []

    def callback(planned_ns: int, now_ns: int) -> int:
        calls.append(now_ns)
        return now_ns + MS

    ticker = Ticker(callback)
    ticker.start(mono_now_ns() + 2 * MS)
    ticker.stop()
    for _ in range(10):
        await asyncio.sleep(0.001)
    assert calls == []
