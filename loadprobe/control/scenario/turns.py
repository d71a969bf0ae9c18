"""What the steps of a scenario mean for a group as it is: relative values resolved.

Pure. A step says "+1 shard"; the mutation it becomes says "4 shards".
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import assert_never

from loadprobe.control.mutations.changes import (
    ApplyUpdate,
    FailOver,
    RotateAuth,
    SetDurability,
    SetNodeType,
    SetTls,
    UpgradeEngine,
)
from loadprobe.control.mutations.lifecycle import CreateGroup, DeleteGroup
from loadprobe.control.mutations.migrations import (
    CompleteMigration,
    StartMigration,
    TryMigration,
)
from loadprobe.control.mutations.mutation import Mutation
from loadprobe.control.mutations.serverless import (
    CreateCache,
    SetLimits,
    SetUserGroup,
    UpgradeCache,
)
from loadprobe.control.mutations.serverless_migrations import (
    PrepareMigration,
    StartSync,
    StopMigration,
)
from loadprobe.control.mutations.sizes import Scale, SetReplicas
from loadprobe.control.provider.secret import Secret
from loadprobe.control.provider.state import GroupState, Need
from loadprobe.control.scenario.file import Scenario
from loadprobe.control.scenario.keys import (
    ALL_SHARDS,
    BACK,
    NEXT,
    OUTSTANDING,
    ApplyUpdateStep,
    AuthRotateStep,
    CreateStep,
    DeleteStep,
    DurabilityStep,
    EngineStep,
    ExecStep,
    FailoverStep,
    HoldStep,
    Making,
    NodeTypeStep,
    ReplicasStep,
    ScaleStep,
    SeedStep,
    Step,
    TlsStep,
    WaitStep,
)
from loadprobe.control.scenario.migrate_keys import (
    MigrateCompleteStep,
    MigratePrepareStep,
    MigrateStartStep,
    MigrateStopStep,
    MigrateTestStep,
)
from loadprobe.control.scenario.serverless_keys import (
    CreateServerlessStep,
    LimitsStep,
    UserGroupStep,
)
from loadprobe.control.scenario.source_certificate import read_certificate
from loadprobe.control.scenario.transfer_keys import CopyStep, CutoverStep, DrainStep
from loadprobe.errors import ControlError

Observation = WaitStep | HoldStep | ExecStep
"""Steps that change nothing of the group."""

Transfer = CopyStep | DrainStep | CutoverStep
"""Steps that move data and lanes."""


@dataclass(frozen=True, slots=True)
class StepTurn:
    """One turn of a step: a step that is repeated, or goes over shards, has several.

    Args:
        name: the step's name; of later rounds with "#2", "#3" and so on after it, of
            one shard of several with "/0001".
        step: the step.
        shard: the shard, if it is a failover.
        is_last: no other turn of the step follows in this round.
    """

    name: str
    step: Step
    shard: str | None = None
    is_last: bool = True


@dataclass(frozen=True, slots=True)
class Memory:
    """What a step needs to know of those before it.

    Args:
        node_type: of the group before the first node_type step.
        mark: of the group that a step creates, and of the only one that is deleted.
        tokens: name of an auth_rotate step -> its token.
    """

    mark: str
    node_type: str | None = None
    tokens: Mapping[str, Secret] = field(default_factory=dict)


def rounds(scenario: Scenario) -> Iterator[tuple[int, Step]]:
    """Yield (round, step) in the order they are carried out."""
    for number in range(1, scenario.repeat + 1):
        for step in scenario.steps:
            yield number, step


def turn_of(step: Step, number: int) -> StepTurn:
    """Return the turn of a step in a round, if it has only one.

    Args:
        step: the step.
        number: the round, counted from 1.
    """
    shard = step.shard if isinstance(step, FailoverStep) else None
    return StepTurn(f"{step.label}{_suffix(number)}", step, shard)


def turns(step: Step, number: int, state: GroupState) -> tuple[StepTurn, ...]:
    """Return the turns of a step in a round: one, or one for each shard.

    Args:
        step: the step.
        number: the round, counted from 1.
        state: the group before it.
    """
    if not is_for_all_shards(step):
        return (turn_of(step, number),)
    shards = sorted(state.group.shards)
    return tuple(
        StepTurn(
            f"{step.label}/{shard}{_suffix(number)}",
            step,
            shard,
            is_last=shard == shards[-1],
        )
        for shard in shards
    )


def is_for_all_shards(step: Step) -> bool:
    """Tell whether a step has a turn for each shard."""
    return isinstance(step, FailoverStep) and step.shard == ALL_SHARDS


def needs(step: Step) -> frozenset[Need]:
    """Return what the state must hold before a step can be resolved."""
    is_next = isinstance(step, NodeTypeStep) and step.node_type == NEXT
    return frozenset({Need.NODE_TYPES} if is_next else ())


def resolve(
    turn: StepTurn, state: GroupState, memory: Memory
) -> Mutation | Observation | Transfer:
    """Return what a turn of a step is for a group as it is.

    Raises:
        ControlError: the group has nothing that it could be relative to.
    """
    step = turn.step
    found: Mutation | Observation | Transfer
    match step:
        case CreateStep() | CreateServerlessStep() | DeleteStep():
            found = _make_or_end(step, memory.mark)
        case TlsStep() | DurabilityStep() | LimitsStep() | UserGroupStep():
            found = _set(step)
        case FailoverStep():
            found = FailOver(turn.shard or step.shard)
        case ScaleStep() | ReplicasStep():
            found = _resize(step, state)
        case NodeTypeStep() | EngineStep():
            found = _replace_nodes(step, state, memory)
        case AuthRotateStep():
            found = RotateAuth(memory.tokens[step.label], step.strategy)
        case ApplyUpdateStep():
            found = ApplyUpdate(None if step.update == OUTSTANDING else step.update)
        case (
            MigrateTestStep() | MigratePrepareStep() | MigrateStartStep()
            | MigrateStopStep() | MigrateCompleteStep()
        ):  # fmt: skip
            found = _migrate(step, state)
        case (
            WaitStep() | HoldStep() | ExecStep()
            | CopyStep() | DrainStep() | CutoverStep()
        ):  # fmt: skip
            found = step
        case _:
            assert_never(step)
    return found


def remembered(memory: Memory, step: Step, state: GroupState) -> Memory:
    """Return the memory with what is to be known of the group before a step."""
    if not isinstance(step, NodeTypeStep) or memory.node_type is not None:
        return memory
    return replace(memory, node_type=_node_type(step, state))


def _suffix(number: int) -> str:
    return f"#{number}" if number > 1 else ""


def _make_or_end(
    step: CreateStep | CreateServerlessStep | DeleteStep, mark: str
) -> Mutation:
    match step:
        case CreateStep():
            return _create(step, mark)
        case CreateServerlessStep():
            return _create_serverless(step, mark)
        case DeleteStep():
            return DeleteGroup(mark)


def _create(step: CreateStep, mark: str) -> CreateGroup:
    return CreateGroup(
        shard_count=max(1, step.shards),
        replicas=step.replicas,
        node_type=step.node_type,
        engine=step.engine or "valkey",
        engine_version=step.version,
        tls_mode=step.mode,
        is_cluster=step.shards > 0,
        parameter_group=step.parameter_group,
        subnet_group=step.subnet_group,
        security_groups=step.security_groups or (),
        mark=mark,
        durability=step.durability,
        snapshots=_snapshots(step),
    )


def _create_serverless(step: CreateServerlessStep, mark: str) -> CreateCache:
    return CreateCache(
        engine=step.engine or "valkey",
        version=step.version,
        limits=step.limits,
        subnets=step.subnets or (),
        security_groups=step.security_groups or (),
        user_group=step.user_group,
        snapshots=_snapshots(step),
        mark=mark,
    )


def _snapshots(step: Making) -> tuple[str, ...]:
    """Return what a group is seeded from; a path is one from the root on."""
    named: tuple[str, ...] = ()
    if isinstance(step, SeedStep | CreateServerlessStep):
        named = step.snapshots or ()
    return tuple(n if n.startswith("arn:") else str(Path(n).absolute()) for n in named)


def _resize(step: ScaleStep | ReplicasStep, state: GroupState) -> Scale | SetReplicas:
    shards = state.group.shards.values()
    if isinstance(step, ScaleStep):
        return Scale(_counted(step.shards, len(shards)))
    most = max((len(shard.members) - 1 for shard in shards), default=0)
    return SetReplicas(_counted(step.count, most))


def _counted(count: int | str, present: int) -> int:
    return count if isinstance(count, int) else present + int(count)


def _replace_nodes(
    step: NodeTypeStep | EngineStep, state: GroupState, memory: Memory
) -> SetNodeType | UpgradeEngine | UpgradeCache:
    if isinstance(step, EngineStep):
        engine = state.engine if step.engine == "same" else step.engine
        if not state.group.kind.has_nodes:
            return UpgradeCache(engine, step.version)
        group = None if step.parameter_group == "default" else step.parameter_group
        return UpgradeEngine(engine, step.version, group)
    if step.node_type == BACK:
        return SetNodeType(memory.node_type or _node_type(step, state))
    if step.node_type != NEXT:
        return SetNodeType(step.node_type)
    if not state.node_types:
        raise ControlError(
            f"step {step.label}: the provider offers no other node type for "
            f"{state.group.id}; name one (node_type = ...)"
        )
    return SetNodeType(state.node_types[0])


def _set(step: TlsStep | DurabilityStep | LimitsStep | UserGroupStep) -> Mutation:
    match step:
        case TlsStep():
            return SetTls(step.mode)
        case DurabilityStep():
            return SetDurability(step.mode)
        case LimitsStep():
            return SetLimits(step.limits)
        case UserGroupStep():
            return SetUserGroup(step.user_group)


def _migrate(
    step: MigrateTestStep
    | MigratePrepareStep
    | MigrateStartStep
    | MigrateStopStep
    | MigrateCompleteStep,
    state: GroupState,
) -> Mutation:
    match step:
        case MigrateTestStep():
            return TryMigration(step.source_host, step.source_port)
        case MigratePrepareStep():
            return PrepareMigration(
                step.source_host,
                step.source_port,
                secret_arn=step.source_secret_arn,
                certificate=read_certificate(step),
            )
        case MigrateStartStep() if not state.group.kind.has_nodes:
            return StartSync(
                auto_cutover=step.auto_cutover, clear_target=step.clear_target
            )
        case MigrateStartStep():
            assert step.source_host is not None, "see fitting_steps"
            return StartMigration(step.source_host, step.source_port)
        case MigrateStopStep():
            return StopMigration()
        case MigrateCompleteStep():
            return CompleteMigration(step.force)


def _node_type(step: Step, state: GroupState) -> str:
    if not state.clusters:
        raise ControlError(
            f"step {step.label}: the provider shows no node of {state.group.id}, so "
            "its node type is not known; try again when it is available"
        )
    return state.clusters[0].node_type
