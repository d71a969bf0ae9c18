"""The page ``/metrics/ms``: single milliseconds, with the time at which they were due.

Every reader gets the same samples, however often it asks: they are sealed. A page can
be long, so it is written by a thread; what it shows is chosen before, in the loop.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from loadprobe.clock import NS_PER_MS, ClockPair
from loadprobe.core.judging.ms_log import MsWindow
from loadprobe.core.judging.ms_samples import MsSamples, MsSeries
from loadprobe.outputs.metrics.catalogue import MILLISECONDS
from loadprobe.outputs.metrics.exposition import (
    Format,
    choose_format,
    header,
    label_set,
    timed_lines,
)


def make_ms_renderer(
    window: MsWindow, *, clock: ClockPair, cluster: Callable[[], str]
) -> Callable[[str], Awaitable[tuple[bytes, str]]]:
    """Return a function from an Accept header to (body, content type).

    Args:
        window: what the page shows.
        clock: to give samples their UNIX time.
        cluster: returns the name of the target.
    """

    async def render(accept: str) -> tuple[bytes, str]:
        form = choose_format(accept)
        batches = window.show()
        # A constant distance: every millisecond has one timestamp, and no two have one.
        shift_ms = clock.to_wall(0) // NS_PER_MS
        page = await asyncio.to_thread(
            render_ms_page, batches, form, cluster=cluster(), shift_ms=shift_ms
        )
        return page, form.value

    return render


def render_ms_page(
    batches: Sequence[MsSamples], form: Format, *, cluster: str, shift_ms: int
) -> bytes:
    """Return samples as a page; those of a series stand together, by time.

    Args:
        batches: the samples; those of a series come by time.
        form: the format.
        cluster: name of the target.
        shift_ms: UNIX time of the monotonic zero.
    """
    by_series: dict[MsSeries, list[MsSamples]] = {}
    for batch in batches:
        by_series.setdefault(batch.series, []).append(batch)
    parts: list[str] = []
    for metric in MILLISECONDS:
        series = sorted(s for s in by_series if s.kind == metric.name)
        if series:
            parts.append(header(metric, form))
        for one in series:
            labels = label_set(metric, cluster, one.labels)
            samples = (
                (ms + shift_ms, value)
                for batch in by_series[one]
                for ms, value in zip(batch.ms, batch.values, strict=True)
            )
            parts.append(timed_lines(metric.full_name, labels, samples, form))
    return "".join([*parts, form.end]).encode()
