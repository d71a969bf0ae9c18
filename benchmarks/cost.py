"""Cost of one operation in a closed loop: redis-benchmark, redis-py, and our own.

Blocks are interleaved (all tools by all transports, then again), because figures drift
by up to 40 % between blocks; ratios are taken inside a block, then their median.
"""

import importlib
import importlib.util
from collections.abc import Callable
from itertools import product
from typing import cast

from benchmarks import redis_benchmark, redis_py
from benchmarks.measurement import WORKERS, Measurement, Target, Tool
from benchmarks.rows import Limit, Row

Block = dict[tuple[str, bool], Measurement]
"""(tool, by TLS) -> its run in this block."""

_RB, _PY, _PY_UV, _WIRE = "redis-benchmark", "redis-py", "redis-py on uvloop", "wire"
_WIRE_MODULE = "benchmarks.wire"


def run(
    target: Target, *, repeats: int, seconds: float, say: Callable[[str], None]
) -> list[Row]:
    """Measure all tools and return the table's rows.

    Args:
        target: the servers.
        repeats: number of blocks.
        seconds: length of one measurement.
        say: takes lines of progress.
    """
    tools = _tools()
    blocks: list[Block] = []
    for number in range(repeats):
        block: Block = {}
        for (name, tool), tls in product(tools.items(), (False, True)):
            measured = tool(target, tls=tls, workers=WORKERS, seconds=seconds)
            block[name, tls] = measured
            say(
                f"block {number + 1}/{repeats}  {_label(name, tls=tls)}: "
                f"{measured.ops_per_s:,.0f} ops/s, "
                f"{measured.cpu_us_per_op:.1f} us CPU/op"
            )
        blocks.append(block)
    rows = [
        Row.of(f"{_label(name, tls=tls)}, {figure}", unit, [read(b) for b in blocks])
        for name, tls in product(tools, (False, True))
        for figure, unit, read in _figures(name, tls=tls)
    ]
    return rows + (_wire_rows(blocks) if _WIRE in tools else [])


def _tools() -> dict[str, Tool]:
    tools: dict[str, Tool] = {
        _RB: redis_benchmark.measure,
        _PY: redis_py.measure,
        _PY_UV: redis_py.measure_on_uvloop,
    }
    if importlib.util.find_spec(_WIRE_MODULE) is not None:
        tools[_WIRE] = cast("Tool", importlib.import_module(_WIRE_MODULE).measure)
    return tools


def _figures(
    name: str, *, tls: bool
) -> list[tuple[str, str, Callable[[Block], float]]]:
    return [
        ("throughput", "ops/s", lambda block: block[name, tls].ops_per_s),
        ("CPU per op", "us", lambda block: block[name, tls].cpu_us_per_op),
    ]


def _wire_rows(blocks: list[Block]) -> list[Row]:
    rows = []
    rivals = ((_RB, 1.0), (_PY, 0.2), (_PY_UV, 0.2))
    for tls, (rival, bound) in product((False, True), rivals):
        ratios = [
            block[_WIRE, tls].cpu_us_per_op / block[rival, tls].cpu_us_per_op
            for block in blocks
        ]
        name = f"{_label(_WIRE, tls=tls)}, CPU per op / {rival}"
        rows.append(Row.of(name, "x", ratios, Limit(bound)))
    tls_costs = [_tls_ratio(b, _WIRE) / _tls_ratio(b, _RB) for b in blocks]
    name = f"wire, TLS/TCP cost / {_RB}'s TLS/TCP cost"
    return [*rows, Row.of(name, "x", tls_costs, Limit(1.0))]


def _tls_ratio(block: Block, name: str) -> float:
    return block[name, True].cpu_us_per_op / block[name, False].cpu_us_per_op


def _label(name: str, *, tls: bool) -> str:
    return f"{name} {'TLS' if tls else 'TCP'}"
