"""What a probe process tells the supervisor again and again: snapshots."""

import asyncio
from array import array
from collections.abc import Callable, Sequence

from loadprobe.clock import NS_PER_MS, process_cpu_ns
from loadprobe.probe.connects import Connects
from loadprobe.probe.lane import LaneRunner
from loadprobe.probe.memory import Collections, rss_bytes
from loadprobe.probe.messages import (
    Acknowledged,
    ProbeSnapshot,
)
from loadprobe.probe.orders import Plan
from loadprobe.probe.remembering import Remembering

_EVERY_NS = 250 * NS_PER_MS
_CALM_EVERY = 2
"""A snapshot costs about as much with little in it: every second one is left out while
all goes well and there is little. What fails is told as soon as ever."""

_LITTLE = 100
"""Arrivals of one lane since the last snapshot."""


class Reports:
    """Makes the snapshots of a process.

    Args:
        plan: whose process it is.
        lanes: tell how they are doing.
        issuers: have what was decided: the lanes, and who makes new connections.
        send: takes a snapshot for the supervisor.

    Attributes:
        due_ns: when the next one is due.
        stalls: (from, until) of the times since the last one in which nobody looked.
        lag_ns: how late each wake-up since the last one was.
    """

    def __init__(
        self,
        plan: Plan,
        lanes: Sequence[LaneRunner],
        issuers: Sequence[LaneRunner | Connects],
        send: Callable[[ProbeSnapshot | Acknowledged], None],
    ) -> None:
        self._process = plan.process
        self._lanes = lanes
        self._issuers = issuers
        self._send = send
        self._has_clients = any(not share.lane.is_witness for share in plan.shares)
        self._collections = Collections()
        self._remembering = [
            Remembering(plan.process, lane.name, lane.keys) for lane in lanes
        ]
        self._seq = 0
        self._left_out = 0
        self.due_ns = 0
        self.stalls: list[tuple[int, int]] = []
        self.lag_ns: array[int] = array("q")

    def start(self, first_ns: int) -> None:
        """Begin with the load."""
        self._collections.start()
        self.due_ns = first_ns + _EVERY_NS

    def end(self) -> None:
        """Time no more collections."""
        self._collections.stop()

    def look(self, now_ns: int) -> None:
        """Send what there is since the last one; it may wait while it is little."""
        self._left_out += 1
        if self._left_out < _CALM_EVERY and self._is_calm():
            self.due_ns = now_ns + _EVERY_NS
        else:
            self.send(now_ns)

    def _is_calm(self) -> bool:
        """Tell whether nobody waits for what there is.

        What clients do is counted by the second, at the edges of an outage, too.
        """
        return (
            not self.stalls
            and not self._has_clients
            and all(each.is_calm(_LITTLE) for each in self._issuers)
        )

    def send(self, now_ns: int) -> None:
        """Send what there is since the last one."""
        self.due_ns = now_ns + _EVERY_NS
        self._left_out = 0
        self._seq += 1
        blocks = [block for each in self._issuers for block in each.take_blocks()]
        stalls, self.stalls = self.stalls, []
        lags, self.lag_ns = self.lag_ns, array("q")
        self._send(
            ProbeSnapshot(
                process=self._process,
                seq=self._seq,
                taken_ns=now_ns,
                watermark_ns=min(each.watermark_ns(now_ns) for each in self._issuers),
                blocks=blocks,
                lanes=[lane.take_health() for lane in self._lanes],
                stalls=stalls,
                lag_ns=lags.tobytes(),
                gc_ns=self._collections.take_ns(),
                cpu_ns=process_cpu_ns(),
                rss_bytes=rss_bytes(),
                tasks=len(asyncio.all_tasks()),
            )
        )
        for each in self._remembering:
            if (told := each.take()) is not None:
                self._send(told)
        if self._has_clients:
            # What is due now was sent. If it takes long, the next wake-up is late, and
            # that is told like any other.
            self._collections.tidy(now_ns)
