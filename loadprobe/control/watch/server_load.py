"""Asks the primaries how much they have to do, on connections of its own.

They are kept open: a server whose connections are all in use takes no new one.
"""

import asyncio
from collections.abc import Callable

from loadprobe.control.watch.node_views import NodeClient, NodeSilent
from loadprobe.control.watch.topology import TopologyWatch
from loadprobe.core.load.occupancy import ServerLoad
from loadprobe.core.topology.topology import Shard

POLL_S = 2.0

TakeLoad = Callable[[str, ServerLoad], None]
"""Called with the name of a shard, and what its primary tells."""


class ServerLoadWatch:
    """Has every primary asked, as long as anybody wants to know.

    Args:
        watch: knows the primaries, and how to log in.
        take: is told.
        is_wanted: whether to ask.
    """

    def __init__(
        self, watch: TopologyWatch, take: TakeLoad, *, is_wanted: Callable[[], bool]
    ) -> None:
        self._watch = watch
        self._take = take
        self._is_wanted = is_wanted
        self._clients: dict[tuple[str, int], NodeClient] = {}
        self._silent: dict[str, str] = {}

    @property
    def problem(self) -> str | None:
        """Return what the operator should know of it now."""
        if not self._silent:
            return None
        shard, reason = min(self._silent.items())
        return (
            f"the primary of shard {shard} does not tell what it has to do ({reason}): "
            "no ceiling holds there for connections and operations"
        )

    async def run(self) -> None:
        """Ask until cancelled."""
        try:
            while True:
                await self.look()
                await asyncio.sleep(POLL_S)
        finally:
            await self._close(set(self._clients))

    async def look(self) -> None:
        """Ask all of them once."""
        topology = self._watch.current
        shards = topology.shards if topology is not None and self._is_wanted() else ()
        primaries = {(each.primary.host, each.primary.port) for each in shards}
        await self._close(set(self._clients) - primaries)
        self._silent = {}
        async with asyncio.TaskGroup() as group:
            for shard in shards:
                group.create_task(self._ask(shard))

    async def _ask(self, shard: Shard) -> None:
        address = shard.primary.host, shard.primary.port
        client = self._clients.get(address)
        if client is None:
            client = self._clients[address] = self._watch.open_node(*address)
        try:
            self._take(shard.name, await client.server_load())
        except NodeSilent as silent:
            self._silent[shard.name] = str(silent)
            await self._close({address})  # the next one logs in as it is then

    async def _close(self, addresses: set[tuple[str, int]]) -> None:
        for address in addresses:
            await self._clients.pop(address).close()
