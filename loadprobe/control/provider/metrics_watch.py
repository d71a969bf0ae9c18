"""Asks CloudWatch for the metrics of the nodes of a group, every few minutes.

Rule: nothing that CloudWatch answers, or fails to, ends anything; it is said once, and
asked again. Values come a minute or more after their time, so the last minutes are
asked for again and again.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from loadprobe.clock import NS_PER_S, wall_now_ns
from loadprobe.core.topology.node_metrics import PERIOD_S, Fresh, MetricRow
from loadprobe.errors import ControlError

if TYPE_CHECKING:  # comes with botocore, which a run without [control] never loads
    from loadprobe.control.provider.node_metrics import NodeMetrics

POLL_S = 300.0
"""Each metric that is asked for costs money, however many values it has."""

_AGAIN_S = 600
_LAST_S = 10.0

TakeMetrics = Callable[[Sequence[MetricRow]], None]

logger = logging.getLogger(__name__)


class MetricsWatch:
    """Asks every few minutes, and once more at the end (see the module).

    Args:
        metrics: the client.
        nodes: returns the cache cluster ids of the group's nodes, as known by now.
        take: is told what is new.
        since_unix_ns: when the run began.
        wall_ns: the time.
    """

    def __init__(
        self,
        metrics: "NodeMetrics",
        nodes: Callable[[], Iterable[str]],
        take: TakeMetrics,
        *,
        since_unix_ns: int,
        wall_ns: Callable[[], int] = wall_now_ns,
    ) -> None:
        self.problem: str | None = None
        self._metrics = metrics
        self._nodes = nodes
        self._take = take
        self._since_s = since_unix_ns // NS_PER_S // PERIOD_S * PERIOD_S
        self._wall_ns = wall_ns
        self._asked_s = self._since_s
        self._fresh = Fresh()

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            await asyncio.sleep(POLL_S)
            await self.look()

    async def look_last(self) -> None:
        """Ask once more, for a few seconds at most: the run is over."""
        try:
            async with asyncio.timeout(_LAST_S):
                await self.look()
        except TimeoutError:
            self._fail("CloudWatch did not answer in time at the end of the run")

    async def look(self) -> None:
        """Ask once."""
        now_s = self._wall_ns() // NS_PER_S
        since_s = max(self._since_s, self._asked_s - _AGAIN_S)
        try:
            rows = await self._metrics.rows(self._nodes(), since_s, now_s + 1)
        except ControlError as fault:
            self._fail(str(fault))
            return
        self.problem = None
        self._asked_s = now_s
        if fresh := self._fresh.rows(rows):
            self._take(fresh)
        self._fresh.forget(now_s - 2 * _AGAIN_S)

    def _fail(self, reason: str) -> None:
        text = f"metrics of CloudWatch are missing: {reason}"
        if self.problem is None:
            logger.warning("cloudwatch_failing", extra={"lp_error": reason})
            at_s = self._wall_ns() // NS_PER_S
            self._take([MetricRow("", at_s, {}, problem=text)])
        self.problem = text
