"""Cost of an arrival as workers and shards grow, at the same rate.

Workers grow on real servers. Shards grow on a scripted cluster, all of whose nodes are
one process: twenty real servers would compete with what is measured.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from statistics import median

from benchmarks import wire
from benchmarks.blocks import Blocks, Say, run_blocks
from benchmarks.document import Curve, Found
from benchmarks.measurement import WORKERS, Target
from benchmarks.rows import Limit, Row
from benchmarks.wire import Probed
from loadprobe.config import keys as config
from tests.scripted.server import ScriptedCluster

_WORKERS, _SHARDS = (10, 200, 2_000), (1, 5, 20)
_RATE_PER_S = 2_000
_FLAT = Limit(2.0)
_MB = 1e6


def run(target: Target, *, repeats: int, seconds: float, say: Say) -> Found:
    """Measure both.

    Args:
        target: the servers.
        repeats: number of blocks.
        seconds: length of one measurement.
        say: takes lines of progress.
    """
    by_workers = {
        f"{count:,} workers": partial(wire.probe, target, _lane(count), seconds=seconds)
        for count in _WORKERS
    }
    by_shards = {
        f"{count} shard{'s' * (count > 1)}": partial(_probe_shards, count, seconds)
        for count in _SHARDS
    }
    jobs = by_workers | by_shards
    blocks = run_blocks(jobs, repeats=repeats, say=say, tell=_tell)
    return Found.of(
        [*_rows(blocks, by_workers), *_rows(blocks, by_shards)],
        [
            *_curves(blocks, "workers", list(zip(_WORKERS, by_workers, strict=True))),
            *_curves(blocks, "shards", list(zip(_SHARDS, by_shards, strict=True))),
        ],
    )


def _lane(workers: int) -> config.Lane:
    return config.Lane(name=wire.LANE, workers=workers, rate_per_s=_RATE_PER_S)


def _probe_shards(shards: int, seconds: float) -> Probed:
    async def measure() -> Probed:
        async with ScriptedCluster(shards=shards) as cluster:
            target = Target(cluster.host, cluster.port, None, None, "scripted", 0)
            return await asyncio.to_thread(
                wire.probe, target, _lane(WORKERS), seconds=seconds
            )

    return asyncio.run(measure())


def _rows(blocks: Blocks[Probed], jobs: Mapping[str, object]) -> list[Row]:
    first, *_, last = jobs
    rows: list[Row] = []
    for name in jobs:
        rows += [
            blocks.row_of(name, f"{name}: CPU per arrival", "us", _cost),
            blocks.row_of(name, f"{name}: RSS of the probe", "MB", _rss_mb),
        ]
    for what, read in (("CPU per arrival", _cost), ("RSS of the probe", _rss_mb)):
        rows.append(
            blocks.row(
                f"{what}, {last} / {first}",
                "x",
                partial(_ratio, read=read, last=last, first=first),
                _FLAT,
            )
        )
    return rows


def _ratio(
    block: Mapping[str, Probed],
    *,
    read: Callable[[Probed], float],
    last: str,
    first: str,
) -> float:
    return read(block[last]) / read(block[first])


def _cost(probed: Probed) -> float:
    return probed.measured.cpu_us_per_op


def _rss_mb(probed: Probed) -> float:
    return probed.probe_rss_bytes / _MB


def _tell(probed: Probed) -> str:
    return f"{_cost(probed):.1f} us CPU/arrival, {_rss_mb(probed):.1f} MB"


def _curves(
    blocks: Blocks[Probed], what: str, jobs: Sequence[tuple[int, str]]
) -> list[Curve]:
    curves = []
    for label, read in (
        ("CPU, us per arrival", _cost),
        ("RSS of the probe, MB", _rss_mb),
    ):
        points = []
        for count, job in jobs:
            values = blocks.values_of(job, read)
            if values:
                points.append((float(count), median(values)))
        if points:
            curves.append(Curve("growth", label, f"by {what}", tuple(points)))
    return curves
