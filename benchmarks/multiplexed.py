"""Many operations on few connections, beside one outstanding operation a connection."""

from collections.abc import Callable
from functools import partial

from benchmarks import redis_benchmark, wire
from benchmarks.blocks import Block, Say, run_blocks
from benchmarks.document import Found
from benchmarks.measurement import WORKERS, Case, Measurement, Target
from benchmarks.rows import Limit, Row

_PIPELINE, _DEEP_WORKERS = 16, 50
_ALONE = f"wire, {WORKERS} workers with a connection each"
_SHARED = f"wire, {WORKERS} workers on 1 connection a shard"
_DEEP = f"wire, {_DEEP_WORKERS} workers x {_PIPELINE} outstanding"
_RB = f"redis-benchmark -c {_DEEP_WORKERS} -P {_PIPELINE}"
_FIVE = Limit(5.0, is_floor=True)


def run(target: Target, *, repeats: int, seconds: float, say: Say) -> Found:
    """Measure by TCP and TLS; the rows say how many operations a CPU second makes.

    Args:
        target: the servers.
        repeats: number of blocks.
        seconds: length of one measurement.
        say: takes lines of progress.
    """
    jobs: dict[str, Callable[[], Measurement]] = {}
    for tls in (False, True):
        jobs |= _jobs(target, tls=tls, seconds=seconds)
    blocks = run_blocks(jobs, repeats=repeats, say=say)
    rows: list[Row] = []
    for tls in (False, True):
        one, rival = _name(_ALONE, tls=tls), _name(_RB, tls=tls)
        for kind in (_SHARED, _DEEP):
            job = _name(kind, tls=tls)
            rows += [
                blocks.row_of(job, f"{job}: CPU per op", "us", _cost),
                blocks.row(
                    f"{job}: ops per CPU second / {one}",
                    "x",
                    partial(_gain, job=job, rival=one),
                    _FIVE,
                ),
            ]
        job = _name(_DEEP, tls=tls)
        rows += [
            blocks.row_of(rival, f"{rival}: CPU per op", "us", _cost),
            blocks.row(
                f"{job}: ops per CPU second / {rival}",
                "x",
                partial(_gain, job=job, rival=rival),
            ),
        ]
    return Found.of(rows)


def _jobs(
    target: Target, *, tls: bool, seconds: float
) -> dict[str, Callable[[], Measurement]]:
    usual = Case(tls=tls)
    deep = Case(tls=tls, workers=_DEEP_WORKERS, pipeline=_PIPELINE)

    def share() -> Measurement:
        lane = wire.closed_lane(usual, connections=1)
        return wire.probe(target, lane, seconds=seconds).measured

    return {
        _name(_ALONE, tls=tls): partial(wire.measure, target, usual, seconds=seconds),
        _name(_SHARED, tls=tls): share,
        _name(_DEEP, tls=tls): partial(wire.measure, target, deep, seconds=seconds),
        _name(_RB, tls=tls): partial(
            redis_benchmark.measure, target, deep, seconds=seconds
        ),
    }


def _name(kind: str, *, tls: bool) -> str:
    return f"{kind}, {'TLS' if tls else 'TCP'}"


def _gain(block: Block[Measurement], *, job: str, rival: str) -> float:
    return block[job].ops_per_cpu_s / block[rival].ops_per_cpu_s


def _cost(measured: Measurement) -> float:
    return measured.cpu_us_per_op
