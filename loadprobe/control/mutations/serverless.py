"""The changes that can be made to a serverless cache.

Pure, as ``changes``. What such a cache is made of is the provider's own: there are no
shards, replicas and node types to change, and TLS is always on.
"""

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from loadprobe.control.mutations import guards
from loadprobe.control.mutations.guards import is_version, version_of
from loadprobe.control.mutations.marks import MARK_TAG, as_tags
from loadprobe.control.mutations.mutation import (
    OfAllShards,
    with_group,
    with_serverless,
)
from loadprobe.control.provider.serverless import NO_LIMITS, Limits, Serverless
from loadprobe.control.provider.state import AVAILABLE, ApiCall, GroupState
from loadprobe.core.topology.topology import Topology
from loadprobe.errors import ControlError

_ENGINES = ("valkey", "redis")
NO_USER_GROUP = "none"


@dataclass(frozen=True, slots=True)
class CreateCache(OfAllShards):
    """Create the serverless cache the API is opened for.

    Args:
        engine: "redis" or "valkey".
        version: major version; None leaves it to the provider.
        limits: of its use.
        subnets: ids; () leaves them to the provider.
        security_groups: ids; () leaves them to the provider.
        user_group: who may log in; None lets everybody in.
        snapshots: what it is seeded from: ARNs of RDB files in S3, or of snapshots.
        mark: a random text that no other cache has; "" for one that loadprobe is never
            to delete.
        description: for people who find it.
    """

    engine: Literal["redis", "valkey"] = "valkey"
    version: str | None = None
    limits: Limits = NO_LIMITS
    subnets: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()
    user_group: str | None = None
    snapshots: tuple[str, ...] = ()
    mark: str = ""
    description: str = "made by loadprobe"
    operation: ClassVar[str] = "create"

    def describe(self) -> str:
        """Return one line for people."""
        return (
            f"serverless cache with {self.engine} {self.version or '(newest)'}, limits "
            f"{self.limits}"
            f"{', seeded from ' + ', '.join(self.snapshots) if self.snapshots else ''}"
        )

    def plan(self, state: GroupState) -> tuple[ApiCall, ...]:
        """Return the call."""
        what = f"create {state.group.id}, a {self.describe()}"
        if state.is_there:
            raise ControlError(
                f"{what}: a serverless cache of that name exists and is "
                f"{state.group.status!r}; choose another name, or delete it"
            )
        check_limits(self.limits, what)
        arguments: dict[str, object] = {
            "ServerlessCacheName": state.group.id,
            "Description": self.description,
            "Engine": self.engine,
            "MajorEngineVersion": self.version,
            "CacheUsageLimits": self.limits.as_argument(),
            "SubnetIds": list(self.subnets) or None,
            "SecurityGroupIds": list(self.security_groups) or None,
            "UserGroupId": self.user_group,
            "SnapshotArnsToRestore": list(self.snapshots) or None,
            "Tags": as_tags(self.mark),
        }
        given = {name: value for name, value in arguments.items() if value is not None}
        return (ApiCall("CreateServerlessCache", given),)

    def is_reached(self, state: GroupState) -> bool:
        """Tell whether it has an endpoint."""
        return state.group.endpoint is not None

    def after(self, state: GroupState) -> GroupState:
        """Return the cache."""
        return with_group(
            replace(state, tags={MARK_TAG: self.mark}),
            status=AVAILABLE,
            user_groups=(self.user_group,) if self.user_group else (),
            serverless=Serverless(self.engine, self.version or "", limits=self.limits),
        )

    def agrees(self, topology: Topology, state: GroupState) -> bool:  # noqa: ARG002 - the protocol's
        """Return True: nobody watches a cache that was not there."""
        return True


@dataclass(frozen=True, slots=True)
class UpgradeCache(OfAllShards):
    """Go to a newer major version of the engine, or from Redis OSS to Valkey."""

    engine: str
    version: str
    operation: ClassVar[str] = "engine"

    def describe(self) -> str:
        """Return one line for people."""
        return f"engine to {self.engine} {self.version}"

    def plan(self, state: GroupState) -> tuple[ApiCall, ...]:
        """Return the call."""
        guards.check_available(state, self.describe())
        if self.is_reached(state):
            return ()
        present = _serverless(state)
        wanted, there = version_of(self.version), version_of(present.version)
        if self.engine not in _ENGINES or not wanted:
            raise ControlError(
                f"{self.describe()}: expected 'redis' or 'valkey' and a major version "
                f"such as '8', got {self.engine!r} and {self.version!r}"
            )
        is_back = self.engine == present.engine and wanted < there[: len(wanted)]
        if is_back or (present.engine, self.engine) == ("valkey", "redis"):
            raise ControlError(
                f"{self.describe()}: {state.group.id} runs {present.engine} "
                f"{present.version}, and an engine cannot be downgraded; restore a "
                "snapshot into a new cache instead"
            )
        more: dict[str, object] = {"MajorEngineVersion": self.version}
        if present.engine != self.engine:
            more["Engine"] = self.engine
        return (_modify(state, **more),)

    def is_reached(self, state: GroupState) -> bool:
        """Tell whether it runs that version."""
        serverless = _serverless(state)
        return serverless.engine == self.engine and (
            is_version(serverless.version, self.version)
            or serverless.major_version == self.version
        )

    def after(self, state: GroupState) -> GroupState:
        """Return the cache with it."""
        return with_serverless(
            state, engine=self.engine, major_version=self.version, full_version=""
        )


@dataclass(frozen=True, slots=True)
class SetLimits(OfAllShards):
    """Change how much the cache may and will use; what is not said stays as it is."""

    limits: Limits
    operation: ClassVar[str] = "limits"

    def describe(self) -> str:
        """Return one line for people."""
        return f"limits to {self.limits}"

    def plan(self, state: GroupState) -> tuple[ApiCall, ...]:
        """Return the call, with all limits: one left out might be taken away."""
        guards.check_available(state, self.describe())
        if self.limits == NO_LIMITS:
            raise ControlError(
                f"{self.describe()}: no limit is given; set one, such as max_ecpu_per_s"
            )
        if self.is_reached(state):
            return ()
        wanted = self._wanted(state)
        check_limits(wanted, self.describe())
        return (_modify(state, CacheUsageLimits=wanted.as_argument()),)

    def is_reached(self, state: GroupState) -> bool:
        """Tell whether they are the wanted ones."""
        return self._wanted(state) == _serverless(state).limits

    def after(self, state: GroupState) -> GroupState:
        """Return the cache with them."""
        return with_serverless(state, limits=self._wanted(state))

    def _wanted(self, state: GroupState) -> Limits:
        return self.limits.over(_serverless(state).limits)


@dataclass(frozen=True, slots=True)
class SetUserGroup(OfAllShards):
    """Have another user group control access; "none" lets everybody in."""

    user_group: str
    operation: ClassVar[str] = "user_group"

    def describe(self) -> str:
        """Return one line for people."""
        return f"user group to {self.user_group}"

    def plan(self, state: GroupState) -> tuple[ApiCall, ...]:
        """Return the call."""
        guards.check_available(state, self.describe())
        if self.is_reached(state):
            return ()
        if self.user_group == NO_USER_GROUP:
            return (_modify(state, RemoveUserGroup=True),)
        return (_modify(state, UserGroupId=self.user_group),)

    def is_reached(self, state: GroupState) -> bool:
        """Tell whether it is the wanted one."""
        return state.group.user_groups == self._wanted

    def after(self, state: GroupState) -> GroupState:
        """Return the cache with it."""
        return with_group(state, user_groups=self._wanted)

    @property
    def _wanted(self) -> tuple[str, ...]:
        return () if self.user_group == NO_USER_GROUP else (self.user_group,)


def check_limits(limits: Limits, what: str) -> None:
    """Refuse limits that leave nothing between them."""
    for unit, least, most in (
        ("GB", limits.min_storage_gb, limits.max_storage_gb),
        ("ECPU/s", limits.min_ecpu_per_s, limits.max_ecpu_per_s),
    ):
        if least is not None and most is not None and least > most:
            raise ControlError(
                f"{what}: at least {least} and at most {most} {unit} exclude each "
                "other; change one of the two"
            )


def _serverless(state: GroupState) -> Serverless:
    """Return what only a serverless cache has; nothing of one that is not there."""
    return state.group.serverless or Serverless("", "")


def _modify(state: GroupState, **changes: object) -> ApiCall:
    arguments: dict[str, object] = {"ServerlessCacheName": state.group.id}
    return ApiCall("ModifyServerlessCache", arguments | changes)
