"""Walking through all keys of one side, node by node, whatever becomes of the nodes.

While keys are looked at, SCAN goes ahead; a walk's cursor is where all before it has
been looked at, so that what is kept of it is true at any moment.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from loadprobe.clock import NS_PER_S, mono_now_ns
from loadprobe.core.parity.coverage import FIRST_CURSOR, Coverage, SlotSet, Walk
from loadprobe.core.parity.selection import Selection
from loadprobe.core.topology.roles import Address
from loadprobe.core.topology.slots import SLOTS, slot_of
from loadprobe.parity.link import LinkLost
from loadprobe.parity.side import Side

_COUNT = b"500"
_AHEAD = 3
"""Batches that are looked at while the next one is scanned."""

_STUCK_S = 60.0
"""Slots that are being moved for so long, with nothing else left, are given up."""

_PAUSE_S = 0.5
_CONFIRM_NS = NS_PER_S

Step = Callable[[list[bytes]], Awaitable[None]]


class Walking:
    """Walks through one side.

    Args:
        side: the side.
        coverage: how far it is; it is kept up to date.
        selection: which keys are wanted.
        step: looks at keys.
        stuck_s: see ``_STUCK_S``.
    """

    def __init__(
        self,
        side: Side,
        coverage: Coverage,
        selection: Selection,
        step: Step,
        *,
        stuck_s: float = _STUCK_S,
    ) -> None:
        self._side = side
        self._coverage = coverage
        self._selection = selection
        self._step = step
        self._stuck_s = stuck_s
        pattern = selection.pattern
        match = (b"MATCH", pattern) if pattern is not None else ()
        self._words = (*match, b"COUNT", _COUNT)

    async def run(self) -> None:
        """Walk until every slot is covered, or those that are left do not rest.

        Raises:
            RunError: a node does not answer any more, or refuses.
        """
        coverage = self._coverage
        moved_ns = mono_now_ns()
        while coverage.uncovered:
            before = coverage.uncovered
            owners = await self._owners()
            coverage.drop(coverage.walks.keys() - {_text(owner) for owner in owners})
            async with asyncio.TaskGroup() as group:
                for owner in owners:
                    group.create_task(self._walk_node(owner))
            coverage.rounds += 1
            if coverage.uncovered != before:
                moved_ns = mono_now_ns()
            elif mono_now_ns() - moved_ns > self._stuck_s * NS_PER_S:
                break
            else:
                await asyncio.sleep(_PAUSE_S)
        coverage.drop(list(coverage.walks))  # what they began is covered by others

    async def _owners(self) -> list[Address]:
        """Return the primaries that have slots which are not covered."""
        await self._side.refresh()
        uncovered = self._coverage.uncovered
        found = self._side.map.slots_by_owner
        return [owner for owner, slots in found.items() if slots & uncovered]

    async def _walk_node(self, address: Address) -> None:
        """Walk through a node, until its end or that of its time as a primary."""
        patience = self._side.patience()
        while True:
            try:
                life, owned = await self._side.standing(address)
                if not owned & self._coverage.uncovered:
                    return
                walk = self._coverage.begin(_text(address), life, owned)
                if await self._walk(walk, address):
                    after, owned = await self._side.standing(address)
                    if after == life:
                        self._coverage.end(walk, owned)
                        return
                patience.renew()
            except LinkLost as exc:
                await patience.wait(str(exc))
                if address not in await self._owners():
                    return

    async def _walk(self, walk: Walk, address: Address) -> bool:
        """Go on with a walk; tell whether it came to its end.

        It does not if the process is another one by now, or has lost all its slots.
        """
        slots = self._again()
        confirmed_ns = mono_now_ns()
        ahead: deque[tuple[bytes, int, asyncio.Task[None]]] = deque()
        scanned: Walk | None = replace(walk)
        lost: LinkLost | None = None
        async with asyncio.TaskGroup() as group:
            while scanned is not None or ahead:
                if scanned is None or len(ahead) > _AHEAD:
                    reached, count, task = ahead.popleft()
                    await task
                    walk.cursor = reached
                    walk.looked += count
                    continue
                try:
                    if mono_now_ns() - confirmed_ns > _CONFIRM_NS:
                        confirmed_ns = mono_now_ns()
                        life, owned = await self._side.standing(address)
                        if not self._coverage.confirm(walk, owned) or life != walk.life:
                            break
                    found = await self._side.scan(scanned, address, self._words)
                except LinkLost as exc:  # a group would wrap it
                    lost, found = exc, None
                if found is None:
                    break
                scanned.cursor, keys = found
                wanted = self._wanted(keys, slots)
                looking = group.create_task(self._look(wanted))
                ahead.append((scanned.cursor, len(wanted), looking))
                if scanned.cursor == FIRST_CURSOR:
                    scanned = None
            for _, _, task in ahead:
                task.cancel()
        if lost is not None:
            raise lost
        return scanned is None

    async def _look(self, keys: list[bytes]) -> None:
        if keys:
            await self._step(keys)

    def _again(self) -> frozenset[int] | None:
        """Return the slots to look at; None: all, as it is the first time."""
        return _members(self._coverage.uncovered) if self._coverage.rounds else None

    def _wanted(
        self, keys: Sequence[bytes], slots: frozenset[int] | None
    ) -> list[bytes]:
        wanted = self._selection.of(keys)
        if slots is None:
            return wanted
        return [key for key in wanted if slot_of(key) in slots]


def _members(slots: SlotSet) -> frozenset[int]:
    bits = f"{slots:0{SLOTS}b}"
    return frozenset(slot for slot in range(SLOTS) if bits[-1 - slot] == "1")


def _text(address: Address) -> str:
    return f"{address[0]}:{address[1]}"
