"""Service updates, and how far each group has come with each of them.

Pure: the caller gives the time. There is one update from the start; more can be added.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from loadprobe.local.api.faults import ApiFault

_FIRST = "loadprobe-security-001"
_APPLY_WITHIN = timedelta(days=14)
_ENDS_AFTER = timedelta(days=90)
UNDER_WAY = frozenset({"waiting-to-start", "in-progress", "stopping"})


@dataclass(frozen=True, slots=True)
class ServiceUpdate:
    """One update that can be applied to groups.

    Args:
        name: ServiceUpdateName.
        released: ServiceUpdateReleaseDate.
        severity: "critical", "important", "medium" or "low".
        status: "available", "cancelled" or "expired".
    """

    name: str
    released: datetime
    severity: str = "important"
    status: str = "available"

    @property
    def apply_by(self) -> datetime:
        """ServiceUpdateRecommendedApplyByDate."""
        return self.released + _APPLY_WITHIN

    @property
    def ends(self) -> datetime:
        """ServiceUpdateEndDate."""
        return self.released + _ENDS_AFTER


@dataclass(slots=True)
class NodeUpdateProgress:
    """How far a node has come.

    Args:
        status: NodeUpdateStatus.
        modified: NodeUpdateStatusModifiedDate.
        started: NodeUpdateStartDate.
        ended: NodeUpdateEndDate.
    """

    status: str
    modified: datetime
    started: datetime | None = None
    ended: datetime | None = None

    def advance(self, status: str, *, now: datetime) -> None:
        """Enter a status."""
        self.status, self.modified = status, now
        if status == "in-progress":
            self.started = now
        elif status == "complete":
            self.ended = now


@dataclass(slots=True)
class GroupUpdateProgress:
    """How far a group has come with an update.

    Args:
        group_id: the group.
        update: the update.
        available: UpdateActionAvailableDate.
        status: UpdateActionStatus.
        modified: UpdateActionStatusModifiedDate.
        initiated: when it was asked for, if it was.
        nodes: node group id -> CacheClusterId -> that node's update.
    """

    group_id: str
    update: ServiceUpdate
    available: datetime
    status: str
    modified: datetime
    initiated: datetime | None = None
    nodes: dict[str, dict[str, NodeUpdateProgress]] = field(default_factory=dict)

    @property
    def updated(self) -> int:
        """How many nodes are complete."""
        return sum(
            node.status == "complete"
            for members in self.nodes.values()
            for node in members.values()
        )

    def enter(self, status: str, *, now: datetime) -> None:
        """Enter a status; nodes that are not complete enter it too, if it ends it."""
        self.status, self.modified = status, now
        if status in UNDER_WAY:
            return
        for members in self.nodes.values():
            for node in members.values():
                if node.status != "complete":
                    node.advance(status, now=now)

    def ask(self, members: Iterable[tuple[str, str]], *, now: datetime) -> None:
        """Ask for the update of nodes, given as (node group id, CacheClusterId).

        What is complete stays so: a stopped update goes on where it stopped.
        """
        before, self.nodes = self.nodes, {}
        for shard, name in members:
            known = before.get(shard, {}).get(name)
            if known is None or known.status != "complete":
                known = NodeUpdateProgress("waiting-to-start", now)
            self.nodes.setdefault(shard, {})[name] = known
        self.initiated = now
        self.enter("waiting-to-start", now=now)


class UpdateBook:
    """All updates and their actions.

    Args:
        now: the date of the first update.
    """

    def __init__(self, now: datetime) -> None:
        self.updates = {_FIRST: ServiceUpdate(_FIRST, now)}
        self._actions: dict[tuple[str, str], GroupUpdateProgress] = {}

    def add(self, update: ServiceUpdate) -> None:
        """Release an update; one of the same name, and its actions, are replaced."""
        self.updates[update.name] = update
        self._actions = {
            key: action
            for key, action in self._actions.items()
            if key[1] != update.name
        }

    def update(self, name: str) -> ServiceUpdate:
        """Return an update, or raise the API's fault."""
        try:
            return self.updates[name]
        except KeyError:
            raise ApiFault(
                "ServiceUpdateNotFoundFault", f"Service update {name} not found."
            ) from None

    def action(
        self, group_id: str, update: ServiceUpdate, *, created: datetime
    ) -> GroupUpdateProgress:
        """Return how far a group has come; it begins as "not-applied".

        Args:
            group_id: the group.
            update: the update.
            created: when the group was created.
        """
        key = group_id, update.name
        if key not in self._actions:
            since = max(created, update.released)
            self._actions[key] = GroupUpdateProgress(
                group_id, update, since, "not-applied", since
            )
        return self._actions[key]

    def forget(self, group_id: str) -> None:
        """Drop what is known of a group that is deleted."""
        self._actions = {
            key: action for key, action in self._actions.items() if key[0] != group_id
        }
