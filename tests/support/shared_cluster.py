"""A cluster that tests share, though each of them changes it."""

from contextlib import AsyncExitStack
from typing import Any

from loadprobe.local.cluster.cluster import LocalCluster
from loadprobe.local.cluster.formation import agree
from loadprobe.local.cluster.layout import slots_of
from tests.support.kept_keys import KEYS, fill, kept


class SharedCluster:
    """Give every test a cluster in the same state, with all keys that are kept.

    It is the same one as long as tests leave it as they found it, else a new one. Node
    group ids may differ: one may have gone, and another one come. So may roles.

    Args:
        settings: how the cluster is made.
    """

    def __init__(self, **settings: Any) -> None:
        self._settings = settings
        self._running = AsyncExitStack()
        self._cluster: LocalCluster | None = None
        self._state: object = None

    async def get(self) -> LocalCluster:
        """Return the cluster, for the next test."""
        if self._cluster is None or not await self._is_unchanged(self._cluster):
            await self.end()
            self._cluster = await self._running.enter_async_context(
                LocalCluster(**self._settings)
            )
            await fill(self._cluster)
            self._state = _state(self._cluster)
        return self._cluster

    async def end(self) -> None:
        """End the cluster, if there is one."""
        await self._running.aclose()

    async def _is_unchanged(self, cluster: LocalCluster) -> bool:
        return (
            _state(cluster) == self._state
            and (not cluster.cluster_mode or await agree(cluster.nodes))
            and await kept(cluster) == KEYS
        )


def _state(cluster: LocalCluster) -> object:
    return (
        cluster.tls_mode,
        cluster.access,
        cluster.source,
        [(len(each.nodes), len(slots_of(each.slots))) for each in cluster.shards],
        len(cluster.live_nodes),
    )
