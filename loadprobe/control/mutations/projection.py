"""What a group is going to be once a mutation is done, as far as it can be told.

Pure. Used to plan later steps of a scenario from what earlier ones make of the group.
"""

from collections.abc import Sequence
from dataclasses import replace

from loadprobe.control.mutations.changes import (
    ApplyUpdate,
    RotateAuth,
    Scale,
    SetNodeType,
    SetReplicas,
    SetTls,
    UpgradeEngine,
)
from loadprobe.control.mutations.lifecycle import (
    CompleteMigration,
    CreateGroup,
    DeleteGroup,
    StartMigration,
)
from loadprobe.control.mutations.mutation import Mutation
from loadprobe.control.provider.replies import CacheCluster, Group, NodeGroup
from loadprobe.control.provider.state import ABSENT, AVAILABLE, MIGRATING, GroupState


def projected(state: GroupState, mutation: Mutation) -> GroupState:
    """Return a group as it is after a mutation."""
    match mutation:
        case SetNodeType() | UpgradeEngine():
            return _with_other_nodes(state, mutation)
        case ApplyUpdate():
            done = [replace(update, status="complete") for update in state.updates]
            return replace(state, updates=tuple(done))
        case _:
            return replace(state, group=_projected_group(state.group, mutation))


def _projected_group(group: Group, mutation: Mutation) -> Group:
    changes: dict[str, object] = {}
    match mutation:
        case SetTls():
            changes["tls_mode"] = mutation.mode
        case RotateAuth():
            changes["has_auth"] = True
        case Scale():
            sizes = [len(shard.members) for shard in group.shards.values()] or [1]
            changes["shards"] = _shards(group.id, mutation.count, size=min(sizes))
        case SetReplicas():
            size = mutation.count + 1
            changes["shards"] = _shards(group.id, len(group.shards), size=size)
        case StartMigration():
            changes["status"] = MIGRATING
        case CompleteMigration():
            changes["status"] = AVAILABLE
        case DeleteGroup():
            changes["status"] = ABSENT
        case CreateGroup():
            changes = {
                "status": AVAILABLE,
                "tls_mode": mutation.tls_mode,
                "is_cluster": mutation.is_cluster,
                "shards": _shards(
                    group.id, mutation.shard_count, size=mutation.replicas + 1
                ),
            }
    return replace(group, **changes)  # type: ignore[arg-type]


def _shards(group_id: str, count: int, *, size: int) -> dict[str, NodeGroup]:
    """Return so many shards of so many nodes; which slots they have is not known."""
    ids = [f"{number:04d}" for number in range(1, count + 1)]
    return {
        id_: NodeGroup(
            id=id_,
            status=AVAILABLE,
            slots=(),
            members=tuple(f"{group_id}-{id_}-{n:03d}" for n in range(1, size + 1)),
        )
        for id_ in ids
    }


def _with_other_nodes(
    state: GroupState, mutation: SetNodeType | UpgradeEngine
) -> GroupState:
    clusters: Sequence[CacheCluster]
    if isinstance(mutation, SetNodeType):
        clusters = [replace(c, node_type=mutation.node_type) for c in state.clusters]
    else:
        engine, version = mutation.engine, mutation.version
        clusters = [
            replace(c, engine=engine, engine_version=version) for c in state.clusters
        ]
    # What the provider offers to such nodes is not known.
    return replace(state, clusters=tuple(clusters), node_types=None)
