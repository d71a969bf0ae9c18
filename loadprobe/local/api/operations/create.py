"""CreateReplicationGroup: new servers, a new cluster, a new group."""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loadprobe.local.api.changes import Change
from loadprobe.local.api.codec import Params
from loadprobe.local.api.faults import ApiFault
from loadprobe.local.api.groups import ReplicationGroup
from loadprobe.local.api.node_types import DEFAULT_NODE_TYPE
from loadprobe.local.api.operations.rules import (
    MOST_REPLICAS,
    MOST_SHARDS,
    bad_combination,
    bad_value,
    check_no_user_groups,
    check_node_type,
    check_parameter_group,
    check_token,
    find_program,
    refuse,
)
from loadprobe.local.api.operations.tags import read_tags
from loadprobe.local.api.plane import Plane, now
from loadprobe.local.api.rendering import describe_group
from loadprobe.local.cluster.certificates import CertificateSet
from loadprobe.local.cluster.cluster import LocalCluster
from loadprobe.local.cluster.layout import even_slots
from loadprobe.local.cluster.membership import add_replica
from loadprobe.local.cluster.seeding import seed
from loadprobe.local.cluster.servers import ServerBinary
from loadprobe.local.cluster.settings import TlsMode

_GROUP_ID = re.compile(r"[a-z](-?[a-z0-9]){0,39}")
_REFUSED = (
    "GlobalReplicationGroupId",
    "PrimaryClusterId",
    "SnapshotName",
    "ServerlessCacheSnapshotName",
    "DataTieringEnabled",
    "CacheSecurityGroupNames",
    "LogDeliveryConfigurations",
)


@dataclass(frozen=True, slots=True)
class Wish:
    """What a request for a group asks for, checked.

    Args:
        group_id: ReplicationGroupId.
        replicas: replicas of each node group.
        cluster_mode: cluster mode enabled.
        tls_mode: transit encryption.
        password: AuthToken.
        server: the program.
        snapshots: RDB files of this host that it is seeded from.
    """

    group_id: str
    replicas: tuple[int, ...]
    cluster_mode: bool
    tls_mode: TlsMode
    password: str | None = field(repr=False)
    server: ServerBinary
    snapshots: tuple[Path, ...] = ()

    @property
    def nodes(self) -> int:
        """How many nodes there will be."""
        return len(self.replicas) + sum(self.replicas)


async def create_replication_group(plane: Plane, params: Params) -> dict[str, Any]:
    """CreateReplicationGroup."""
    refuse(params, _REFUSED)
    check_no_user_groups(params.get("UserGroupIds", []))
    node_type = check_node_type(params.get("CacheNodeType", DEFAULT_NODE_TYPE))
    server = await find_program(params.get("Engine"), params.get("EngineVersion"))
    wish = _read_wish(params, server)
    automatic_failover = _automatic_failover(params, wish)
    if wish.group_id in plane.groups:
        raise ApiFault(
            "ReplicationGroupAlreadyExists",
            f"Replication group {wish.group_id} already exists.",
        )
    plane.require_room(wish.nodes)
    group = ReplicationGroup(
        wish.group_id,
        _cluster(wish, plane.certificates),
        now(),
        server.engine,
        description=params["ReplicationGroupDescription"],
        resting_status="creating",
        node_type=node_type,
        parameter_group=params.get("CacheParameterGroupName"),
        maintenance_window=params.get("PreferredMaintenanceWindow"),
        automatic_failover=automatic_failover,
        multi_az=params.get("MultiAZEnabled", False),
        is_owned=True,
        tags=read_tags(params),
    )
    plane.groups[wish.group_id] = group
    plane.name_endpoints(group)
    plane.begin(group, _creation(group, wish))
    return {"ReplicationGroup": await describe_group(group)}


def _creation(group: ReplicationGroup, wish: Wish) -> Change:
    async def perform(_change: Change) -> None:
        cluster = await group.cluster.__aenter__()
        try:
            for shard, replicas in zip(cluster.shards, wish.replicas, strict=True):
                while len(shard.nodes) < 1 + replicas:
                    await add_replica(cluster, shard)
            await seed(cluster, wish.snapshots)
        except BaseException:
            await asyncio.shield(cluster.__aexit__(None, None, None))
            raise

    def complete() -> None:
        group.resting_status = "available"
        if wish.password is not None:
            group.token_changed = now()

    def give_up() -> None:
        group.resting_status = "create-failed"

    return Change(
        "CreateReplicationGroup",
        perform,
        complete=complete,
        give_up=give_up,
        status="creating",
        is_visible=True,
        done_event=f"Replication group {group.group_id} created",
        more_nodes=wish.nodes,
    )


def _cluster(wish: Wish, certificates: CertificateSet | None) -> LocalCluster:
    return LocalCluster(
        shards=len(wish.replicas),
        replicas_per_shard=min(wish.replicas),
        tls_mode=wish.tls_mode,
        password=wish.password,
        server=wish.server.path,
        cluster_mode=wish.cluster_mode,
        name=wish.group_id,
        certificates=certificates,
    )


def _read_wish(params: Params, server: ServerBinary) -> Wish:
    group_id = params["ReplicationGroupId"].lower()
    if not _GROUP_ID.fullmatch(group_id) or len(group_id) > 40:
        raise bad_value(
            f"ReplicationGroupId {group_id!r} is not valid: 1 to 40 letters, digits "
            "and single hyphens, beginning with a letter."
        )
    tls_mode = _tls_mode(params, server)
    password = params.get("AuthToken")
    if password is not None:
        check_token(password)
        if tls_mode == "none":
            raise bad_combination("AuthToken needs TransitEncryptionEnabled.")
    replicas = _replicas(params)
    return Wish(
        group_id=group_id,
        replicas=replicas,
        cluster_mode=_cluster_mode(params, server, shards=len(replicas)),
        tls_mode=tls_mode,
        password=password,
        server=server,
        snapshots=read_snapshots(params, "SnapshotArns"),
    )


def read_snapshots(params: Params, member: str) -> tuple[Path, ...]:
    """Return the files that a member names; here they are paths of this host."""
    found = tuple(Path(each) for each in params.get(member, ()))
    for path in found:
        if not path.is_absolute():
            raise bad_value(
                f"{member} {str(path)!r} is not valid: this control plane takes "
                "absolute paths of RDB files."
            )
        if not path.is_file():
            raise ApiFault(
                "SnapshotNotFoundFault", f"There is no file {path}, or it is no file."
            )
    return found


def _tls_mode(params: Params, server: ServerBinary) -> TlsMode:
    mode = params.get("TransitEncryptionMode")
    if not params.get("TransitEncryptionEnabled", False):
        if mode is not None:
            raise bad_combination(
                "To set the transit encryption mode, set TransitEncryptionEnabled."
            )
        return "none"
    if mode not in (None, "preferred", "required"):
        raise bad_value(f"Invalid TransitEncryptionMode: {mode}.")
    if not server.has_tls:
        raise bad_combination(
            f"{server.engine} {server.version} as found here was built without TLS."
        )
    return "preferred" if mode == "preferred" else "required"


def _cluster_mode(params: Params, server: ServerBinary, *, shards: int) -> bool:
    """Tell whether cluster mode is wanted: by mode, by parameter group, by shards."""
    mode = params.get("ClusterMode")
    if mode not in (None, "enabled", "disabled"):
        raise bad_value(f"ClusterMode {mode} is not supported by this control plane.")
    name = params.get("CacheParameterGroupName")
    by_parameters = name is not None and check_parameter_group(name, server)
    if mode == "disabled" and (by_parameters or shards > 1):
        raise bad_combination(
            "ClusterMode disabled has one node group, and a parameter group without "
            "cluster mode."
        )
    return mode == "enabled" or by_parameters or shards > 1


def _replicas(params: Params) -> tuple[int, ...]:
    """Return the number of replicas of each node group."""
    groups = params.get("NodeGroupConfiguration", [])
    shards = params.get("NumNodeGroups", len(groups) or 1)
    if shards > MOST_SHARDS:
        raise ApiFault(
            "NodeGroupsPerReplicationGroupQuotaExceeded",
            f"NumNodeGroups is {shards}: at most {MOST_SHARDS}.",
        )
    if shards < 1 or (groups and len(groups) != shards):
        raise bad_value(
            f"NumNodeGroups is {shards}, with {len(groups)} elements in "
            "NodeGroupConfiguration."
        )
    usual = params.get("ReplicasPerNodeGroup")
    clusters = params.get("NumCacheClusters")
    if clusters is not None:
        if usual is not None or shards > 1:
            raise bad_combination(
                "NumCacheClusters is for one node group, without ReplicasPerNodeGroup."
            )
        usual = clusters - 1
    _check_slots(groups)
    wanted = tuple(each.get("ReplicaCount", usual or 0) for each in groups)
    wanted = wanted or (usual or 0,) * shards
    if not all(0 <= replicas <= MOST_REPLICAS for replicas in wanted):
        raise bad_value(f"A node group has 0 to {MOST_REPLICAS} replicas.")
    return wanted


def _check_slots(groups: Sequence[Params]) -> None:
    even = even_slots(len(groups)) if groups else []
    for number, (each, owned) in enumerate(zip(groups, even, strict=True), start=1):
        if each.get("NodeGroupId", f"{number:04d}") != f"{number:04d}":
            raise bad_value("Node groups are named 0001, 0002 and so on here.")
        if each.get("Slots", str(owned)) != str(owned):
            raise bad_value(f"Slots are split evenly here: {owned} for {number:04d}.")


def _automatic_failover(params: Params, wish: Wish) -> bool:
    wanted = params.get("AutomaticFailoverEnabled")
    if wish.cluster_mode:
        if wanted is False:
            raise bad_combination(
                "Automatic failover cannot be off with cluster mode enabled."
            )
        return True
    if wanted and not sum(wish.replicas):
        raise bad_combination("Automatic failover needs a replica.")
    if params.get("MultiAZEnabled") and not wanted:
        raise bad_combination("Multi-AZ needs automatic failover.")
    return bool(wanted)
