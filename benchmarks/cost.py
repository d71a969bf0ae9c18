"""CPU time of one operation in a closed loop: our own beside other load generators.

Blocks are interleaved (all tools by all cases, then again), because figures drift by up
to 40 % between blocks; ratios are taken inside a block, then their median.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import product
from statistics import median

from benchmarks import memtier, redis_benchmark, redis_py, wire
from benchmarks.blocks import Block, Blocks, Say, run_blocks
from benchmarks.document import Curve, Found
from benchmarks.measurement import VALUE_BYTES, WORKERS, Case, Measurement, Target, Tool
from benchmarks.rows import Limit, Row

_WIRE, _COMPILED = "wire", "wire compiled"
_RB, _MEMTIER = "redis-benchmark", "memtier"
_PY: dict[str, Tool] = {
    "redis-py": redis_py.measure,
    "redis-py on uvloop": redis_py.measure_on_uvloop,
}
_WORKERS, _SIZES = (50, WORKERS, 400), (VALUE_BYTES, 1024)
_TRANSPORTS = (False, True)
_PARITY, _FIVE = Limit(1.0), Limit(5.0, is_floor=True)
_Figures = Blocks[Measurement]


def run(target: Target, *, repeats: int, seconds: float, say: Say) -> Found:
    """Measure all tools.

    Args:
        target: the servers.
        repeats: number of blocks.
        seconds: length of one measurement.
        say: takes lines of progress.
    """
    tools = _tools()
    cases = [Case(*parts) for parts in product(_TRANSPORTS, _WORKERS, _SIZES)]
    jobs: dict[str, Callable[[], Measurement]] = {
        _job(name, case): partial(tool, target, case, seconds=seconds)
        for case in cases
        for name, tool in (tools | (_PY if _is_usual(case) else {})).items()
    }
    blocks = run_blocks(jobs, repeats=repeats, say=say)
    rows = [row for case in cases for row in _rows(blocks, case, list(tools))]
    for own in _own(tools):
        rows += _tls_rows(blocks, own)
    return Found.of(rows, list(_curves(blocks, cases, list(tools))))


def _tools() -> dict[str, Tool]:
    """Return the tools that run every case."""
    tools: dict[str, Tool] = {_RB: redis_benchmark.measure, _WIRE: wire.measure}
    if wire.is_compiled_there():
        tools[_COMPILED] = partial(wire.measure, compiled=True)
    if memtier.is_installed():
        tools[_MEMTIER] = memtier.measure
    return tools


def _own(tools: Iterable[str]) -> list[str]:
    """Return the tools that are loadprobe, compiled or not."""
    return [name for name in tools if name in (_WIRE, _COMPILED)]


def _is_usual(case: Case) -> bool:
    return case == Case(tls=case.tls)


def _job(name: str, case: Case) -> str:
    return f"{name}, {case.label}"


def _rows(blocks: _Figures, case: Case, tools: list[str]) -> Iterator[Row]:
    """Yield the rows of a case: the cost of each tool, then ours beside the others'."""
    rivals = list(_PY) if _is_usual(case) else []
    for name in (*tools, *rivals):
        job = _job(name, case)
        yield blocks.row_of(job, f"{job}: CPU per op", "us", _cost)
    for job in [_job(own, case) for own in _own(tools)]:
        for name in tools:
            if name not in _own(tools):
                yield blocks.row(
                    f"{job}: CPU per op / {name}",
                    "x",
                    _ratio(_cost, job, _job(name, case)),
                    _PARITY,
                )
        for name in rivals:
            yield blocks.row(
                f"{job}: ops per CPU second / {name}",
                "x",
                _ratio(lambda m: m.ops_per_cpu_s, job, _job(name, case)),
                _FIVE,
            )


def _tls_rows(blocks: _Figures, tool: str) -> Iterator[Row]:
    """Yield what TLS costs us beside what it costs redis-benchmark."""
    for workers, size in product(_WORKERS, _SIZES):
        plain, secure = Case(False, workers, size), Case(True, workers, size)
        own = _ratio(_cost, _job(tool, secure), _job(tool, plain))
        rival = _ratio(_cost, _job(_RB, secure), _job(_RB, plain))

        def both(
            block: Block[Measurement],
            own: Callable[[Block[Measurement]], float] = own,
            rival: Callable[[Block[Measurement]], float] = rival,
        ) -> float:
            return own(block) / rival(block)

        label = plain.label.removeprefix("TCP, ")
        name = f"{tool}, {label}: TLS/TCP cost / {_RB}'s TLS/TCP cost"
        yield blocks.row(name, "x", both, _PARITY)


def _ratio(
    read: Callable[[Measurement], float], job: str, rival: str
) -> Callable[[Block[Measurement]], float]:
    return lambda block: read(block[job]) / read(block[rival])


def _cost(measured: Measurement) -> float:
    return measured.cpu_us_per_op


def _curves(blocks: _Figures, cases: list[Case], tools: list[str]) -> Iterator[Curve]:
    """Yield CPU time and throughput by the number of workers."""
    figures: tuple[tuple[str, Callable[[Measurement], float]], ...] = (
        ("cost", _cost),
        ("throughput", lambda m: m.ops_per_s / 1000),
    )
    for (figure, read), tls, size, tool in product(figures, _TRANSPORTS, _SIZES, tools):
        own = [case for case in cases if (case.tls, case.value_bytes) == (tls, size)]
        points = []
        for case in own:
            job = _job(tool, case)
            values = blocks.values_of(job, read)
            if values:
                points.append((float(case.workers), median(values)))
        if points:
            panel = ", ".join(own[0].label.split(", ")[::2])
            yield Curve(figure, panel, tool, tuple(points))
