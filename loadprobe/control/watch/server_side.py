"""Asks servers what they have to do, each on one connection that is kept open.

Every server is asked at the turn of a second, by ``INFO`` and nothing else. One that
does not answer delays nobody, is simply absent, and proves nothing: what is judged
never depends on it. A kept connection is needed where it matters most: a server whose
connections are all in use takes no new one.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence

from loadprobe.clock import NS_PER_S, mono_now_ns
from loadprobe.control.watch.node_answers import NodeDenied, NodeSilent
from loadprobe.control.watch.node_views import NodeClient
from loadprobe.control.watch.topology import TopologyWatch
from loadprobe.core.load.occupancy import ServerLoad
from loadprobe.core.topology.server_side import (
    Placed,
    ServerAnswer,
    ServerRow,
    ServerSide,
)
from loadprobe.core.topology.topology import Node, Topology

MOST_A_SECOND = 60
"""Of more servers each is asked every second, third ... second."""

_DENIED_NS = 60 * NS_PER_S
"""Who may not ask a server asks it again after so long."""

_LATE_NS = 2_000_000
"""Timers wake up to a millisecond early; this is after the turn of the second."""

_FORGET_NS = 120 * NS_PER_S

TakeLoad = Callable[[str, ServerLoad], None]
"""Called with the name of a shard, and what its primary tells."""

TakeRows = Callable[[Sequence[ServerRow]], None]
"""Called with what servers told, about once a second."""

logger = logging.getLogger(__name__)


class ServerSideWatch:
    """Has servers asked, as long as anybody wants to know (see the module).

    Args:
        watch: knows the servers, and how to log in.
        take_load: is told of primaries.
        take_rows: is told of all.
        needs_load: whether a ceiling needs what primaries tell.
        needs_rows: whether all are to be asked.
        now_ns: monotonic clock.
    """

    def __init__(
        self,
        watch: TopologyWatch,
        take_load: TakeLoad,
        take_rows: TakeRows,
        *,
        needs_load: Callable[[], bool],
        needs_rows: Callable[[], bool],
        now_ns: Callable[[], int] = mono_now_ns,
    ) -> None:
        self._watch = watch
        self._take_load = take_load
        self._take_rows = take_rows
        self._needs_load = needs_load
        self._needs_rows = needs_rows
        self._now_ns = now_ns
        self._side = ServerSide()
        self._looks = 0
        self._clients: dict[Node, NodeClient] = {}
        self._asking: dict[Node, asyncio.Task[None]] = {}
        self._answers: dict[Placed, ServerAnswer] = {}
        self._silent: dict[str, str] = {}
        self._denied_ns: dict[Node, int] = {}

    @property
    def problem(self) -> str | None:
        """Return what the operator should know of it now."""
        if not self._silent or not self._needs_load():
            return None
        shard, reason = min(self._silent.items())
        return (
            f"the primary of shard {shard} does not tell what it has to do ({reason}): "
            "no ceiling holds there for connections and operations"
        )

    async def run(self) -> None:
        """Ask until cancelled; what was answered until then is passed on."""
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    self.look(group)
                    # Counters of a second are read where it ends.
                    rest_ns = NS_PER_S - self._now_ns() % NS_PER_S + _LATE_NS
                    await asyncio.sleep(rest_ns / NS_PER_S)
        finally:
            self._pass_on()
            for node in list(self._clients):
                await self._close(node)

    def look(self, group: asyncio.TaskGroup) -> None:
        """Pass on what was answered since the last time, and ask again."""
        now_ns = self._now_ns()
        self._pass_on()
        self._side.forget(now_ns - _FORGET_NS)
        nodes = self._wanted()
        shards = {shard for shard, _ in nodes.values()}
        self._silent = {k: v for k, v in self._silent.items() if k in shards}
        self._denied_ns = {
            node: at_ns
            for node, at_ns in self._denied_ns.items()
            if node in nodes and now_ns - at_ns < _DENIED_NS
        }
        for node in set(self._clients) - set(nodes) - set(self._asking):
            group.create_task(self._close(node))
        for node in self._of_this_turn(list(nodes)):
            if node not in self._asking and node not in self._denied_ns:
                shard, is_primary = nodes[node]
                asking = self._ask(node, shard, is_primary=is_primary)
                self._asking[node] = group.create_task(asking)
        self._looks += 1

    def _pass_on(self) -> None:
        """Pass on what was answered since the last time."""
        answers, self._answers = self._answers, {}
        rows = self._side.rows(answers)
        if rows and self._needs_rows():
            self._take_rows(rows)

    def _wanted(self) -> dict[Node, tuple[str, bool]]:
        """Return who is to be asked: the shard of each, and whether it is primary."""
        topology: Topology | None = self._watch.current
        if topology is None or not (self._needs_rows() or self._needs_load()):
            return {}
        found = {each.primary: (each.name, True) for each in topology.shards}
        if self._needs_rows():
            found |= {
                node: (each.name, False)
                for each in topology.shards
                for node in each.replicas
                if node not in found
            }
        return found

    def _of_this_turn(self, nodes: Sequence[Node]) -> Sequence[Node]:
        turns = max(1, -(-len(nodes) // MOST_A_SECOND))
        return nodes[self._looks % turns :: turns]

    async def _ask(self, node: Node, shard: str, *, is_primary: bool) -> None:
        try:
            client = self._clients.get(node)
            if client is None:
                client = self._watch.open_node(node.host, node.port)
                self._clients[node] = client
            answer = await client.server_side()
        except NodeSilent as silent:
            if is_primary:
                self._silent[shard] = str(silent)
            if isinstance(silent, NodeDenied):
                self._denied_ns[node] = self._now_ns()
                fields = {"lp_node": node.address, "lp_reason": str(silent)}
                logger.info("server_side_denied", extra=fields)
            await self._close(node)  # the next one logs in as it is then
        else:
            self._answers[shard, node.address] = answer
            if is_primary:
                self._silent.pop(shard, None)
                if self._needs_load():
                    self._take_load(shard, _load(answer))
        finally:
            self._asking.pop(node, None)

    async def _close(self, node: Node) -> None:
        client = self._clients.pop(node, None)
        if client is not None:
            await client.close()


def _load(answer: ServerAnswer) -> ServerLoad:
    return ServerLoad(answer.clients, answer.max_clients, answer.ops_per_s)
