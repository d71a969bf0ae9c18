"""When the supervisor judges, and when what it judged is written down."""

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from loadprobe.clock import NS_PER_MS, NS_PER_S
from loadprobe.core.judging.aggregate import Aggregate
from loadprobe.core.judging.lanes import LaneInfo
from loadprobe.outputs.folder.folder import RunFolder
from loadprobe.probe.messages import ProbeSnapshot
from loadprobe.run.hearing import Hearing, Listeners
from loadprobe.run.run import LOOK_S
from loadprobe.run.sealing import Sealing
from loadprobe.signals import Stopping
from tests.support.recorded import Recorded

_LOOK_MS = round(LOOK_S * 1000)


def heard(hearing: Hearing, process: int) -> None:
    """Have a process say that there is nothing."""
    columns = {"blocks": [], "lanes": [], "stalls": [], "lag_ns": b"", "gc_ns": []}
    figures = dict.fromkeys(
        ("seq", "taken_ns", "watermark_ns", "cpu_ns", "rss_bytes"), 0
    )
    hearing.take(ProbeSnapshot(process=process, **columns, **figures))  # type: ignore[arg-type]


def test_there_is_news_once_all_have_told_something() -> None:
    """What was sealed goes as far as the slowest; those that wait to begin are left."""
    lanes = [LaneInfo("tcp", False, (0, 1, 2), 250 * NS_PER_MS)]
    hearing = Hearing(Aggregate(lanes), Listeners(), on_topology=lambda *_: None)
    for process in (0, 1):
        hearing.begin(process, 0)
    for _ in range(3):
        hearing.seal()
        assert not hearing.news.is_set()
        heard(hearing, 1)
        heard(hearing, 1)
        assert not hearing.news.is_set(), "one of them said nothing"
        heard(hearing, 0)
        assert hearing.news.is_set()


async def test_who_waits_for_news_hears_of_the_end() -> None:
    """A signal sets what is waited for, as long as it is waited for."""
    stopping, news, later = Stopping(), asyncio.Event(), asyncio.Event()
    with stopping.setting(later):
        pass
    with stopping.setting(news):
        await asyncio.sleep(0)
        assert not news.is_set()
        stopping.event.set()
        async with asyncio.timeout(10):
            await news.wait()
    assert not later.is_set()


@given(looks_ms=st.lists(st.integers(1, _LOOK_MS), min_size=1, max_size=40))
def test_nothing_that_was_sealed_waits_for_a_second(looks_ms: list[int]) -> None:
    """Whenever there is news, at most half a second apart: it is written in time."""
    now_ns = 0
    written: list[int] = []

    def take(_folder: RunFolder, _line: object) -> None:
        written.append(recorded.aggregate.sealed_until_ns)

    defaults = Sealing.__init__.__kwdefaults__
    with (
        TemporaryDirectory() as name,
        patch.dict(defaults, now_ns=lambda: now_ns),
        patch.object(RunFolder, "add_sealed", take),
    ):
        recorded = Recorded(Path(name), dark=(0, 0))
        sealed: list[tuple[int, int]] = []
        for look_ms in looks_ms:
            now_ns += look_ms * NS_PER_MS
            waited = [until for at, until in sealed if at <= now_ns - NS_PER_S]
            assert not waited or written[-1] >= max(waited)
            recorded.measure(now_ns, every_ns=look_ms * NS_PER_MS)
            sealed.append((now_ns, recorded.aggregate.sealed_until_ns))
        recorded.conclude()
