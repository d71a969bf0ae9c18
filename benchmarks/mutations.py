"""How long each change of a local cluster takes, and what a raw prober sees of it.

``python -m benchmarks.mutations``: needs ``redis-server`` with TLS; rows for another
engine only if a Valkey 9 is there.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable

import uvloop

from benchmarks.rows import Limit, Row, render
from loadprobe.clock import NS_PER_S, mono_now_ns
from loadprobe.errors import PreflightError
from loadprobe.local.cluster.cluster import LocalCluster
from loadprobe.local.cluster.membership import add_replica, remove_replica
from loadprobe.local.cluster.passwords import set_password
from loadprobe.local.cluster.replacement import replace_shard
from loadprobe.local.cluster.resharding import rebalance, scale_in, scale_out
from loadprobe.local.cluster.servers import ServerBinary, find_engine
from loadprobe.local.cluster.transport import set_tls_mode
from tests.support.prober import probing, spread_keys

_PROBED = spread_keys(8)
_FILL_KEYS = 10_000
_AFTERMATH_S = 1.5  # what shows late, shows within a node timeout
_GAP = Limit(150.0)


class Bench:
    """Measure changes one after the other.

    Args:
        cluster: what is changed.
        label: begins the names of the rows.
    """

    def __init__(self, cluster: LocalCluster, label: str) -> None:
        self._cluster = cluster
        self._label = label
        self.rows: list[Row] = []
        self.failed = 0

    async def measure(
        self, name: str, change: Callable[[], Awaitable[object]], *, tls: bool
    ) -> None:
        """Make one change under probing."""
        async with probing(self._cluster, _PROBED, tls=tls) as prober:
            begun_ns = mono_now_ns()
            await change()
            took_s = (mono_now_ns() - begun_ns) / NS_PER_S
            await asyncio.sleep(_AFTERMATH_S)
        name = f"{self._label} {name}"
        failures = sum(prober.failures.values())
        self.failed += failures
        self.rows += [
            Row.of(f"{name}: duration", "s", [took_s]),
            Row.of(f"{name}: longest gap", "ms", [prober.longest_gap_ms], _GAP),
            Row.of(f"{name}: failed operations", "", [failures], Limit(0)),
        ]
        print(f"{name}: {took_s:.2f} s {dict(prober.failures)}", file=sys.stderr)


async def _fill(cluster: LocalCluster) -> None:
    for shard in cluster.shards:
        primary = await cluster.primary_of(shard.node_group_id)
        for first in range(0, _FILL_KEYS, 500):
            await primary.pipeline(
                [("SET", f"key:{n}", "x" * 64) for n in range(first, first + 500)]
            )


async def _with_tls(cluster: LocalCluster, bench: Bench) -> None:
    def to(mode: str) -> Callable[[], Awaitable[object]]:
        return lambda: set_tls_mode(cluster, mode)  # type: ignore[arg-type]

    await bench.measure("TLS none to preferred", to("preferred"), tls=False)
    await bench.measure("TLS preferred to required", to("required"), tls=True)
    await bench.measure("TLS required to preferred", to("preferred"), tls=True)
    await bench.measure("TLS preferred to none", to("none"), tls=False)
    await set_tls_mode(cluster, "preferred")


async def _shapes(
    cluster: LocalCluster, bench: Bench, *, tls: bool, newer: ServerBinary | None
) -> None:
    first = cluster.shards[0]

    def replace(server: ServerBinary | None) -> Callable[[], Awaitable[object]]:
        return lambda: replace_shard(
            cluster, first, server=server, on_step=lambda *_: None
        )

    await bench.measure("add replica", lambda: add_replica(cluster, first), tls=tls)
    await bench.measure(
        "remove replica",
        lambda: remove_replica(cluster, first, first.nodes[-1]),
        tls=tls,
    )
    await bench.measure("replace shard", replace(newer), tls=tls)
    for count in (3, 4):
        await bench.measure(
            f"scale out to {count} shards",
            lambda count=count: scale_out(cluster, count, on_progress=_ignore),  # type: ignore[misc]
            tls=tls,
        )
    await bench.measure(
        "scale in to 2 shards",
        lambda: scale_in(cluster, ["0003", "0004"], on_progress=_ignore),
        tls=tls,
    )
    await bench.measure(
        "rebalance", lambda: rebalance(cluster, on_progress=_ignore), tls=tls
    )
    for word, keep_old in (("rotate", True), ("set", False)):
        await bench.measure(
            f"{word} password",
            lambda keep_old=keep_old: set_password(  # type: ignore[misc]
                cluster, "a-new-password", keep_old=keep_old
            ),
            tls=tls,
        )


def _ignore(_: float) -> None:
    """Take no notice of progress."""


async def _run() -> int:
    rows: list[Row] = []
    failed = 0
    try:
        newer = find_engine("valkey", "9")
    except PreflightError as exc:
        print(exc, file=sys.stderr)
        newer = None
    async with LocalCluster(shards=2, tls=False) as cluster:
        await _fill(cluster)
        bench = Bench(cluster, cluster.server.engine)
        await _with_tls(cluster, bench)
        await _shapes(cluster, bench, tls=True, newer=None)
        rows += bench.rows
        failed += bench.failed
    if newer is not None:
        async with LocalCluster(shards=2, tls=False) as cluster:
            await _fill(cluster)
            second = cluster.shards[1]
            bench = Bench(cluster, "to valkey:")
            await bench.measure(
                "upgrade a shard",
                lambda: replace_shard(
                    cluster, second, server=newer, on_step=lambda *_: None
                ),
                tls=False,
            )
            await _shapes(cluster, bench, tls=False, newer=newer)
            rows += bench.rows
            failed += bench.failed
    print(render(rows))
    return 1 if failed else 0


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sys.exit(runner.run(_run()))
