"""What a scrape costs: both pages, for six shards on two lanes. No load is needed.

For twenty shards also what it does to the loop of the supervisor meanwhile.
"""

import asyncio
import gc
import random
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import product
from typing import TypeVar

import uvloop
from prometheus_client import CollectorRegistry

from benchmarks.document import Found
from benchmarks.measurement import Target
from benchmarks.rows import Limit, Row
from loadprobe.clock import NS_PER_MS, NS_PER_S, ClockPair
from loadprobe.core.judging.aggregate import Aggregate
from loadprobe.core.judging.columns import Block, Failure, Scope
from loadprobe.core.judging.lanes import LaneInfo
from loadprobe.core.judging.ms_log import WINDOW_SAMPLES, MsLog, MsWindow
from loadprobe.core.judging.ms_samples import SampleCutter
from loadprobe.core.judging.outcome import ErrorClass, OpKind, Outcome
from loadprobe.core.verdict.attribution import Cause
from loadprobe.outputs.metrics.collector import CatalogueCollector
from loadprobe.outputs.metrics.exposition import Format
from loadprobe.outputs.metrics.ms_page import render_ms_page
from loadprobe.outputs.metrics.page import make_encoder, make_registry, make_renderer
from loadprobe.outputs.metrics.run_metrics import RunMetrics

_SHARDS, _MANY_SHARDS, _LANES, _SERVED_S = 6, 20, ("tcp", "tls"), 3
_ERRORS = [error for error in ErrorClass if error is not ErrorClass.NONE]
_DENSE_S, _SLAB_MS = 60, 250
_BEGIN_NS = NS_PER_S
_REPEATS = 20
_TURN_S = 0.001
_T = TypeVar("_T")


def run(
    target: Target, *, repeats: int, seconds: float, say: Callable[[str], None]
) -> Found:
    """Return the rows; ``target`` and ``seconds`` are not needed.

    Args:
        target: the servers.
        repeats: number of blocks.
        seconds: length of one measurement.
        say: takes lines of progress.
    """
    del target, seconds
    say("filling the pages")
    registry = make_registry(CatalogueCollector(_metrics(_SHARDS)))
    window, log = _dense()
    dense = window.show()
    rows: list[Row] = []
    for form in Format:
        name = f"/metrics as {form.name.lower()}"
        encode, _ = make_encoder(form)
        body, times = _timed(partial(encode, registry), repeats)
        lines = body.count(b"\n") - body.count(b"\n#")
        rows += [
            Row.of(f"{name}, render", "ms", times, Limit(50.0)),
            Row.of(f"{name}, size", "bytes", [len(body)]),
            Row.of(f"{name}, samples", "", [lines]),
        ]
        name = f"/metrics/ms as {form.name.lower()}, {WINDOW_SAMPLES:,} samples"
        body, times = _timed(
            partial(render_ms_page, dense, form, cluster="c", shift_ms=10**12),
            repeats,
        )
        rows += [
            Row.of(f"{name}, render", "ms", times),
            Row.of(f"{name}, size", "bytes", [len(body)]),
        ]
    rows += _many_shards(repeats)
    name = f"log after {_DENSE_S} s of 12 failing scopes"
    return Found.of(
        [
            *rows,
            Row.of(f"{name}, memory", "bytes", [log.size_bytes]),
            Row.of(f"{name}, samples lost", "", [log.gone]),
        ]
    )


def _many_shards(repeats: int) -> list[Row]:
    """Return what the loop notes of a page of every class of error."""
    metrics = _metrics(_MANY_SHARDS, errors=_ERRORS)
    name = f"/metrics, {_MANY_SHARDS} shards"
    _, times = _timed(metrics.snapshot, repeats)
    rows = [Row.of(f"{name}, snapshot in the loop", "ms", times)]
    gc.collect()
    gc.freeze()  # as the supervisor does
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        collector = CatalogueCollector(metrics, loop=runner.get_loop())
        registry = make_registry(collector)
        for form in Format:
            blocks = [runner.run(_beside(registry, form)) for _ in range(repeats)]
            gaps = [gap_ms for gap_ms, _ in blocks]
            times = [page_ms for _, page_ms in blocks]
            kind = f"{name} as {form.name.lower()}"
            rows += [
                Row.of(f"{kind}, render in a thread", "ms", times),
                Row.of(f"{kind}, longest gap in the loop", "ms", gaps, Limit(15.0)),
            ]
    gc.unfreeze()
    return rows


async def _beside(registry: CollectorRegistry, form: Format) -> tuple[float, float]:
    """Return the longest gap, and the median time of a page, in ms.

    The loop wants to do something every millisecond; the gap is between two turns.
    """
    render = make_renderer(registry)
    longest_ns = 0
    times: list[float] = []
    for _ in range(_REPEATS):
        start_ns = turn_ns = time.perf_counter_ns()
        page = asyncio.ensure_future(render(form.value))
        while not page.done():
            await asyncio.sleep(_TURN_S)
            before_ns, turn_ns = turn_ns, time.perf_counter_ns()
            longest_ns = max(longest_ns, turn_ns - before_ns)
        times.append((turn_ns - start_ns) / NS_PER_MS)
    return longest_ns / NS_PER_MS, sorted(times)[_REPEATS // 2]


def _timed(make: Callable[[], _T], repeats: int) -> tuple[_T, list[float]]:
    """Return what is made, and the median time of each block in ms."""
    medians: list[float] = []
    for _ in range(repeats):
        times: list[float] = []
        for _ in range(_REPEATS):
            start_ns = time.perf_counter_ns()
            made = make()
            times.append((time.perf_counter_ns() - start_ns) / NS_PER_MS)
        medians.append(sorted(times)[_REPEATS // 2])
    return made, medians


def _scopes(shard_count: int) -> list[Scope]:
    shards = [f"{number:04d}" for number in range(1, shard_count + 1)]
    kinds = (OpKind.READ, OpKind.WRITE)
    return [Scope(*parts) for parts in product(_LANES, shards, kinds)]


def _metrics(shard_count: int, *, errors: Sequence[ErrorClass] = ()) -> RunMetrics:
    """Return the metrics of some seconds in which everything was served.

    Args:
        shard_count: number of shards.
        errors: what arrivals of every scope failed with before, one after the other.
    """
    draw = random.Random(1)
    lanes = [LaneInfo(name, name == "tls", (0,), 250 * NS_PER_MS) for name in _LANES]
    aggregate = Aggregate(lanes)
    aggregate.start_process(0, _BEGIN_NS)
    blocks: dict[Scope, Block] = {}
    for scope in _scopes(shard_count):
        block = blocks[scope] = Block()
        for due in range(_BEGIN_NS, _BEGIN_NS + len(errors)):
            row = (Outcome.REFUSED, errors[due - _BEGIN_NS])
            block.add_failure(Failure(due, due, due, *row, due, due))
        for ms in range(_SERVED_S * 1000):
            due = _BEGIN_NS + ms * NS_PER_MS
            sent = due + draw.randrange(20_000, 500_000)
            block.add_served(due, sent, sent + int(draw.lognormvariate(12.5, 0.7)))
    end_ns = _BEGIN_NS + _SERVED_S * NS_PER_S
    aggregate.add(0, blocks, watermark_ns=end_ns)
    outages = aggregate.seal().closed
    clock = ClockPair(0, 10**18)
    metrics = RunMetrics("c", aggregate=aggregate, clock=clock)
    metrics.show_shards({scope.shard: 16_384 // shard_count for scope in blocks})
    for outage, cause in product(outages, Cause):
        metrics.count_outage(outage, cause=cause.value)
    for lane in _LANES:
        values_ns = [int(draw.lognormvariate(12.5, 0.7)) for _ in range(1000)]
        metrics.observe("connect_seconds", lane, values_ns=values_ns)
    for process in range(2):
        lags = [draw.randrange(1_000, 5_000_000) for _ in range(5_000)]
        metrics.observe("loop_lag_seconds", str(process), values_ns=lags)
    return metrics


def _dense() -> tuple[MsWindow, MsLog]:
    """Return the page and the log after a minute of nothing but failures."""
    log = MsLog()
    window = MsWindow(log)
    cutters = {scope: SampleCutter(scope) for scope in _scopes(_SHARDS)[:12]}
    for first in range(1000, 1000 + _DENSE_S * 1000, _SLAB_MS):
        failing = range(first, first + _SLAB_MS)
        dues = [ms * NS_PER_MS for ms in failing]
        row = (Outcome.REFUSED, ErrorClass.CLUSTERDOWN)
        failures = [Failure(due, due, due, *row, due, due) for due in dues]
        for cutter in cutters.values():
            samples = cutter.cut(failing, (), failures, ())
            log.add(samples, until_ms=first + _SLAB_MS)
        window.advance(first + _SLAB_MS)
    return window, log
