"""The state of the control plane that operations read and change.

Operations run on one event loop. A mutation checks and begins its change without an
await in between, so that two calls can never both be accepted.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from loadprobe.clock import NS_PER_MS, NS_PER_S, mono_now_ns, wall_now_ns
from loadprobe.errors import RunError
from loadprobe.local.api.changes import Change
from loadprobe.local.api.codec import printable
from loadprobe.local.api.endpoints import LocalEndpoints
from loadprobe.local.api.events import EventLog
from loadprobe.local.api.faults import ApiFault
from loadprobe.local.api.groups import NO_ENDPOINTS, ReplicationGroup
from loadprobe.local.api.injection import FaultPlan
from loadprobe.local.api.serverless import ServerlessCache
from loadprobe.local.api.service_updates import UpdateBook
from loadprobe.local.cluster.certificates import CertificateSet
from loadprobe.local.cluster.cluster import LocalCluster

logger = logging.getLogger(__name__)

_QUOTA_WINDOW_NS = 24 * 3600 * NS_PER_S
_POLL_S = 0.05
MODIFY = "ModifyReplicationGroup"


@dataclass(frozen=True, slots=True)
class Knobs:
    """How the control plane behaves where AWS's timing is not documented.

    Args:
        detect_s: how long to wait for the servers' own election before a replica is
            promoted by force, in seconds.
        event_delay_s: how long an event stays invisible, in seconds.
        failovers_per_day: TestFailover calls in any 24 hours (AWS: 15).
        modifying_delay_s: how long after an accepted call the status still is what it
            was, in seconds; the work begins then.
        settle_delay_s: how long after the end of the work the status still is what it
            was, in seconds; replicas to be removed are "deleting" for as long before.
        maintenance_delay_s: how long a change with ApplyImmediately=false waits for
            the maintenance window, in seconds; None is for ever.
        node_quota: nodes of all groups together; a machine has its limits.
        endpoint_delay_s: how much later than a promotion the endpoints of a group
            without cluster mode move, in seconds.
        endpoint_ttl_s: how long an answer of the name server may be kept, in seconds.
    """

    detect_s: float = 3.0
    event_delay_s: float = 0.0
    failovers_per_day: int = 15
    modifying_delay_s: float = 1.0
    settle_delay_s: float = 1.0
    maintenance_delay_s: float | None = None
    node_quota: int = 60
    endpoint_delay_s: float = 1.0
    endpoint_ttl_s: int = 1


class Plane:
    """Groups, caches, events and background work of one control plane."""

    def __init__(self, knobs: Knobs) -> None:
        self.knobs = knobs
        self.groups: dict[str, ReplicationGroup] = {}
        self.caches: dict[str, ServerlessCache] = {}
        self.events = EventLog(delay_s=knobs.event_delay_s)
        self.faults = FaultPlan()
        self.updates = UpdateBook(now())
        self._failovers_ns: deque[int] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_ending = False
        self.own_certificates: CertificateSet | None = None

    @property
    def certificates(self) -> CertificateSet | None:
        """Certificates of a group there is: clients trust one CA for all groups.

        An API that begins without a group has some of its own.
        """
        if self.own_certificates is not None:
            return self.own_certificates
        for group in self.all_groups:
            found = group.cluster.certificates
            is_there = group.status not in NO_ENDPOINTS and group.cluster.nodes
            if is_there and found is not None:
                return found
        return None

    def add_group(self, group_id: str, cluster: LocalCluster) -> ReplicationGroup:
        """Show a running cluster as a replication group."""
        group = ReplicationGroup(group_id, cluster, now(), cluster.server.engine)
        self.groups[group_id] = group
        self.name_endpoints(group)
        return group

    def name_endpoints(self, group: ReplicationGroup) -> None:
        """Give a group without cluster mode names, and let them follow its roles."""
        if group.cluster.cluster_mode:
            return
        endpoints = LocalEndpoints(
            group.group_id, group.cluster, delay_s=self.knobs.endpoint_delay_s
        )
        group.endpoints = endpoints
        self.spawn(self._move(group, endpoints), what=f"names of {group.group_id}")

    def addresses(self, name: str) -> Sequence[str] | None:
        """Return where a name points now; None if there is no such name."""
        for group in self.groups.values():
            if group.endpoints is not None and group.status not in NO_ENDPOINTS:
                found = group.endpoints.addresses(name)
                if found is not None:
                    return found
        return None

    async def _move(self, group: ReplicationGroup, endpoints: LocalEndpoints) -> None:
        """Move the names of a group until it is no more."""
        while self._is_known(group):
            await endpoints.look()
            await asyncio.sleep(_POLL_S)

    def group(self, group_id: str) -> ReplicationGroup:
        """Return a group, or raise the API's fault."""
        try:
            return self.groups[group_id.lower()]
        except KeyError:
            raise ApiFault(
                "ReplicationGroupNotFoundFault",
                f"ReplicationGroup {group_id} not found.",
            ) from None

    def cache(self, name: str) -> ServerlessCache:
        """Return a serverless cache, or raise the API's fault."""
        try:
            return self.caches[name.lower()]
        except KeyError:
            raise ApiFault(
                "ServerlessCacheNotFoundFault", f"Serverless cache {name} not found."
            ) from None

    def forget_cache(self, cache: ServerlessCache) -> None:
        """Know a serverless cache no more."""
        self.caches.pop(cache.name, None)

    @property
    def all_groups(self) -> list[ReplicationGroup]:
        """All groups, also those that serve serverless caches."""
        serving = [cache.servers for cache in self.caches.values()]
        return [*self.groups.values(), *serving]

    def add_event(self, source_type: str, source_identifier: str, text: str) -> None:
        """Log an event that happens now; of a longer text only the first line."""
        (line, *_) = text.splitlines() or [""]
        self.events.add(source_type, source_identifier, printable(line), now=now())

    def add_group_event(self, group: ReplicationGroup, text: str) -> None:
        """Log an event of a group, or of the cache it serves, that happens now."""
        self.add_event(group.source_type, group.group_id, text)

    def add_node_event(self, group: ReplicationGroup, name: str, text: str) -> None:
        """Log an event of a node that happens now; of a cache nobody is told any."""
        if not group.is_serverless:
            self.add_event("cache-cluster", name, text)

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

    def require_room(self, more_nodes: int) -> None:
        """Raise the API's fault if so many more nodes would exceed the quota."""
        nodes = sum(group.node_count for group in self.all_groups)
        if nodes + more_nodes > self.knobs.node_quota:
            raise ApiFault(
                "NodeQuotaForCustomerExceeded",
                f"{more_nodes} more nodes beside {nodes}: the quota is "
                f"{self.knobs.node_quota}.",
            )

    def begin(self, group: ReplicationGroup, change: Change) -> None:
        """Accept a change that was checked, and perform it in the background."""
        shards = group.cluster.shards
        change.old_shards = frozenset(shard.node_group_id for shard in shards)
        change.old_nodes = frozenset(node.name for node in group.cluster.nodes)
        change.tls_mode = group.tls_mode
        self.spawn(
            self._carry_out(group, change), what=f"{change.action} {group.group_id}"
        )
        group.change = change
        if change.action == MODIFY:
            group.deferred = None

    def defer(self, group: ReplicationGroup, change: Change) -> None:
        """Keep a change for the maintenance window; it replaces one kept before."""
        group.deferred = change
        if self.knobs.maintenance_delay_s is not None:
            self.spawn(
                self._await_window(group, change, self.knobs.maintenance_delay_s),
                what=f"maintenance window of {group.group_id}",
            )

    def spawn(
        self, work: Coroutine[None, None, None], *, what: str
    ) -> asyncio.Task[None]:
        """Run work in the background; what it raises is logged as an error.

        Raises:
            ApiFault: the control plane is ending.
        """
        if self._is_ending:
            work.close()
            raise ApiFault("ServiceUnavailable", "The control plane is ending.")
        task = asyncio.create_task(work, name=what)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    async def stop(self) -> None:
        """Cancel what is under way, wait for its end, end the groups that are owned."""
        self._is_ending = True
        for task in self._tasks:
            task.cancel()
        owned = [group.cluster for group in self.groups.values() if group.is_owned]
        for cache in self.caches.values():
            owned += cache.clusters
        for cluster in owned:
            for node in cluster.nodes:
                node.signal_kill()  # before anything can be cancelled
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for cluster in owned:
            await end_cluster(cluster)

    async def _carry_out(self, group: ReplicationGroup, change: Change) -> None:
        try:
            if not change.is_visible:
                await asyncio.sleep(self.knobs.modifying_delay_s)
                change.is_visible = True
            broken = self.faults.take_break(change.action)
            if broken is not None:
                raise RunError(broken.message)
            await change.perform(change)
            await asyncio.sleep(self.knobs.settle_delay_s)
        except Exception as exc:
            # The task edge: whatever went wrong, the group must not stay as it is.
            logger.exception(
                "local operation failed",
                extra={"lp_action": change.action, "lp_group": group.group_id},
            )
            await asyncio.sleep(self.knobs.settle_delay_s)
            failed = change.failed_event or (
                f"{change.action} of {group.word} {group.group_id} failed: "
                f"{str(exc) or type(exc).__name__}"
            )
            change.give_up()
            self._end_change(group, failed)
        else:
            change.complete()
            self._end_change(group, change.done_event)

    def _end_change(self, group: ReplicationGroup, text: str) -> None:
        """Show the group as it is now; its event and its status come together."""
        group.change = None
        if text:
            self.add_group_event(group, text)

    async def _await_window(
        self, group: ReplicationGroup, change: Change, delay_s: float
    ) -> None:
        await asyncio.sleep(delay_s)
        while group.deferred is change and self._is_known(group):
            if group.is_idle:
                change.is_visible = True
                self.begin(group, change)
                return
            await asyncio.sleep(_POLL_S)

    def _is_known(self, group: ReplicationGroup) -> bool:
        return self.groups.get(group.group_id) is group

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            logger.error("local operation failed", exc_info=task.exception())


async def end_cluster(cluster: LocalCluster) -> None:
    """End the servers of a cluster; harmless if its owner ends it again."""
    await cluster.__aexit__(None, None, None)


def now() -> datetime:
    """Return the wall time in UTC, to the millisecond."""
    return datetime.fromtimestamp(wall_now_ns() // NS_PER_MS / 1000, UTC)
