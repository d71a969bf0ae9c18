"""What being scraped does to a run: lateness of arrivals with and without."""

import time
from functools import partial

from benchmarks.blocks import Say, run_blocks
from benchmarks.command import lateness_p99_ms, running
from benchmarks.document import Found
from benchmarks.measurement import WORKERS, Target
from benchmarks.rows import Limit
from benchmarks.servers import serving
from loadprobe.clock import NS_PER_S, mono_now_ns
from loadprobe.config import keys as config

_SHARDS, _RATE_PER_S = 6, 3_000
_PAGES = ("/metrics", "/metrics/ms")
_EVERY_S = 1.0
_LONGER = 2.0  # times as long as others: a p99 needs arrivals
_NO_EFFECT = Limit(1.1)


def run(target: Target, *, repeats: int, seconds: float, say: Say) -> Found:
    """Measure on a cluster of six shards of its own.

    Args:
        target: not needed.
        repeats: number of blocks.
        seconds: half the length of one measurement.
        say: takes lines of progress.
    """
    del target
    with serving(shards=_SHARDS) as six:
        jobs = {
            name: partial(_lateness, six, seconds=_LONGER * seconds, is_scraped=scraped)
            for name, scraped in (("not scraped", False), ("scraped", True))
        }
        blocks = run_blocks(jobs, repeats=repeats, say=say, tell=_tell)
    name = f"{_RATE_PER_S:,}/s on {_SHARDS} shards"
    return Found.of(
        [
            *(
                blocks.row_of(job, f"{name}, {job}: lateness p99", "ms", float)
                for job in jobs
            ),
            blocks.row(
                f"{name}: lateness p99 scraped each second / not",
                "x",
                lambda block: block["scraped"] / block["not scraped"],
                _NO_EFFECT,
            ),
        ]
    )


def _lateness(target: Target, *, seconds: float, is_scraped: bool) -> float:
    lane = config.Lane(name="load", workers=WORKERS, rate_per_s=_RATE_PER_S)
    with running(target.as_config(), lane) as command:
        until_ns = mono_now_ns() + int(seconds * NS_PER_S)
        while mono_now_ns() < until_ns:
            if is_scraped:
                for page in _PAGES:
                    command.fetch(page)
            time.sleep(_EVERY_S)
        return lateness_p99_ms(command.stop())


def _tell(lateness_ms: float) -> str:
    return f"lateness p99 {lateness_ms:.2f} ms"
