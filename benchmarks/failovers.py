"""Planned failovers under load: nothing may be lost or stale, and the probe not grow.

``python -m benchmarks.failovers [COUNT]``: 20 of them, one shard after the other, on
one cluster of three shards with a replica each, with a lane by TCP and a lane by TLS.
Every failover renews the connections of all workers. Needs a server with TLS. Exit
status: 0 when nothing was lost, stale or wrong, all that was written was read back and
memory stayed as it was, else 1.
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

import uvloop

from benchmarks.rows import Limit, Row, render
from loadprobe.clock import NS_PER_MS
from loadprobe.core.verdict.incidents import dark_time
from loadprobe.local.cluster.cluster import LocalCluster
from tests.support.failing_over import fail_over_in_turn
from tests.support.running import (
    Trial,
    config_of,
    measuring,
    small_lane,
    target_of,
)

_SHARDS = 3
_NODE_TIMEOUT_S = 1.0
_PAUSE_S = 0.5
_LANE = {"rate_per_s": 1_000.0, "keys": 3_000, "read_ratio": 0.5}
_TCP_WORKERS, _TLS_WORKERS = 50, 200
_NONE = Limit(0)
_FLAT = Limit(1.02)
_MB = 1e6
_ARENA_MB = 2**20 / _MB
"""Python takes its memory in arenas of this size: that one more comes is no growth."""


@dataclass(slots=True)
class Failovers:
    """What a run of failovers came to.

    Args:
        trial: what was measured.
        took_ms: how long each failover took.
        rss_mb: memory of the probe at the end of each.
    """

    trial: Trial
    took_ms: list[float] = field(default_factory=list)
    rss_mb: list[float] = field(default_factory=list)


async def measure(count: int) -> Failovers:
    """Fail over so many times under load."""
    lanes = (
        small_lane("tcp", workers=_TCP_WORKERS, **_LANE),
        small_lane("tls", workers=_TLS_WORKERS, tls=True, **_LANE),
    )
    async with (
        LocalCluster(
            shards=_SHARDS,
            replicas_per_shard=1,
            node_timeout_ms=round(_NODE_TIMEOUT_S * 1_000),
        ) as cluster,
        measuring(config_of(target_of(cluster), *lanes)) as trial,
    ):
        found = Failovers(trial)

        def tell(shard: str, took_s: float) -> None:
            found.took_ms.append(took_s * 1_000)
            found.rss_mb.append(sum(trial.rss_bytes.values()) / _MB)
            print(
                f"failover {len(found.took_ms)} of {shard}: {took_s:.2f} s, "
                f"the probe has {found.rss_mb[-1]:.1f} MB",
                file=sys.stderr,
            )

        await asyncio.sleep(_PAUSE_S)
        await fail_over_in_turn(
            cluster,
            count,
            node_timeout_s=_NODE_TIMEOUT_S,
            pause_s=_PAUSE_S,
            tell=tell,
        )
    return found


def rows_of(found: Failovers) -> list[Row]:
    """Return the figures; those with a target decide."""
    trial, took_ms = found.trial, found.took_ms
    summary = trial.verdict().summary
    written = sum(result.checked for result in trial.measurement.read_backs)
    unread = sum(result.unread for result in trial.measurement.read_backs)
    lost = sum(result.lost for result in trial.measurement.read_backs)
    rows = [
        Row.of("failovers", "", [len(took_ms)]),
        Row.of("failover: duration", "ms", took_ms),
        *_growth_rows(found.rss_mb),
        Row.of("keys written and read back", "", [written], Limit(1, is_floor=True)),
        Row.of("keys not read back", "", [unread], _NONE),
        Row.of("lost writes", "", [lost], _NONE),
        Row.of("stale reads", "", [trial.stale], _NONE),
        Row.of("wrong replies", "", [summary.wrong], _NONE),
    ]
    for lane in ("tcp", "tls"):
        own = [o for o in trial.results.outages if o.scope.lane == lane]
        dark = dark_time(own).estimate_ns / NS_PER_MS / max(1, len(took_ms))
        totals = [t for s, t in trial.results.scope_totals.items() if s.lane == lane]
        rows += [
            Row.of(f"{lane}: served", "", [sum(t.served for t in totals)]),
            Row.of(f"{lane}: failed", "", [sum(t.failed for t in totals)]),
            Row.of(f"{lane}: dark per failover", "ms", [dark]),
        ]
    return rows


def _growth_rows(rss_mb: Sequence[float]) -> list[Row]:
    """Return the memory of the probe, and its growth in the second half."""
    later = rss_mb[len(rss_mb) // 2 :]
    return [
        Row.of("RSS of the probe", "MB", rss_mb),
        Row.of(
            "RSS, last less an arena / first of the later half",
            "x",
            [(later[-1] - _ARENA_MB) / later[0]],
            _FLAT,
        ),
    ]


async def _run(count: int) -> int:
    rows = rows_of(await measure(count))
    print(render(rows))
    return 1 if any(row.is_missed for row in rows) else 0


def _count() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.failovers")
    parser.add_argument("count", nargs="?", type=int, default=20, help="failovers")
    count: int = parser.parse_args().count
    if count < 1:
        parser.error(f"{count} failovers cannot be made: give 1 or more")
    return count


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sys.exit(runner.run(_run(_count())))
