"""The changes that have a replication group follow a source, and take over from it.

Pure, as ``changes``. Those of serverless caches are in ``serverless_migrations``; the
end is the same for both.
"""

from dataclasses import dataclass
from typing import ClassVar

from loadprobe.control.mutations import agreement, guards
from loadprobe.control.mutations.migration_guards import check_migration
from loadprobe.control.mutations.mutation import OfAllShards, with_group, with_migration
from loadprobe.control.provider.state import (
    AVAILABLE,
    MIGRATING,
    ApiCall,
    GroupState,
)
from loadprobe.core.topology.topology import Topology
from loadprobe.errors import ControlError


def named_source(host: str, port: int) -> list[dict[str, object]]:
    """Return a source as the API takes it: a list of one."""
    return [{"Address": host, "Port": port}]


def is_syncing(state: GroupState) -> bool:
    """Tell whether a serverless cache follows a source."""
    serverless = state.group.serverless
    migration = serverless.migration if serverless is not None else None
    return migration is not None and migration.is_syncing


@dataclass(frozen=True, slots=True)
class TryMigration(OfAllShards):
    """Have the provider test whether the group could follow a server of ours."""

    host: str
    port: int
    operation: ClassVar[str] = "test_migration"

    def describe(self) -> str:
        """Return one line for people."""
        return f"test of a migration from {self.host}:{self.port}"

    def plan(self, state: GroupState) -> tuple[ApiCall, ...]:
        """Return the call."""
        return _from_source(self, "TestMigration", state)

    def is_reached(self, state: GroupState) -> bool:
        """Return True: the result is an event, and the group stays as it is."""
        return state.is_there

    def agrees(self, topology: Topology, state: GroupState) -> bool:  # noqa: ARG002 - the protocol's
        """Return True: nothing is changed."""
        return True


@dataclass(frozen=True, slots=True)
class StartMigration(OfAllShards):
    """Let the group follow a server of ours, from then on read-only itself."""

    host: str
    port: int
    operation: ClassVar[str] = "start_migration"
    settles_at: ClassVar[str] = MIGRATING

    def describe(self) -> str:
        """Return one line for people."""
        return f"migration from {self.host}:{self.port}"

    def plan(self, state: GroupState) -> tuple[ApiCall, ...]:
        """Return the call."""
        return _from_source(self, "StartMigration", state)

    def is_reached(self, state: GroupState) -> bool:
        """Tell whether the group migrates."""
        return state.group.status == MIGRATING

    def after(self, state: GroupState) -> GroupState:
        """Return a group that migrates."""
        return with_group(state, status=MIGRATING)

    def agrees(self, topology: Topology, state: GroupState) -> bool:  # noqa: ARG002 - the protocol's
        """Return True: slots may be arranged as the source has them."""
        return True


@dataclass(frozen=True, slots=True)
class CompleteMigration(OfAllShards):
    """Cut the group or cache off its source; from then on it takes writes.

    Args:
        force: do so although the two are not in step: what is missing is lost.
    """

    force: bool = False
    operation: ClassVar[str] = "complete_migration"

    def describe(self) -> str:
        """Return one line for people."""
        return f"complete the migration{', by force' if self.force else ''}"

    def plan(self, state: GroupState) -> tuple[ApiCall, ...]:
        """Return the call."""
        group = state.group
        if group.status != MIGRATING and not is_syncing(state):
            raise ControlError(
                f"{self.describe()}: the {group.named} is {group.status!r} and follows "
                "no source; start a migration first"
            )
        arguments = {group.kind.argument: group.id, "Force": self.force}
        return (ApiCall("CompleteMigration", arguments),)

    def is_reached(self, state: GroupState) -> bool:
        """Tell whether it migrates no more."""
        serverless = state.group.serverless
        migration = serverless.migration if serverless is not None else None
        is_over = migration is None or migration.is_over
        return state.group.status == AVAILABLE and is_over

    def after(self, state: GroupState) -> GroupState:
        """Return one that is available."""
        return with_migration(with_group(state, status=AVAILABLE), None)

    def agrees(self, topology: Topology, state: GroupState) -> bool:
        """Tell whether all slots are served.

        The lanes may be at the source of a serverless cache, and the watch with them.
        """
        if not state.group.kind.has_nodes:
            return True
        return agreement.is_complete(topology, state.group)


def _from_source(
    mutation: TryMigration | StartMigration, operation: str, state: GroupState
) -> tuple[ApiCall, ...]:
    """Return a call that names a source, which the group has to be able to follow."""
    guards.check_available(state, mutation.describe())
    check_migration(state, mutation.describe())
    arguments = {
        "ReplicationGroupId": state.group.id,
        "CustomerNodeEndpointList": named_source(mutation.host, mutation.port),
    }
    return (ApiCall(operation, arguments),)
