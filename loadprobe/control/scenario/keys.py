"""The keys of a scenario file, with their units, ranges and defaults.

``control.scenario.file`` reads and checks a file; the rest of the program relies on
the values. Counts may be relative ("+1"), so that one file serves groups of any size.
"""

from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta

from loadprobe.config.keys import Lane, Name, Ratio, Text
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
from loadprobe.control.scenario.step_keys import (
    BaseStep,
    Command,
    Deadline,
    Names,
    Seconds,
)
from loadprobe.control.scenario.transfer_keys import CopyStep, CutoverStep, DrainStep

Count = Annotated[
    Annotated[int, Meta(ge=0, le=500)]
    | Annotated[str, Meta(pattern=r"^[+-][1-9]\d?\Z")],
    Meta(description='a whole number from 0 to 500, or a change such as "+1" or "-2"'),
]
Shard = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9-]{1,20}\Z",
        description='the id of a shard, such as "0001"',
    ),
]
TlsMode = Literal["none", "preferred", "required"]
Durability = Literal["sync", "async", "disabled"]

RECORDED = "any"
"""``expect.max_lost_writes``: losses are reported, and not judged."""

BACK = "back"
"""``node_type``: the one before the scenario's first node_type step."""

NEXT = "next"
"""``node_type``: the first that the provider lists as a scale-up."""

ALL_SHARDS = "all"
"""``shard`` of a failover: every shard, one after the other."""

OUTSTANDING = "outstanding"
"""``update``: the only one that is."""


class CreateStep(BaseStep, frozen=True, kw_only=True):
    """Create the replication group of [control]; only as the first step.

    Args:
        node_type: of all nodes.
        engine: "valkey" or "redis"; if absent "valkey", or the other one where that
            cannot do what the scenario needs.
        version: engine version; the provider's newest if absent.
        shards: number of shards; 0 creates a group without cluster mode.
        replicas: replicas of each shard.
        mode: TLS mode of the new group; "preferred" is a step of its own.
        subnet_group: the cache subnet group it is placed in.
        security_groups: ids of its security groups.
        parameter_group: its cache parameter group.
        durability: of its writes, from Valkey 9.0 on; the provider's choice if absent.
        keep: the group stays when the run ends, whatever ends it; else it is deleted.
    """

    node_type: Text
    engine: Literal["valkey", "redis"] | None = None
    version: Text | None = None
    shards: Annotated[int, Meta(ge=0, le=500)] = 3
    replicas: Annotated[int, Meta(ge=0, le=5)] = 1
    mode: Literal["none", "required"] = "none"
    subnet_group: Text | None = None
    security_groups: Names | None = None
    parameter_group: Text | None = None
    durability: Durability | None = None
    keep: bool = False


class SeedStep(CreateStep, frozen=True, kw_only=True):
    """Create the replication group of [control] from RDB files.

    Args:
        snapshots: ARNs of RDB files in S3; of a local control plane, paths.
    """

    snapshots: Names


class DeleteStep(BaseStep, frozen=True, kw_only=True):
    """Delete the group that the first step created; only as the last step."""


class TlsStep(BaseStep, frozen=True, kw_only=True):
    """Change the TLS mode by one: none, preferred, required, or back."""

    mode: TlsMode


class DurabilityStep(BaseStep, frozen=True, kw_only=True):
    """Change when writes are made durable: before they are acknowledged, or after."""

    mode: Durability


class FailoverStep(BaseStep, frozen=True, kw_only=True):
    """Fail over one shard, or all of them in turn.

    Args:
        shard: node group id, or "all".
    """

    shard: Annotated[
        Shard, Meta(description='the id of a shard, such as "0001", or "all"')
    ] = ALL_SHARDS
    deadline_s: Deadline = 1800.0


class ScaleStep(BaseStep, frozen=True, kw_only=True):
    """Change the number of shards; slots are moved while they serve."""

    shards: Count


class ReplicasStep(BaseStep, frozen=True, kw_only=True):
    """Change the number of replicas of every shard."""

    count: Count


class NodeTypeStep(BaseStep, frozen=True, kw_only=True):
    """Change the node type.

    Args:
        node_type: a type, "next" for the first that the provider lists as a scale-up,
            or "back" for the one before the scenario's first node_type step.
    """

    node_type: Text


class EngineStep(BaseStep, frozen=True, kw_only=True):
    """Upgrade the engine; there is no way back.

    Args:
        version: engine version to go to.
        engine: "redis", "valkey", or "same" for the one it has.
        parameter_group: cache parameter group of the new version's family; "default"
            leaves it to the provider.
    """

    version: Text
    engine: Literal["redis", "valkey", "same"] = "same"
    parameter_group: Text = "default"


class AuthRotateStep(BaseStep, frozen=True, kw_only=True):
    """Change the AUTH token.

    Args:
        strategy: "rotate" adds the token beside the former one, "set" leaves it alone.
        token_file: file with the token in line 1; made, if there is none.
        token_env: name of an environment variable with the token.
    """

    strategy: Literal["rotate", "set"] = "rotate"
    token_file: Text | None = None
    token_env: Text | None = None


class ApplyUpdateStep(BaseStep, frozen=True, kw_only=True):
    """Apply a service update.

    Args:
        update: its name, or "outstanding" if there is only one.
    """

    update: Text = OUTSTANDING


class WaitStep(BaseStep, frozen=True, kw_only=True):
    """Wait for a status of the group.

    Args:
        until: the status, or "settled": available, and no change pending.
    """

    is_mutation: ClassVar[bool] = False

    until: Literal["settled", "available", "modifying", "migrating", "snapshotting"] = (
        "settled"
    )


class HoldStep(BaseStep, frozen=True, kw_only=True):
    """Only load, for some seconds."""

    is_mutation: ClassVar[bool] = False

    seconds: Annotated[float, Meta(gt=0.0, le=86_400.0)]


class ExecStep(BaseStep, frozen=True, kw_only=True):
    """Run a program; no shell is involved.

    Args:
        command: program and arguments.
        timeout_s: its process group is killed after this time.
    """

    is_mutation: ClassVar[bool] = False

    command: Command
    timeout_s: Deadline = 300.0


Step = (
    CreateStep
    | SeedStep
    | DeleteStep
    | TlsStep
    | DurabilityStep
    | FailoverStep
    | ScaleStep
    | ReplicasStep
    | NodeTypeStep
    | EngineStep
    | AuthRotateStep
    | ApplyUpdateStep
    | MigrateTestStep
    | MigrateStartStep
    | MigrateCompleteStep
    | CreateServerlessStep
    | LimitsStep
    | UserGroupStep
    | MigratePrepareStep
    | MigrateStopStep
    | WaitStep
    | HoldStep
    | ExecStep
    | CopyStep
    | DrainStep
    | CutoverStep
)

Making = CreateStep | CreateServerlessStep
"""Steps that create what [control] names."""


def cuts_over(step: Step) -> bool:
    """Tell whether the provider ends a migration with a step."""
    if isinstance(step, MigrateStartStep):
        return step.auto_cutover
    return isinstance(step, MigrateCompleteStep)


OPERATIONS: dict[str, type[Step]] = {
    "create": CreateStep,
    "create_serverless": CreateServerlessStep,
    "seed": SeedStep,
    "delete": DeleteStep,
    "tls": TlsStep,
    "durability": DurabilityStep,
    "failover": FailoverStep,
    "scale": ScaleStep,
    "replicas": ReplicasStep,
    "node_type": NodeTypeStep,
    "engine": EngineStep,
    "auth_rotate": AuthRotateStep,
    "apply_update": ApplyUpdateStep,
    "limits": LimitsStep,
    "user_group": UserGroupStep,
    "migrate_test": MigrateTestStep,
    "migrate_prepare": MigratePrepareStep,
    "migrate_start": MigrateStartStep,
    "migrate_stop": MigrateStopStep,
    "migrate_complete": MigrateCompleteStep,
    "wait": WaitStep,
    "hold": HoldStep,
    "exec": ExecStep,
    "copy": CopyStep,
    "drain": DrainStep,
    "cutover": CutoverStep,
}
"""What ``operation`` may be -> the keys of such a step."""


class ExpectedDark(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Lanes that cannot be served for a time, by plan: it is not counted as downtime.

    Args:
        dark: "tcp", "tls", "all", or names of lanes.
        from_step: from this step's API call on.
        until_step: until this step has settled, the next time it does; if absent,
            until the end of the run.
        shard: only this shard.
    """

    dark: Names
    from_step: Name
    until_step: Name | None = None
    shard: Shard | None = None


class Expect(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What has to be true at the end.

    Args:
        max_lost_writes: acknowledged writes that may be lost; "any" reports them only.
        max_wrong: replies that may be wrong.
    """

    max_lost_writes: Annotated[
        Annotated[int, Meta(ge=0, le=1_000_000_000)] | Literal["any"],
        Meta(description='a whole number from 0 to 1000000000, or "any"'),
    ] = 0
    max_wrong: Annotated[int, Meta(ge=0, le=1_000_000_000)] = 0


class Abort(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What ends the scenario early; absent: nothing does.

    Args:
        max_outage_ms: an outage that was not expected, also while it goes on.
        max_error_ratio: failed among all arrivals since the scenario began.
        max_wrong: wrong replies.
    """

    max_outage_ms: Annotated[float, Meta(gt=0.0, le=86_400_000.0)] | None = None
    max_error_ratio: Ratio | None = None
    max_wrong: Annotated[int, Meta(ge=0, le=1_000_000_000)] | None = None


class ScenarioKeys(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The top of a scenario file.

    Args:
        description: one sentence for lists of scenarios.
        steps: in their order; none only observes.
        baseline_s: load before the first step.
        after_s: load after the last step.
        repeat: how often the steps are carried out.
        vars: values that ``--var`` may replace; "${name}" in a text stands for one.
        lanes: further lanes, besides those of the configuration.
        expected: darkness by plan.
        expect: what has to be true at the end.
        abort: what ends it early.
    """

    description: Text
    steps: tuple[dict[str, object], ...] = ()
    baseline_s: Seconds = 10.0
    after_s: Seconds = 10.0
    repeat: Annotated[int, Meta(ge=1, le=100)] = 1
    vars: dict[str, str | int | float | bool] = {}
    lanes: tuple[Lane, ...] = ()
    expected: tuple[ExpectedDark, ...] = ()
    expect: Expect = Expect()
    abort: Abort = Abort()
