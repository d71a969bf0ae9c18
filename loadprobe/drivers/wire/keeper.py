"""Who keeps the connections of a node open, and brings them back.

While a node has no connection, a single scout tries it on a fixed schedule; once it is
through, the others follow one at a time. Hundreds of connections opened at once would
stall the very loop that measures.
"""

import asyncio
import socket
from typing import Protocol

from loadprobe.clock import NS_PER_MS, NS_PER_S, mono_now_ns
from loadprobe.drivers.base import DriverStats
from loadprobe.drivers.wire.dial import Dialer, DialFailure
from loadprobe.drivers.wire.node import WireNode
from loadprobe.drivers.wire.node_state import NodeState

_SCOUT_NS = NS_PER_MS
_SCOUT_STANDBY_NS = 100 * NS_PER_MS
_SCOUT_TIRED_NS = 10 * NS_PER_MS
# After five seconds a node is tried the rarer the longer it is away: the end of an
# outage is found to a thousandth of its length, and one that is to last (a port closed
# for good) is cheap to wait for.
_EAGER_NS = 5 * NS_PER_S
_TIRED_PARTS = 1_000
# A refusal comes at once; an attempt that hangs (packets dropped) must not hold up
# the next one, which may get through.
_SCOUT_OVERLAP_S = 0.025
_MAX_SCOUTS = 16
_RETRY_NS = 100 * NS_PER_MS
# Until a node that is back has answered, one connection to it is enough.
_SILENT_S = 0.005


class KeeperDriver(Protocol):
    """What a keeper needs of the driver."""

    dialer: Dialer
    pace_s: float

    @property
    def stats(self) -> DriverStats:
        """Return what is counted."""


class Keeper:
    """Opens the connections of one node.

    Args:
        node: whose.
        driver: how, and how fast.
    """

    def __init__(self, node: WireNode, driver: KeeperDriver) -> None:
        self._node = node
        self._driver = driver
        self._tried_ns = 0
        self._keeping: asyncio.Task[None] | None = None

    def start(self, group: asyncio.TaskGroup) -> None:
        """Keep connections in a task of a group, unless that is done already."""
        if self.has_ended:
            self._keeping = group.create_task(self._keep())

    @property
    def has_ended(self) -> bool:
        """Tell whether nothing is kept open, nor tried."""
        return self._keeping is None or self._keeping.done()

    async def _keep(self) -> None:
        """Keep the wanted number of connections open until the node is gone."""
        node = self._node
        while node.state is not NodeState.GONE:
            index = node.missing()
            if index is None:
                node.changed.clear()
                await node.changed.wait()
            elif not node.live:
                await self._scout(index)
            elif not node.listen():
                node.changed.clear()
                await self._pause(_SILENT_S)
            elif (ago_ns := mono_now_ns() - node.turned_away_ns) < _RETRY_NS:
                # It has no room for more: what it would end at once helps nobody.
                node.changed.clear()
                await self._pause((_RETRY_NS - ago_ns) / NS_PER_S)
            else:
                await self._refill(index)

    async def _refill(self, index: int) -> None:
        """Open one more connection, unless the last one is lost meanwhile.

        Then every millisecond counts, and an attempt that hangs must not be waited for.
        """
        node = self._node
        attempt = asyncio.create_task(self._attempt(index))
        try:
            while node.live and not attempt.done():
                node.changed.clear()
                woken = asyncio.create_task(node.changed.wait())
                try:
                    await asyncio.wait(
                        {attempt, woken}, return_when=asyncio.FIRST_COMPLETED
                    )
                finally:
                    woken.cancel()
        finally:
            attempt.cancel()
        if attempt.done():
            done = attempt.result()
            await self._pause(self._driver.pace_s if done else _RETRY_NS / NS_PER_S)

    async def _pause(self, seconds: float) -> None:
        """Wait, or until something about the node changed."""
        try:
            async with asyncio.timeout(seconds):
                await self._node.changed.wait()
        except TimeoutError:
            pass

    async def _scout(self, index: int) -> None:
        """Try until one attempt is through, starting attempts on a fixed schedule."""
        node = self._node
        attempts: set[asyncio.Task[bool]] = set()
        # Attempts that hang must not use up their number before the first one ends.
        overlap_s = max(
            _SCOUT_OVERLAP_S, self._driver.dialer.timeout_ms / 1000 / _MAX_SCOUTS
        )
        try:
            while not node.live and not node.retired:
                next_ns = self._tried_ns + scout_interval_ns(node, mono_now_ns())
                while (wait_ns := next_ns - mono_now_ns()) > 0:
                    # The loop rounds to milliseconds, and may round to none at all.
                    await asyncio.sleep(max(wait_ns, NS_PER_MS) / NS_PER_S)
                if len(attempts) < _MAX_SCOUTS:
                    self._tried_ns = mono_now_ns()
                    begun = self._driver.dialer.knock(node.host, node.port)
                    if not isinstance(begun, DialFailure):
                        attempts.add(self._start_attempt(index, begun))
                    else:
                        self._note_failure(begun)
                        if not attempts:
                            continue
                done, attempts = await asyncio.wait(
                    attempts,
                    timeout=overlap_s,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                for attempt in done:
                    attempt.result()
        finally:
            for attempt in attempts:
                attempt.cancel()

    def _start_attempt(
        self, index: int, begun: socket.socket | None
    ) -> "asyncio.Task[bool]":
        attempt = asyncio.create_task(self._attempt(index, begun))
        if begun is not None:  # it may be cancelled before it runs

            def close(done: "asyncio.Task[bool]") -> None:
                if done.cancelled():
                    begun.close()

            attempt.add_done_callback(close)
        return attempt

    async def _attempt(self, index: int, begun: socket.socket | None = None) -> bool:
        """Open a connection; it is the index-th. Tell whether it is open now."""
        node = self._node
        start_ns = mono_now_ns() if begun is None else self._tried_ns
        result = await self._driver.dialer.dial(
            node.host, node.port, node.make_connection, begun=begun, since_ns=start_ns
        )
        if isinstance(result, DialFailure):
            self._note_failure(result)
            return False
        stats = self._driver.stats
        stats.count_connect("ok", node.shard)
        stats.connect_ns.append(mono_now_ns() - start_ns)
        node.welcome(result, index)
        return True

    def _note_failure(self, failure: DialFailure) -> None:
        self._driver.stats.count_connect(failure.error.label, self._node.shard)
        self._node.note_failure(failure)


def scout_interval_ns(node: WireNode, now_ns: int) -> int:
    """Return the pause between two attempts at a node that is not connected."""
    if not (node.is_primary or node.takes_reads):
        return _SCOUT_STANDBY_NS
    away_ns = now_ns - node.down_since_ns if node.down_since_ns else 0
    slower_ns = max(0, away_ns - _EAGER_NS) // _TIRED_PARTS
    return min(_SCOUT_NS + slower_ns, _SCOUT_TIRED_NS)
