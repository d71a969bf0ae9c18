"""What pages that watch do to a run: ``python -m benchmarks.watching``.

Lateness of arrivals and blind time of runs that nobody watches, and of runs that ten
live pages watch, in turn.
"""

import argparse
import threading
import time
import urllib.request
from collections.abc import Callable
from functools import partial
from http.client import HTTPResponse
from typing import NamedTuple

import msgspec

from benchmarks.blocks import run_blocks
from benchmarks.command import Command, running
from benchmarks.measurement import WORKERS, Target
from benchmarks.rows import Limit, Row, render
from benchmarks.servers import serving
from loadprobe.config import keys as config

PAGES = 10
_SHARDS, _RATE_PER_S = 3, 2_000
_NO_EFFECT = Limit(1.1)


class Found(NamedTuple):
    """What was found of one run.

    Args:
        lateness_ms: 99th percentile of how late arrivals were sent.
        blind_ms: time in which the probe did not look.
        told_bytes: what all pages together were told.
    """

    lateness_ms: float
    blind_ms: float
    told_bytes: int


def measure(*, seconds: float, repeats: int, say: Callable[[str], None]) -> list[Row]:
    """Return the rows.

    Args:
        seconds: length of each run.
        repeats: number of pairs of runs.
        say: takes lines of progress.
    """
    with serving(shards=_SHARDS) as target:
        jobs = {
            name: partial(_watched, target, seconds=seconds, pages=pages)
            for name, pages in (("nobody", 0), ("watched", PAGES))
        }
        blocks = run_blocks(jobs, repeats=repeats, say=say, tell=_tell)
    rows = [
        blocks.row_of(job, f"{job}: lateness p99", "ms", lambda each: each.lateness_ms)
        for job in jobs
    ]
    rows += [
        blocks.row_of(job, f"{job}: blind", "ms", lambda each: each.blind_ms)
        for job in jobs
    ]
    return [
        *rows,
        blocks.row_of(
            "watched",
            f"{PAGES} pages are told, each second and page",
            "kB",
            lambda each: each.told_bytes / PAGES / seconds / 1000,
        ),
        blocks.row(
            f"lateness p99, {PAGES} pages / nobody",
            "x",
            lambda block: block["watched"].lateness_ms / block["nobody"].lateness_ms,
            _NO_EFFECT,
        ),
    ]


def _watched(target: Target, *, seconds: float, pages: int) -> Found:
    lane = config.Lane(name="load", workers=WORKERS, rate_per_s=_RATE_PER_S)
    with running(target.as_config(), lane) as command:
        streams = [_Stream(command) for _ in range(pages)]
        time.sleep(seconds)
        summary = msgspec.json.decode(command.stop())
    observer = summary["observer"]
    return Found(
        observer["lateness_ms"]["p99"],
        observer["blind_ms"],
        sum(stream.told_bytes for stream in streams),
    )


class _Stream:
    """A page without a browser: it reads, and does nothing with it.

    Attributes:
        told_bytes: what it has read.
    """

    def __init__(self, command: Command) -> None:
        self.told_bytes = 0
        self._reply: HTTPResponse = urllib.request.urlopen(f"{command.url}/live")
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        while told := self._reply.read1(1 << 16):
            self.told_bytes += len(told)


def _tell(found: Found) -> str:
    return f"lateness p99 {found.lateness_ms:.2f} ms, blind {found.blind_ms:.0f} ms"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--repeats", type=int, default=5)
    asked = parser.parse_args()
    print(
        render(
            measure(
                seconds=asked.seconds,
                repeats=asked.repeats,
                say=lambda text: print(text, flush=True),
            )
        )
    )


if __name__ == "__main__":
    main()
