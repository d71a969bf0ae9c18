"""One side of a comparison: many keys asked at once, wherever they are by now.

Redirections are followed, and what cannot be answered yet (a slot that is being moved,
a failover, a lost connection) is asked again. Only reads are sent.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from hiredis import ReplyError

from loadprobe.clock import NS_PER_S, mono_now_ns
from loadprobe.core.judging.outcome import ErrorClass
from loadprobe.core.parity.coverage import SlotSet, Walk
from loadprobe.core.topology.roles import Address
from loadprobe.core.topology.slots import slot_of
from loadprobe.drivers import resp
from loadprobe.drivers.errors import classify_reply
from loadprobe.drivers.wire.bulk import BulkCommand
from loadprobe.drivers.wire.dial import Dialer
from loadprobe.drivers.wire.redirect import parse_redirect
from loadprobe.errors import RunError
from loadprobe.parity.link import LinkLost, NodeLink
from loadprobe.parity.map import ClusterMap, SingleMap
from loadprobe.parity.retrying import PATIENCE_S, Retrying

REFRESH_NS = NS_PER_S // 5
"""The map is not asked for more often on account of redirections."""

_MOST_MOVES = 5
"""Redirections that are followed without a pause."""

_LATER = frozenset(
    {
        ErrorClass.CLUSTERDOWN,
        ErrorClass.TRYAGAIN,
        ErrorClass.LOADING,
        ErrorClass.MASTERDOWN,
    }
)

Columns = list[list[Any]]


class Side:
    """The source or the target.

    Args:
        name: "source" or "target", for messages.
        endpoint: where it is.
        dialer: opens connections.
        is_cluster: it is in cluster mode.
        renew: called before each connection (see ``NodeLink``).
        patience_s: how long what does not answer is tried again.
    """

    def __init__(
        self,
        name: str,
        endpoint: Address,
        dialer: Dialer,
        *,
        is_cluster: bool,
        renew: Callable[[], Awaitable[None]],
        patience_s: float = PATIENCE_S,
    ) -> None:
        self.name = name
        self.endpoint = endpoint
        self._dialer = dialer
        self._renew = renew
        self._patience_s = patience_s
        self._links: dict[Address, NodeLink] = {}
        self.map: ClusterMap | SingleMap = (
            ClusterMap(endpoint, self.link)
            if is_cluster
            else SingleMap(endpoint, self.link)
        )
        self._refreshing = asyncio.Lock()
        self._refreshed_ns = 0

    def link(self, address: Address) -> NodeLink:
        """Return the link to a node."""
        link = self._links.get(address)
        if link is None:
            link = self._links[address] = NodeLink(self._dialer, address, self._renew)
        return link

    def close(self) -> None:
        """End all connections."""
        for link in self._links.values():
            link.abort()

    def patience(self) -> Retrying:
        """Return patience with this side."""
        return Retrying(f"{self.name} {self.where}", self._patience_s)

    @property
    def where(self) -> str:
        """Return its endpoint for people."""
        return f"{self.endpoint[0]}:{self.endpoint[1]}"

    # --- who has what -----------------------------------------------------------------

    async def refresh(self) -> None:
        """Find out who has what by now.

        Raises:
            RunError: it cannot be found out for longer than there is patience.
        """
        patience = self.patience()
        begun_ns = mono_now_ns()
        async with self._refreshing:
            while self._refreshed_ns < begun_ns:
                try:
                    await self.map.refresh()
                except LinkLost as exc:
                    await patience.wait(str(exc))
                else:
                    self._refreshed_ns = mono_now_ns()

    async def lives(self) -> set[str]:
        """Return what tells the processes of its primaries from all others.

        Raises:
            LinkLost: one does not answer.
        """
        return {(await self.link(a).peer()).life for a in self.map.slots_by_owner}

    async def size(self) -> int:
        """Return how many keys there are; 0 if that is not told.

        Raises:
            LinkLost: a primary does not answer.
        """
        sizes = [
            (await self.link(address).batch(resp.encode(b"DBSIZE"), 1))[0]
            for address in self.map.slots_by_owner
        ]
        return sum(size for size in sizes if isinstance(size, int))

    async def standing(self, address: Address) -> tuple[str, SlotSet]:
        """Return which process a node is, and the slots that it owns alone.

        Raises:
            LinkLost: it does not answer.
        """
        owned = await self.map.owned(address)
        return (await self.link(address).peer()).life, owned

    async def scan(
        self, walk: Walk, address: Address, words: Sequence[bytes]
    ) -> tuple[bytes, list[bytes]] | None:
        """Return the next cursor of a walk and keys; None: the node is another process.

        Args:
            walk: says where to go on.
            address: its node.
            words: of SCAN after the cursor.

        Raises:
            LinkLost: the node does not answer, or not yet.
            RunError: it refuses.
        """
        command = resp.encode(b"SCAN", walk.cursor, *words)
        replies = await self.link(address).batch_in_life(command, 1, walk.life)
        if replies is None:
            return None
        reply: Any = replies[0]
        if isinstance(reply, ReplyError):
            self._refuse_unless_later(reply)
            raise LinkLost(f"{address[0]}:{address[1]}: {reply}")
        return reply[0], reply[1]

    # --- keys -------------------------------------------------------------------------

    async def ask(self, keys: Sequence[bytes], *commands: BulkCommand) -> Columns:
        """Return the replies to commands about keys: a list for each command.

        Error replies that say nothing of where a key is are among them.

        Raises:
            RunError: there is no answer for longer than there is patience, or the user
                may not ask this.
        """
        bulks = list(map(resp.encode_bulk, keys))
        columns: Columns = [[None] * len(keys) for _ in commands]
        left = list(range(len(keys)))
        patience, moves = self.patience(), 0
        while left:
            asking = _Asking(keys, bulks, commands, columns)
            await self._ask_once(asking, left)
            left = asking.redo
            moves += 1
            if asking.later is not None or (left and moves > _MOST_MOVES):
                await patience.wait(asking.later or "nodes send us to each other")
                await self.refresh()
            elif left:  # moved: the owner is known
                await self._refresh_soon()
        return columns

    async def _refresh_soon(self) -> None:
        if mono_now_ns() - self._refreshed_ns > REFRESH_NS:
            await self.refresh()

    async def _ask_once(self, asking: "_Asking", left: list[int]) -> None:
        groups: dict[Address | None, list[int]] = {}
        if isinstance(self.map, SingleMap):
            groups[self.map.primary] = left
        else:
            owner_of = self.map.owner_of
            for index in left:
                owner = owner_of[slot_of(asking.keys[index])]
                groups.setdefault(owner, []).append(index)
        nobody = groups.pop(None, None)
        if nobody is not None:
            asking.put_off(nobody, "no node serves the slots of some keys")
        if len(groups) == 1:
            ((address, indexes),) = groups.items()
            assert address is not None
            await self._ask_node(address, indexes, asking)
            return
        async with asyncio.TaskGroup() as group:
            for address, indexes in groups.items():
                assert address is not None
                group.create_task(self._ask_node(address, indexes, asking))

    async def _ask_node(
        self, address: Address, indexes: list[int], asking: "_Asking"
    ) -> None:
        bulks = [asking.bulks[index] for index in indexes]
        text = b"".join(command.of(bulks) for command in asking.commands)
        count = len(bulks)
        try:
            got = await self.link(address).batch(text, count * len(asking.commands))
        except LinkLost as exc:
            asking.put_off(indexes, str(exc))
            return
        for number, column in enumerate(asking.columns):
            replies = got[number * count : (number + 1) * count]
            for index, reply in zip(indexes, replies, strict=True):
                column[index] = reply
        if ReplyError in map(type, got):
            for index in indexes:
                for column in asking.columns:
                    if isinstance(column[index], ReplyError):
                        await self._redirect(index, column[index], address, asking)
                        break

    async def _redirect(
        self, index: int, error: ReplyError, address: Address, asking: "_Asking"
    ) -> None:
        """Go where an error reply sends us, if it does."""
        text = str(error)
        meant = classify_reply(text)
        if meant in (ErrorClass.MOVED, ErrorClass.ASK):
            place = parse_redirect(text, address[0])
            if isinstance(self.map, SingleMap) or place is None:
                raise RunError(
                    f"the {self.name} {self.where} is in cluster mode: it says {text}"
                )
            slot, host, port = place
            if meant is ErrorClass.MOVED:
                self.map.note_moved(slot, (host, port))
                asking.redo.append(index)
            else:
                await self._ask_asking(index, (host, port), asking)
            return
        if self._refuse_unless_later(error):
            asking.put_off([index], text)

    async def _ask_asking(
        self, index: int, address: Address, asking: "_Asking"
    ) -> None:
        """Ask the node that takes a slot over for one key of it."""
        bulk = [asking.bulks[index]]
        text = b"".join(resp.ASKING + command.of(bulk) for command in asking.commands)
        try:
            got = await self.link(address).batch(text, 2 * len(asking.commands))
        except LinkLost as exc:
            asking.put_off([index], str(exc))
            return
        replies = got[1::2]
        for column, reply in zip(asking.columns, replies, strict=True):
            column[index] = reply
            if isinstance(reply, ReplyError):
                meant = classify_reply(str(reply))
                if meant is not ErrorClass.OTHER:  # it has moved on since
                    asking.put_off([index], str(reply))
                    return

    def _refuse_unless_later(self, error: ReplyError) -> bool:
        """Tell whether an error passes by itself.

        Raises:
            RunError: it does not, and all else would be refused as well.
        """
        text = str(error)
        meant = classify_reply(text)
        if meant is ErrorClass.AUTH:
            raise RunError(
                f"the {self.name} {self.where} refuses: {text}; see docs/parity.md for "
                "what the user has to be allowed"
            )
        return meant in _LATER


class _Asking:
    """Questions that are under way.

    Attributes:
        redo: indexes of keys to be asked for again.
        later: why some of them cannot be answered yet; None: all can at once.
    """

    __slots__ = ("bulks", "columns", "commands", "keys", "later", "redo")

    def __init__(
        self,
        keys: Sequence[bytes],
        bulks: list[bytes],
        commands: Sequence[BulkCommand],
        columns: Columns,
    ) -> None:
        self.keys = keys
        self.bulks = bulks
        self.commands = commands
        self.columns = columns
        self.redo: list[int] = []
        self.later: str | None = None

    def put_off(self, indexes: list[int], why: str) -> None:
        """Have keys asked for again, after a pause."""
        self.redo += indexes
        self.later = why
