"""How late arrivals are sent, and whether a high rate is held for a minute."""

from collections.abc import Callable, Sequence
from functools import partial
from statistics import median

from benchmarks import wire
from benchmarks.blocks import Blocks, Say, run_blocks
from benchmarks.document import Curve, Found
from benchmarks.measurement import KEYS, Target
from benchmarks.rows import Limit, Row
from benchmarks.wire import QUANTILES, Probed
from loadprobe.config import keys as config

_RATE_PER_S, _WORKERS = 3_000, 300
_HIGH_RATE_PER_S, _HIGH_S, _QUICK_HIGH_S = 20_000, 60.0, 3.0
_P50, _P99, _MAX = (QUANTILES.index(q) for q in (0.5, 0.99, 1.0))
_LONG_ENOUGH_S = 1.0
_IN_TIME_MS = Limit(1.5)
_ALL = Limit(0.999, is_floor=True)
_NONE = Limit(0)


def run(target: Target, *, repeats: int, seconds: float, say: Say) -> Found:
    """Measure by TCP and TLS at the usual rate, and once by TCP at the high one.

    Args:
        target: the servers.
        repeats: number of blocks.
        seconds: length of one measurement at the usual rate.
        say: takes lines of progress.
    """
    jobs: dict[str, Callable[[], Probed]] = {
        _name(tls=tls): partial(
            wire.probe, target, _lane(_RATE_PER_S, tls=tls), seconds=seconds
        )
        for tls in (False, True)
    }
    usual = run_blocks(jobs, repeats=repeats, say=say, tell=_tell)
    high_s = _HIGH_S if seconds > _LONG_ENOUGH_S else _QUICK_HIGH_S
    name = f"open loop, {_HIGH_RATE_PER_S:,}/s over {high_s:g} s"
    high = run_blocks(
        {
            name: partial(
                wire.probe, target, _lane(_HIGH_RATE_PER_S, tls=False), seconds=high_s
            )
        },
        repeats=1,
        say=say,
        tell=_tell,
    )
    rows = [row for job in jobs for row in _lateness(usual, job, _IN_TIME_MS)]
    rows += [
        high.row_of(name, f"{name}: served / planned", "x", _served, _ALL),
        high.row_of(name, f"{name}: failed", "", lambda p: p.failed, _NONE),
        high.row_of(name, f"{name}: left out", "", lambda p: p.skipped, _NONE),
        high.row_of(name, f"{name}: blind", "ms", lambda p: p.blind_ms),
        *_lateness(high, name, None),
        high.row_of(name, f"{name}: CPU", "us/arrival", _cost),
        high.row_of(name, f"{name}: busy cores", "", lambda p: p.busy_cores),
    ]
    curves = [
        curve
        for blocks, name in (*((usual, job) for job in jobs), (high, name))
        if (curve := _curve(blocks, name)) is not None
    ]
    return Found.of(rows, curves)


def _lane(rate_per_s: float, *, tls: bool) -> config.Lane:
    return config.Lane(
        name=wire.LANE, tls=tls, workers=_WORKERS, rate_per_s=rate_per_s, keys=KEYS
    )


def _name(*, tls: bool) -> str:
    transport = "TLS" if tls else "TCP"
    return f"open loop, {_RATE_PER_S:,}/s on {_WORKERS} workers, {transport}"


def _tell(probed: Probed) -> str:
    late = probed.lateness_ms
    return (
        f"{probed.served:,} of {probed.planned:,} served, lateness p99 "
        f"{late[_P99]:.2f} ms, max {late[_MAX]:.2f} ms, blind {probed.blind_ms:.0f} ms"
    )


def _served(probed: Probed) -> float:
    return probed.served / probed.planned


def _cost(probed: Probed) -> float:
    return probed.measured.cpu_us_per_op


def _lateness(blocks: Blocks[Probed], job: str, limit: Limit | None) -> Sequence[Row]:
    return [
        blocks.row_of(job, f"{job}: lateness p50", "ms", lambda p: p.lateness_ms[_P50]),
        blocks.row_of(
            job, f"{job}: lateness p99", "ms", lambda p: p.lateness_ms[_P99], limit
        ),
        blocks.row_of(job, f"{job}: lateness max", "ms", lambda p: p.lateness_ms[_MAX]),
    ]


def _curve(blocks: Blocks[Probed], job: str) -> Curve | None:
    """Return lateness by the share of arrivals that are later, in percent."""
    points = []
    for at, quantile in enumerate(QUANTILES[:-1]):
        values = blocks.values_of(job, lambda p, at=at: p.lateness_ms[at])  # type: ignore[misc]
        if values:
            points.append((100 * (1 - quantile), median(values)))
    label = job.removeprefix("open loop, ")
    return Curve("lateness", "sent - due", label, tuple(points)) if points else None
