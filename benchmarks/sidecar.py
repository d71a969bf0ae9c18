"""The whole program beside an application: CPU and memory of all its processes."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from benchmarks.blocks import Say
from benchmarks.command import Command, running
from benchmarks.document import Curve, Found
from benchmarks.measurement import WORKERS, BenchmarkError, Target
from benchmarks.processes import Usage, read_rss_bytes, read_usage
from benchmarks.rows import Limit, Row
from loadprobe.clock import NS_PER_S, mono_now_ns
from loadprobe.config import keys as config

_RATE_PER_S = 1_000
_SAMPLES = 60
_SETTLE_S = 2.0
_SCRAPE_EVERY_S = 15.0
_STRETCHES = 10
_MB = 1e6
_CPU, _MEMORY, _FLAT, _NONE = Limit(15.0), Limit(150.0), Limit(1.05), Limit(0)
_SETTLED = Limit(1.02)


@dataclass(frozen=True, slots=True)
class Sample:
    """What all processes have used and hold at a time of the run."""

    at_s: float
    usage: Usage
    supervisor_rss_bytes: int


def run(target: Target, *, length_s: float, say: Say) -> Found:
    """Measure one run, which Prometheus would scrape every 15 s.

    Args:
        target: the servers.
        length_s: how long.
        say: takes lines of progress.
    """
    lane = config.Lane(name="load", workers=WORKERS, rate_per_s=_RATE_PER_S)
    say(f"sidecar: {length_s:g} s")
    samples, unanswered = sample(target, [lane], length_s=length_s)
    rows = _rows(samples, length_s)
    rows.append(Row.of("sidecar: scrapes without an answer", "", [unanswered], _NONE))
    return Found.of(rows, _curves(samples))


def sample(
    target: Target, lanes: Sequence[config.Lane], *, length_s: float
) -> tuple[list[Sample], int]:
    """Run the command, and read again and again what all its processes have used.

    Args:
        target: the servers.
        lanes: its load.
        length_s: how long.

    Returns:
        What was read, and how many scrapes were not answered.
    """
    with running(target.as_config(), *lanes) as command:
        time.sleep(_SETTLE_S)
        samples: list[Sample] = []
        start_ns = mono_now_ns()
        scraped_s, unanswered = 0.0, 0
        for number in range(_SAMPLES + 1):
            due_s = length_s * number / _SAMPLES
            while (now_s := (mono_now_ns() - start_ns) / NS_PER_S) < due_s:
                if now_s - scraped_s >= _SCRAPE_EVERY_S:
                    scraped_s = now_s
                    unanswered += not _is_answered(command)
                time.sleep(min(1.0, due_s - now_s))
            at_s = (mono_now_ns() - start_ns) / NS_PER_S
            usage = read_usage(command.pid)
            samples.append(Sample(at_s, usage, read_rss_bytes(command.pid)))
        command.stop()
    return samples, unanswered


def _is_answered(command: Command) -> bool:
    try:
        command.fetch("/metrics")
    except BenchmarkError:
        return False
    return True


def _rows(samples: Sequence[Sample], length_s: float) -> list[Row]:
    name = f"sidecar, {WORKERS} workers at {_RATE_PER_S:,}/s over {length_s:g} s"
    thirds = len(samples) // 3
    first, last = samples[:thirds], samples[-thirds:]
    growth = median(_rss_mb(last)) / median(_rss_mb(first))
    pss_mb = [sample.usage.pss_bytes / _MB for sample in samples]
    return [
        Row.of(
            f"{name}: CPU of all processes, of one core", "%", shares(samples), _CPU
        ),
        Row.of(
            f"{name}: RSS of all processes, highest",
            "MB",
            [max(_rss_mb(samples))],
            _MEMORY,
        ),
        Row.of(f"{name}: RSS, last third / first third", "x", [growth], _FLAT),
        Row.of(
            f"{name}: RSS of the supervisor, at the end / at half",
            "x",
            [_second_half([s.supervisor_rss_bytes for s in samples])],
            _SETTLED,
        ),
        Row.of(f"{name}: PSS (shared pages counted once)", "MB", pss_mb),
        Row.of(f"{name}: processes", "", [samples[-1].usage.processes]),
    ]


def _second_half(sizes: Sequence[int]) -> float:
    """Return how much grew in the second half, by medians of a tenth of the course."""
    tenth, half = max(1, len(sizes) // 10), len(sizes) // 2
    return median(sizes[-tenth:]) / median(sizes[half : half + tenth])


def shares(samples: Sequence[Sample]) -> list[float]:
    """Return the share of one core in each of some equal stretches, in percent."""
    marks = samples[:: len(samples) // _STRETCHES]
    return [_share(before, after) for before, after in pairwise(marks)]


def _share(before: Sample, after: Sample) -> float:
    used_s = after.usage.cpu_seconds - before.usage.cpu_seconds
    return 100 * used_s / (after.at_s - before.at_s)


def _rss_mb(samples: Sequence[Sample]) -> list[float]:
    return [sample.usage.rss_bytes / _MB for sample in samples]


def _curves(samples: Sequence[Sample]) -> list[Curve]:
    """Return the course of a run, by minutes."""
    cpu = [(b.at_s / 60, _share(a, b)) for a, b in pairwise(samples)]
    rss = [(s.at_s / 60, s.usage.rss_bytes / _MB) for s in samples]
    pss = [(s.at_s / 60, s.usage.pss_bytes / _MB) for s in samples]
    alone = [(s.at_s / 60, s.supervisor_rss_bytes / _MB) for s in samples]
    return [
        Curve("sidecar", "CPU, % of one core", "all processes", tuple(cpu)),
        Curve("sidecar", "memory, MB", "RSS", tuple(rss)),
        Curve("sidecar", "memory, MB", "PSS", tuple(pss)),
        Curve("sidecar", "memory, MB", "RSS, supervisor alone", tuple(alone)),
    ]
