"""The changes the controller can make to a group: what is sent, and what is then true.

Pure. A mutation plans one call from what the provider knows, after guards that spare a
call that would be refused, and recognises its target. Sending, waiting and doubting is
``mutate``, the same for all.
"""

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from loadprobe.control.mutations import guards
from loadprobe.control.mutations.mutation import OfAllShards, modify, with_group
from loadprobe.control.provider.secret import Secret
from loadprobe.control.provider.state import ApiCall, GroupState, Need
from loadprobe.errors import ControlError

TlsMode = Literal["none", "preferred", "required"]


@dataclass(frozen=True, slots=True)
class SetTls(OfAllShards):
    """Go one step of none, preferred and required, in either direction."""

    mode: TlsMode
    operation: ClassVar[str] = "tls"

    def describe(self) -> str:
        """Return one line for people."""
        return f"transit encryption to {self.mode!r}"

    def plan(self, state: GroupState) -> tuple[ApiCall, ...]:
        """Return the call; the flag goes with every mode, and only with it."""
        guards.check_available(state, self.describe())
        if state.group.tls_mode == self.mode:
            return ()
        guards.check_tls_step(state, self.mode, self.describe())
        if self.mode == "none":
            return (modify(state, TransitEncryptionEnabled=False),)
        call = modify(
            state, TransitEncryptionEnabled=True, TransitEncryptionMode=self.mode
        )
        return (call,)

    def is_reached(self, state: GroupState) -> bool:
        """Tell whether the mode is the wanted one."""
        return state.group.tls_mode == self.mode

    def after(self, state: GroupState) -> GroupState:
        """Return the group with the mode."""
        return with_group(state, tls_mode=self.mode)


@dataclass(frozen=True, slots=True)
class SetDurability(OfAllShards):
    """Have writes made durable before they are acknowledged, after that, or never."""

    mode: Literal["sync", "async", "disabled"]
    operation: ClassVar[str] = "durability"

    def describe(self) -> str:
        """Return one line for people."""
        return f"durability to {self.mode!r}"

    def plan(self, state: GroupState) -> tuple[ApiCall, ...]:
        """Return the call."""
        guards.check_available(state, self.describe())
        if self.is_reached(state):
            return ()
        guards.check_durable(state, self.describe())
        return (modify(state, Durability=self.mode),)

    def is_reached(self, state: GroupState) -> bool:
        """Tell whether it is in effect."""
        return state.group.durability == self.mode

    def after(self, state: GroupState) -> GroupState:
        """Return the group with it."""
        return with_group(state, durability=self.mode)


@dataclass(frozen=True, slots=True)
class FailOver(OfAllShards):
    """Fail one shard over; "1" means "0001"."""

    shard: str
    operation: ClassVar[str] = "failover"
    needs: ClassVar[frozenset[Need]] = frozenset({Need.RECORDS})

    def shards(self, state: GroupState) -> tuple[str, ...]:
        """Return the shard's full id."""
        return (guards.find_node_group(state, self.shard, self.describe()).id,)

    def describe(self) -> str:
        """Return one line for people."""
        return f"failover of shard {self.shard}"

    def plan(self, state: GroupState) -> tuple[ApiCall, ...]:
        """Return the call; a failover is never there already."""
        what = f"{self.describe()} of {state.group.id}"
        guards.check_available(state, what)
        node_group = guards.find_node_group(state, self.shard, what)
        guards.check_replica(node_group, what)
        guards.check_failover_quota(state, what)
        arguments = {
            "ReplicationGroupId": state.group.id,
            "NodeGroupId": node_group.id,
        }
        return (ApiCall("TestFailover", arguments),)

    def is_reached(self, state: GroupState) -> bool:
        """Return True: the provider's status does not show a failover."""
        return state.is_there


@dataclass(frozen=True, slots=True)
class SetNodeType(OfAllShards):
    """Replace all nodes by nodes of another type."""

    node_type: str
    operation: ClassVar[str] = "node_type"
    needs: ClassVar[frozenset[Need]] = frozenset({Need.NODE_TYPES})

    def describe(self) -> str:
        """Return one line for people."""
        return f"node type to {self.node_type}"

    def plan(self, state: GroupState) -> tuple[ApiCall, ...]:
        """Return the call."""
        guards.check_available(state, self.describe())
        if self.is_reached(state):
            return ()
        guards.check_node_type(state, self.node_type, self.describe())
        return (modify(state, CacheNodeType=self.node_type),)

    def is_reached(self, state: GroupState) -> bool:
        """Tell whether every node is of that type."""
        types = {cluster.node_type for cluster in state.clusters}
        return types == {self.node_type}

    def after(self, state: GroupState) -> GroupState:
        """Return the group of other nodes; what such can become is not known."""
        nodes = [replace(c, node_type=self.node_type) for c in state.clusters]
        return replace(state, clusters=tuple(nodes), node_types=None)


@dataclass(frozen=True, slots=True)
class UpgradeEngine(OfAllShards):
    """Replace the engine by a newer version, or Redis OSS by Valkey."""

    engine: str
    version: str
    parameter_group: str | None = None
    operation: ClassVar[str] = "engine"
    needs: ClassVar[frozenset[Need]] = frozenset({Need.ENGINE_VERSIONS})

    def describe(self) -> str:
        """Return one line for people."""
        return f"engine to {self.engine} {self.version}"

    def plan(self, state: GroupState) -> tuple[ApiCall, ...]:
        """Return the call."""
        guards.check_available(state, self.describe())
        if self.is_reached(state):
            return ()
        guards.check_upgrade(state, self.engine, self.version, self.describe())
        more: dict[str, object] = {"EngineVersion": self.version}
        if state.engine != self.engine:
            more["Engine"] = self.engine
        if self.parameter_group is not None:
            more["CacheParameterGroupName"] = self.parameter_group
        return (modify(state, **more),)

    def is_reached(self, state: GroupState) -> bool:
        """Tell whether every node runs that version."""
        return bool(state.clusters) and all(
            cluster.engine == self.engine
            and guards.is_version(cluster.engine_version, self.version)
            for cluster in state.clusters
        )

    def after(self, state: GroupState) -> GroupState:
        """Return the group of other nodes; what such can become is not known."""
        nodes = [
            replace(c, engine=self.engine, engine_version=self.version)
            for c in state.clusters
        ]
        return replace(state, clusters=tuple(nodes), node_types=None)


@dataclass(frozen=True, slots=True)
class RotateAuth(OfAllShards):
    """Add a token beside the present one ("rotate"), or leave only it ("set")."""

    token: Secret
    strategy: Literal["rotate", "set"] = "rotate"
    operation: ClassVar[str] = "auth"

    def describe(self) -> str:
        """Return one line for people."""
        return f"AUTH token ({self.strategy})"

    def plan(self, state: GroupState) -> tuple[ApiCall, ...]:
        """Return the call; whether a token is there already cannot be seen."""
        guards.check_available(state, self.describe())
        guards.check_token(state, self.token, self.strategy, self.describe())
        call = modify(
            state,
            AuthToken=self.token,
            AuthTokenUpdateStrategy=self.strategy.upper(),
        )
        return (call,)

    def is_reached(self, state: GroupState) -> bool:
        """Tell whether clients log in."""
        return state.group.has_auth

    def after(self, state: GroupState) -> GroupState:
        """Return the group with a token."""
        return with_group(state, has_auth=True)


@dataclass(frozen=True, slots=True)
class ApplyUpdate(OfAllShards):
    """Apply a service update; None means the only one outstanding."""

    name: str | None = None
    operation: ClassVar[str] = "update"
    needs: ClassVar[frozenset[Need]] = frozenset({Need.UPDATES})
    _done: ClassVar[frozenset[str]] = frozenset({"complete", "not-applicable"})
    _under_way: ClassVar[frozenset[str]] = frozenset(
        {"waiting-to-start", "in-progress", "stopping", "scheduling", "scheduled"}
    )

    def describe(self) -> str:
        """Return one line for people."""
        return f"service update {self.name or '(the one outstanding)'}"

    def plan(self, state: GroupState) -> tuple[ApiCall, ...]:
        """Return the call."""
        guards.check_available(state, self.describe())
        known = ", ".join(update.name for update in state.updates) or "none"
        if self.name not in (None, *(update.name for update in state.updates)):
            raise ControlError(
                f"{self.describe()}: no such update concerns {state.group.id}; known: "
                f"{known}"
            )
        wanted = [
            update
            for update in state.updates
            if self.name in (None, update.name) and update.status not in self._done
        ]
        if not wanted:
            return ()
        if len(wanted) > 1:
            names = ", ".join(update.name for update in wanted)
            raise ControlError(
                f"{self.describe()}: several are outstanding; name one of: {names}"
            )
        update = wanted[0]
        if update.status in self._under_way:
            raise ControlError(
                f"{self.describe()}: {update.name} is {update.status!r} already; wait "
                "until it is complete"
            )
        arguments = {
            "ServiceUpdateName": update.name,
            "ReplicationGroupIds": [state.group.id],
        }
        return (ApiCall("BatchApplyUpdateAction", arguments),)

    def is_reached(self, state: GroupState) -> bool:
        """Tell whether nothing of it is outstanding."""
        return all(
            update.status in self._done
            for update in state.updates
            if self.name in (None, update.name)
        )

    def after(self, state: GroupState) -> GroupState:
        """Return the group with all updates complete."""
        done = [replace(update, status="complete") for update in state.updates]
        return replace(state, updates=tuple(done))
