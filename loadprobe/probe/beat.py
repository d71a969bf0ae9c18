"""What a probe process does again and again: issue what is due, give up, report.

One wake-up serves all lanes of the process, when the next arrival of any of them is
due. Nothing is done here for each arrival.
"""

import asyncio
from collections.abc import Callable, Sequence

from loadprobe.clock import NS_PER_MS, mono_now_ns
from loadprobe.drivers.wire.sockets import SocketPoller
from loadprobe.probe.connects import Connects
from loadprobe.probe.lag import LEAST_LAG_NS, Lag
from loadprobe.probe.lane import LaneRunner
from loadprobe.probe.messages import (
    Acknowledged,
    ProbeSnapshot,
)
from loadprobe.probe.orders import (
    Plan,
    Start,
)
from loadprobe.probe.reports import Reports
from loadprobe.probe.ticker import Ticker

_HEARTBEAT_NS = 10 * NS_PER_MS
_LEAST_PAUSE_NS = 200_000
_GIVE_UP_EVERY_NS = 20 * NS_PER_MS


class Beat:
    """Wakes up when arrivals are due, from the start of the load until all is decided.

    Args:
        plan: whose process it is, and when that calls itself blind.
        lanes: issue arrivals.
        connects: make new connections.
        lag: is told of every wake-up.
        poller: reads what is there, if there is one.
        send: takes snapshots, and what was written, for the supervisor.
    """

    def __init__(
        self,
        plan: Plan,
        lanes: Sequence[LaneRunner],
        connects: Sequence[Connects] = (),
        *,
        lag: Lag,
        poller: SocketPoller | None,
        send: Callable[[ProbeSnapshot | Acknowledged], None],
    ) -> None:
        self._stall_ns = plan.probe.stall_ms * NS_PER_MS
        self._lanes = lanes
        self._issuers: tuple[LaneRunner | Connects, ...] = (*lanes, *connects)
        self._lag = lag
        self._poller = poller
        self._reports = Reports(plan, lanes, self._issuers, send)
        self._call_soon = asyncio.get_running_loop().call_soon
        self._ticker = Ticker(self._tick)
        self._next_give_up_ns = 0
        self._stop_ns: int | None = None
        self._drained = asyncio.Event()

    def start(self, start: Start) -> None:
        """Begin with the load."""
        for issuer in self._issuers:
            issuer.start(start.schedule_start_ns, start.first_due_ns)
        first_ns = max(start.first_due_ns, mono_now_ns())
        self._next_give_up_ns = first_ns
        self._reports.start(first_ns)
        self._ticker.start(first_ns)

    async def drain(self, stop_ns: int) -> None:
        """Issue nothing due at or after a time; wait until the rest is decided."""
        self._stop_ns = stop_ns
        for issuer in self._issuers:
            issuer.stop(stop_ns)
        await self._drained.wait()

    def end(self) -> None:
        """Wake up no more."""
        self._ticker.stop()
        self._reports.end()

    def _tick(self, planned_ns: int, now_ns: int) -> int:
        lag_ns = now_ns - planned_ns
        if lag_ns >= LEAST_LAG_NS:
            # Nobody asks when the turn of a wake-up ended that was in time.
            self._call_soon(self._note_turn)
            if self._poller is not None:
                # Read in a later turn it would not look as if it had waited.
                self._poller.serve_ready()
        self._lag.woke(planned_ns, now_ns)
        self._reports.lag_ns.append(lag_ns)
        blind_from = planned_ns if lag_ns > self._stall_ns else None
        next_ns = now_ns + _HEARTBEAT_NS
        for issuer in self._issuers:
            issuer_next_ns, first_skipped = issuer.issue_due(now_ns)
            next_ns = min(next_ns, issuer_next_ns)
            if first_skipped is not None:
                blind_from = min(blind_from or first_skipped, first_skipped)
        if blind_from is not None:
            self._reports.stalls.append((blind_from, now_ns))
        if now_ns >= self._next_give_up_ns:
            self._next_give_up_ns = now_ns + _GIVE_UP_EVERY_NS
            for lane in self._lanes:
                lane.give_up(now_ns)
            if self._stop_ns is not None and now_ns >= self._stop_ns:
                self._finish_if_drained(now_ns)
        if now_ns >= self._reports.due_ns:
            self._reports.look(now_ns)
        next_ns = max(next_ns, now_ns + _LEAST_PAUSE_NS)
        self._lag.plan(next_ns)
        return next_ns

    def _note_turn(self) -> None:
        """Take note that the turn of the last tick is over."""
        self._lag.turned(mono_now_ns())

    def _finish_if_drained(self, now_ns: int) -> None:
        is_drained = all(each.is_drained for each in self._issuers)
        if is_drained and not self._drained.is_set():
            self._reports.send(now_ns)
            self._drained.set()
