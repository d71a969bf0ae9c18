"""The changes that have a serverless cache follow a source: prepare, start, stop.

Pure, as ``changes``. The limits are those of the user guide ("Online migration to
ElastiCache Serverless"); where the provider may know better, it decides. The end of it
is ``migrations.CompleteMigration``.
"""

from dataclasses import dataclass
from typing import ClassVar

from loadprobe.control.mutations import guards
from loadprobe.control.mutations.migrations import is_syncing, named_source
from loadprobe.control.mutations.mutation import OfAllShards, with_migration
from loadprobe.control.provider.serverless import Migration
from loadprobe.control.provider.state import ApiCall, GroupState
from loadprobe.core.topology.topology import Topology
from loadprobe.errors import ControlError


class _AtTheSource(OfAllShards):
    """What the three share: lanes, and the watch with them, may be at the source."""

    __slots__ = ()

    def agrees(self, topology: Topology, state: GroupState) -> bool:  # noqa: ARG002 - the protocol's
        """Return True: what serves the slots is no news of the cache."""
        return True


@dataclass(frozen=True, slots=True)
class PrepareMigration(_AtTheSource):
    """Have the provider look at a source, and set up what leads to it.

    Args:
        host: an endpoint of the source.
        port: its port.
        secret_arn: the secret of Secrets Manager with which to log in there; None does
            not.
        certificate: whom to trust there, as PEM; None goes without TLS.
    """

    host: str
    port: int
    secret_arn: str | None = None
    certificate: str | None = None
    operation: ClassVar[str] = "prepare_migration"

    def describe(self) -> str:
        """Return one line for people."""
        return f"preparation of a migration from {self.host}:{self.port}"

    def plan(self, state: GroupState) -> tuple[ApiCall, ...]:
        """Return the call."""
        guards.check_available(state, self.describe())
        _check_reachable(state, self.describe())
        open_ = _open(state)
        if open_ is not None and not open_.is_over:
            raise ControlError(
                f"{self.describe()}: a migration into {state.group.id} is open already "
                f"({open_.status!r}); complete it first"
            )
        arguments: dict[str, object] = {
            "ServerlessCacheName": state.group.id,
            "CustomerNodeEndpointList": named_source(self.host, self.port),
        }
        if self.secret_arn is not None:
            secret = {"SecretManagerConfig": {"SecretArn": self.secret_arn}}
            arguments["SourceAuthenticationConfiguration"] = secret
        if self.certificate is not None:
            arguments["SourceTlsConfiguration"] = {
                "SourceTlsMode": "verify-ca",
                "SourceTlsCertificate": self.certificate,
            }
        return (ApiCall("PrepareMigration", arguments),)

    def is_reached(self, state: GroupState) -> bool:
        """Tell whether it is prepared."""
        open_ = _open(state)
        if open_ is None or open_.is_over:
            return False
        return not (open_.is_midway or open_.has_failed)

    def after(self, state: GroupState) -> GroupState:
        """Return a cache with a migration that can be started."""
        return with_migration(state, Migration("prepared"))


@dataclass(frozen=True, slots=True)
class StartSync(_AtTheSource):
    """Have the cache follow the source of a migration that was prepared.

    Args:
        auto_cutover: the provider completes it by itself as soon as both are in step;
            it is reached only then.
        clear_target: delete first what the cache holds; demanded after a stop.
    """

    auto_cutover: bool = False
    clear_target: bool = False
    operation: ClassVar[str] = "start_migration"

    def describe(self) -> str:
        """Return one line for people."""
        cleared = ", after what it holds is deleted" if self.clear_target else ""
        end = ", until it is completed by itself" if self.auto_cutover else ""
        return f"migration from the source that was prepared{cleared}{end}"

    def plan(self, state: GroupState) -> tuple[ApiCall, ...]:
        """Return the call."""
        guards.check_available(state, self.describe())
        open_ = _open(state)
        if open_ is None or open_.is_over or open_.is_syncing:
            there = "none" if open_ is None else repr(open_.status)
            raise ControlError(
                f"{self.describe()}: no migration into {state.group.id} waits to be "
                f"started (there is {there}); prepare one first (migrate_prepare)"
            )
        arguments: dict[str, object] = {"ServerlessCacheName": state.group.id}
        if self.auto_cutover:
            arguments["AutoCutover"] = True
        if self.clear_target:
            arguments["ClearTargetCacheData"] = True
        return (ApiCall("StartMigration", arguments),)

    def is_reached(self, state: GroupState) -> bool:
        """Tell whether the cache follows, or has taken over by itself."""
        open_ = _open(state)
        if self.auto_cutover:
            return open_ is None or open_.is_over
        return open_ is not None and open_.is_syncing

    def after(self, state: GroupState) -> GroupState:
        """Return a cache that follows, or has taken over."""
        return with_migration(
            state, None if self.auto_cutover else Migration("syncing")
        )


@dataclass(frozen=True, slots=True)
class StopMigration(_AtTheSource):
    """Have the cache follow its source no more; the migration stays open."""

    operation: ClassVar[str] = "stop_migration"

    def describe(self) -> str:
        """Return one line for people."""
        return "stop of the migration"

    def plan(self, state: GroupState) -> tuple[ApiCall, ...]:
        """Return the call."""
        guards.check_available(state, self.describe())
        if not is_syncing(state):
            raise ControlError(
                f"{self.describe()}: {state.group.id} follows no source; there is "
                "nothing to stop"
            )
        return (ApiCall("StopMigration", {"ServerlessCacheName": state.group.id}),)

    def is_reached(self, state: GroupState) -> bool:
        """Tell whether it follows no more, and can be started again."""
        open_ = _open(state)
        return open_ is not None and not (open_.is_syncing or open_.is_midway)

    def after(self, state: GroupState) -> GroupState:
        """Return a cache whose migration has stopped."""
        return with_migration(state, Migration("stopped"))


def _check_reachable(state: GroupState, what: str) -> None:
    """Refuse a cache whose network no migration leads to (user guide)."""
    serverless = state.group.serverless
    if serverless is None:
        return
    if serverless.network_type not in {"", "ipv4"}:
        raise ControlError(
            f"{what}: {state.group.id} is of the network type "
            f"{serverless.network_type!r}, and a migration needs 'ipv4'; create "
            "another cache"
        )
    if serverless.connection_type == "public":
        raise ControlError(
            f"{what}: {state.group.id} has a public endpoint, and a migration needs "
            "one in a VPC; create another cache"
        )


def _open(state: GroupState) -> Migration | None:
    """Return the migration into a cache; None if there is none."""
    serverless = state.group.serverless
    return serverless.migration if serverless is not None else None
