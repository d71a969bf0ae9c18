"""The state of the control plane that operations read and change.

Operations run on one event loop; long work goes to the background with ``spawn``.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime

from loadprobe.clock import NS_PER_MS, NS_PER_S, mono_now_ns, wall_now_ns
from loadprobe.local.cluster import LocalCluster
from loadprobe.local.events import EventLog
from loadprobe.local.faults import ApiFault
from loadprobe.local.groups import ReplicationGroup

logger = logging.getLogger(__name__)

_QUOTA_WINDOW_NS = 24 * 3600 * NS_PER_S


@dataclass(frozen=True, slots=True)
class Knobs:
    """How the control plane behaves where AWS's timing is not documented.

    Args:
        detect_s: how long to wait for the servers' own election before a replica is
            promoted by force, in seconds.
        event_delay_s: how long an event stays invisible, in seconds.
        failovers_per_day: TestFailover calls in any 24 hours (AWS: 15).
    """

    detect_s: float = 3.0
    event_delay_s: float = 0.0
    failovers_per_day: int = 15


class Plane:
    """Groups, events and background work of one control plane."""

    def __init__(self, knobs: Knobs) -> None:
        self.knobs = knobs
        self.groups: dict[str, ReplicationGroup] = {}
        self.events = EventLog(delay_s=knobs.event_delay_s)
        self._failovers_ns: deque[int] = deque()
        self._tasks: set[asyncio.Task[None]] = set()

    def add_group(self, group_id: str, cluster: LocalCluster) -> ReplicationGroup:
        """Show a running cluster as a replication group."""
        group = ReplicationGroup(group_id, cluster, now())
        self.groups[group_id] = group
        return group

    def group(self, group_id: str) -> ReplicationGroup:
        """Return a group, or raise the API's fault."""
        try:
            return self.groups[group_id]
        except KeyError:
            raise ApiFault(
                "ReplicationGroupNotFoundFault",
                f"ReplicationGroup {group_id} not found.",
            ) from None

    def add_event(self, source_type: str, source_identifier: str, text: str) -> None:
        """Log an event that happens now."""
        self.events.add(source_type, source_identifier, text, now=now())

    def count_failover(self) -> None:
        """Count one TestFailover, or raise the API's fault at the quota."""
        now_ns = mono_now_ns()
        while self._failovers_ns and self._failovers_ns[0] < now_ns - _QUOTA_WINDOW_NS:
            self._failovers_ns.popleft()
        if len(self._failovers_ns) >= self.knobs.failovers_per_day:
            raise ApiFault(
                "APICallRateForCustomerExceeded",
                f"At most {self.knobs.failovers_per_day} node groups may be failed "
                "over in 24 hours.",
            )
        self._failovers_ns.append(now_ns)

    def spawn(
        self, work: Coroutine[None, None, None], *, what: str
    ) -> asyncio.Task[None]:
        """Run work in the background; what it raises is logged as an error."""
        task = asyncio.create_task(work, name=what)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    async def stop(self) -> None:
        """Cancel what is under way and wait for its end."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            logger.error("local operation failed", exc_info=task.exception())


def now() -> datetime:
    """Return the wall time in UTC, to the millisecond."""
    return datetime.fromtimestamp(wall_now_ns() // NS_PER_MS / 1000, UTC)
