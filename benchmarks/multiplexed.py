"""Many operations on few connections, beside one outstanding operation a connection."""

from collections.abc import Callable, Iterator
from functools import partial

from benchmarks import redis_benchmark, wire
from benchmarks.blocks import Block, Blocks, Say, run_blocks
from benchmarks.document import Found
from benchmarks.measurement import WORKERS, Case, Measurement, Target
from benchmarks.rows import Limit, Row

_PIPELINE, _DEEP_WORKERS = 16, 50
_ALONE = f"{WORKERS} workers with a connection each"
_SHARED = f"{WORKERS} workers on 1 connection a shard"
_DEEP = f"{_DEEP_WORKERS} workers x {_PIPELINE} outstanding"
_WIRE, _COMPILED = "wire", "wire compiled"
_RB = f"redis-benchmark -c {_DEEP_WORKERS} -P {_PIPELINE}"
_FIVE = Limit(5.0, is_floor=True)
_PAYS = Limit(1.2, is_floor=True)


def run(target: Target, *, repeats: int, seconds: float, say: Say) -> Found:
    """Measure by TCP and TLS; the rows say how many operations a CPU second makes.

    Args:
        target: the servers.
        repeats: number of blocks.
        seconds: length of one measurement.
        say: takes lines of progress.
    """
    own = (_WIRE, _COMPILED) if wire.is_compiled_there() else (_WIRE,)
    jobs: dict[str, Callable[[], Measurement]] = {}
    for tls in (False, True):
        for tool in own:
            jobs |= _jobs(target, tool, tls=tls, seconds=seconds)
        deep = Case(tls=tls, workers=_DEEP_WORKERS, pipeline=_PIPELINE)
        jobs[_name(_RB, tls=tls)] = partial(
            redis_benchmark.measure, target, deep, seconds=seconds
        )
    blocks = run_blocks(jobs, repeats=repeats, say=say)
    rows: list[Row] = []
    for tls in (False, True):
        rival = _name(_RB, tls=tls)
        rows.append(blocks.row_of(rival, f"{rival}: CPU per op", "us", _cost))
        for tool in own:
            rows += _rows(blocks, tool, tls=tls)
    return Found.of(rows)


def _jobs(
    target: Target, tool: str, *, tls: bool, seconds: float
) -> dict[str, Callable[[], Measurement]]:
    usual = Case(tls=tls)
    deep = Case(tls=tls, workers=_DEEP_WORKERS, pipeline=_PIPELINE)
    lanes = {
        _ALONE: wire.closed_lane(usual),
        _SHARED: wire.closed_lane(usual, connections=1),
        _DEEP: wire.closed_lane(deep),
    }

    def measure(kind: str) -> Measurement:
        compiled = tool == _COMPILED
        lane = lanes[kind]
        return wire.probe(target, lane, seconds=seconds, compiled=compiled).measured

    return {_name(f"{tool}, {kind}", tls=tls): partial(measure, kind) for kind in lanes}


def _rows(blocks: Blocks[Measurement], tool: str, *, tls: bool) -> Iterator[Row]:
    """Yield the rows of one kind of loop."""
    alone = _name(f"{tool}, {_ALONE}", tls=tls)
    yield blocks.row_of(alone, f"{alone}: CPU per op", "us", _cost)
    for kind in (_SHARED, _DEEP):
        job = _name(f"{tool}, {kind}", tls=tls)
        yield blocks.row_of(job, f"{job}: CPU per op", "us", _cost)
        rivals: list[tuple[str, str, Limit | None]] = [
            (alone, "a connection each", _FIVE)
        ]
        if kind == _DEEP:
            rivals.append((_name(_RB, tls=tls), _RB, None))
        if tool == _COMPILED:
            rivals.append((_name(f"{_WIRE}, {kind}", tls=tls), "not compiled", _PAYS))
        for rival, label, limit in rivals:
            read = partial(_gain, job=job, rival=rival)
            name = f"{job}: ops per CPU second / {label}"
            yield blocks.row(name, "x", read, limit)


def _name(kind: str, *, tls: bool) -> str:
    return f"{kind}, {'TLS' if tls else 'TCP'}"


def _gain(block: Block[Measurement], *, job: str, rival: str) -> float:
    return block[job].ops_per_cpu_s / block[rival].ops_per_cpu_s


def _cost(measured: Measurement) -> float:
    return measured.cpu_us_per_op
