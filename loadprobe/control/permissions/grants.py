"""What AWS has to allow for what is done: one table of IAM actions and resources.

Pure. Files, commands and templates are made from it, and a test derives the same
actions from the code that makes the calls. Which kinds of resource an action can be
limited to is that of the Service Authorization Reference of ElastiCache.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from loadprobe.config.keys import Control
from loadprobe.control.mutations.marks import (
    CREATED_BY_TAG,
    CREATED_BY_VALUE,
    MARK_TAG,
)

PolicyCondition = Mapping[str, Mapping[str, str | tuple[str, ...]]]


class On(StrEnum):
    """What an action may be limited to, as the last part of an ARN."""

    GROUP = "replicationgroup:{group}"
    ITS_NODES = "cluster:{group}-*"
    ALL_NODES = "cluster:*"
    PARAMETER_GROUPS = "parametergroup:*"
    SUBNET_GROUPS = "subnetgroup:*"
    CACHE = "serverlesscache:{group}"
    USER_GROUPS = "usergroup:*"
    CACHE_SNAPSHOTS = "serverlesscachesnapshot:*"
    SNAPSHOTS = "snapshot:*"
    EVERYTHING = "*"


@dataclass(frozen=True, slots=True)
class Grant:
    """Some actions on some resources.

    Args:
        actions: of ElastiCache.
        on: what they may be done to.
        condition: when; {} is always.
    """

    actions: tuple[str, ...]
    on: tuple[On, ...]
    condition: PolicyCondition = field(default_factory=dict)


WATCH = "watch"
DELETE = "delete"

_MADE_HERE: PolicyCondition = {
    "StringEquals": {f"aws:RequestTag/{CREATED_BY_TAG}": CREATED_BY_VALUE}
}
_OURS: PolicyCondition = {
    "StringEquals": {f"aws:ResourceTag/{CREATED_BY_TAG}": CREATED_BY_VALUE}
}
_OUR_TAGS: PolicyCondition = {
    **_MADE_HERE,
    "ForAllValues:StringEquals": {"aws:TagKeys": (CREATED_BY_TAG, MARK_TAG)},
}
_MODIFY = Grant(("ModifyReplicationGroup",), (On.GROUP,))

# Tags that come with a request need the action of tagging too. Nothing but the name
# of the group keeps that from tagging a group of others.
_CREATE = (
    Grant(("CreateReplicationGroup",), (On.GROUP, On.ITS_NODES), _MADE_HERE),
    Grant(
        ("CreateReplicationGroup",),
        (On.PARAMETER_GROUPS, On.SUBNET_GROUPS),
    ),
    Grant(("AddTagsToResource",), (On.GROUP, On.ITS_NODES), _OUR_TAGS),
)

Grants = Mapping[str, tuple[Grant, ...]]
"""What is done -> what has to be allowed for it."""

GRANTS: Grants = {
    # Nodes are asked for without an id: all are told, and ours are picked out. Events
    # know no resource.
    WATCH: (
        Grant(("DescribeReplicationGroups", "DescribeUpdateActions"), (On.GROUP,)),
        Grant(("DescribeCacheClusters",), (On.ALL_NODES,)),
        Grant(("DescribeEvents",), (On.EVERYTHING,)),
    ),
    "create": _CREATE,
    "seed": _CREATE,
    # A group that migrates cannot be deleted before that is ended.
    DELETE: (
        Grant(("ListTagsForResource",), (On.GROUP,)),
        Grant(("CompleteMigration", "DeleteReplicationGroup"), (On.GROUP,), _OURS),
    ),
    "tls": (_MODIFY,),
    "failover": (Grant(("TestFailover",), (On.GROUP,)),),
    "scale": (Grant(("ModifyReplicationGroupShardConfiguration",), (On.GROUP,)),),
    "replicas": (Grant(("DecreaseReplicaCount", "IncreaseReplicaCount"), (On.GROUP,)),),
    "node_type": (
        Grant(
            ("ListAllowedNodeTypeModifications", "ModifyReplicationGroup"),
            (On.GROUP,),
        ),
    ),
    "engine": (
        Grant(("DescribeCacheEngineVersions",), (On.EVERYTHING,)),
        Grant(("ModifyReplicationGroup",), (On.GROUP, On.PARAMETER_GROUPS)),
    ),
    "auth_rotate": (_MODIFY,),
    "durability": (_MODIFY,),
    "apply_update": (Grant(("BatchApplyUpdateAction",), (On.GROUP,)),),
    "migrate_test": (Grant(("TestMigration",), (On.GROUP,)),),
    "migrate_start": (Grant(("StartMigration",), (On.GROUP,)),),
    "migrate_complete": (Grant(("CompleteMigration",), (On.GROUP,)),),
}
"""Of replication groups: what has to be allowed, beside ``WATCH`` for all but that.

Names are those of the operations of a scenario; ``DELETE`` is `loadprobe cleanup` too.
"""

_MODIFY_CACHE = Grant(("ModifyServerlessCache",), (On.CACHE,))

SERVERLESS_GRANTS: Grants = {
    WATCH: (
        Grant(("DescribeServerlessCaches",), (On.CACHE,)),
        Grant(("DescribeEvents",), (On.EVERYTHING,)),
    ),
    "create_serverless": (
        Grant(("CreateServerlessCache",), (On.CACHE,), _MADE_HERE),
        Grant(
            ("CreateServerlessCache",),
            (On.CACHE_SNAPSHOTS, On.SNAPSHOTS, On.USER_GROUPS),
        ),
        Grant(("AddTagsToResource",), (On.CACHE,), _OUR_TAGS),
    ),
    # A cache that follows a source is promoted by force before it is deleted.
    DELETE: (
        Grant(("ListTagsForResource",), (On.CACHE,)),
        Grant(("CompleteMigration", "DeleteServerlessCache"), (On.CACHE,), _OURS),
    ),
    "engine": (_MODIFY_CACHE,),
    "limits": (_MODIFY_CACHE,),
    "user_group": (Grant(("ModifyServerlessCache",), (On.CACHE, On.USER_GROUPS)),),
    "migrate_prepare": (Grant(("PrepareMigration",), (On.CACHE,)),),
    "migrate_start": (Grant(("StartMigration",), (On.CACHE,)),),
    "migrate_stop": (Grant(("StopMigration",), (On.CACHE,)),),
    "migrate_complete": (Grant(("CompleteMigration",), (On.CACHE,)),),
}
"""The same of serverless caches."""

CHANGES_NOTHING = frozenset({"copy", "cutover", "drain", "exec", "hold", "wait"})
"""Operations of a scenario that need nothing but ``WATCH``."""


def table_of(control: Control) -> Grants:
    """Return the table for what ``[control]`` names."""
    return SERVERLESS_GRANTS if control.is_serverless else GRANTS


def purposes_of(operations: tuple[str, ...], table: Grants = GRANTS) -> tuple[str, ...]:
    """Return what a run with steps of these operations does, in the table's order.

    A group that is created is deleted at the end.
    """
    wanted = {WATCH, *operations} - CHANGES_NOTHING
    if wanted & {"create", "seed", "create_serverless"}:
        wanted.add(DELETE)
    return tuple(purpose for purpose in table if purpose in wanted)


def actions_of(*purposes: str, table: Grants = GRANTS) -> frozenset[str]:
    """Return the actions of ElastiCache that are needed for all of these."""
    return frozenset(
        action
        for purpose in purposes
        for grant in table[purpose]
        for action in grant.actions
    )
