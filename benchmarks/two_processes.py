"""Two probe processes beside one, both with one connection a shard each."""

import os
from functools import partial

from benchmarks import wire
from benchmarks.blocks import Say, run_blocks
from benchmarks.document import Found
from benchmarks.measurement import WORKERS, Case, Target
from benchmarks.rows import Limit
from benchmarks.wire import Probed

_ONE, _TWO = "1 probe process", "2 probe processes"
_TARGET = Limit(1.7, is_floor=True)


def run(target: Target, *, repeats: int, seconds: float, say: Say) -> Found:
    """Measure throughput, and which part of the machine was busy.

    Args:
        target: the servers.
        repeats: number of blocks.
        seconds: length of one measurement.
        say: takes lines of progress.
    """
    jobs = {
        name: partial(
            wire.probe,
            target,
            wire.closed_lane(
                Case(workers=WORKERS * count), connections=count, processes=count
            ),
            seconds=seconds,
        )
        for name, count in ((_ONE, 1), (_TWO, 2))
    }
    blocks = run_blocks(jobs, repeats=repeats, say=say, tell=_tell)
    cores = len(os.sched_getaffinity(0))
    rows = [
        blocks.row_of(name, f"{name}, multiplexed: ops", "1/s", _ops) for name in jobs
    ]
    rows.append(
        blocks.row(
            f"{_TWO} / {_ONE}, multiplexed: ops",
            "x",
            lambda block: _ops(block[_TWO]) / _ops(block[_ONE]),
            _TARGET,
        )
    )
    for name in jobs:
        rows += [
            blocks.row_of(name, f"{name}: busy cores of {cores}", "", _busy),
            blocks.row_of(name, f"{name}: of these by the probes", "", _by_probes),
            blocks.row_of(name, f"{name}: of these by the servers", "", _by_servers),
        ]
    return Found.of(rows)


def _ops(probed: Probed) -> float:
    return probed.measured.ops_per_s


def _busy(probed: Probed) -> float:
    return probed.busy_cores


def _by_probes(probed: Probed) -> float:
    return probed.probe_cpu_s / probed.measured.seconds


def _by_servers(probed: Probed) -> float:
    return probed.server_cpu_s / probed.measured.seconds


def _tell(probed: Probed) -> str:
    return (
        f"{probed.measured}; cores: probes {_by_probes(probed):.2f}, servers "
        f"{_by_servers(probed):.2f}, all {probed.busy_cores:.2f}"
    )
