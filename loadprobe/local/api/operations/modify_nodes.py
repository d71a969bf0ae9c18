"""Node type and engine version: every node is replaced, replicas first."""

from loadprobe.local.api.changes import Change
from loadprobe.local.api.codec import Params
from loadprobe.local.api.groups import ReplicationGroup
from loadprobe.local.api.operations.rolling import replace_all
from loadprobe.local.api.operations.rules import (
    bad_combination,
    check_node_type,
    check_parameter_group,
    find_program,
)
from loadprobe.local.api.plane import MODIFY, Plane
from loadprobe.local.cluster.servers import ServerBinary


async def plan_nodes(
    plane: Plane, group: ReplicationGroup, params: Params
) -> Change | None:
    """Return the replacement of all nodes, None if there is nothing to change."""
    node_type = check_node_type(params.get("CacheNodeType", group.node_type))
    server = await wanted_server(group, params)
    parameter_group = _wanted_parameter_group(group, params, server)
    node_pending = {}
    if node_type != group.node_type:
        node_pending["CacheNodeType"] = node_type
    if server is not None:
        node_pending["EngineVersion"] = server.version

    def complete() -> None:
        group.node_type = node_type
        group.parameter_group = parameter_group
        if server is not None:
            group.engine = server.engine

    if not node_pending:
        complete()  # a parameter group is only a label here
        return None

    async def perform(change: Change) -> None:
        await replace_all(plane, group, change, server=server)

    what = " and ".join(f"{name} {value}" for name, value in node_pending.items())
    failed = f"Failed applying modification to cache node type to {node_type}."
    return Change(
        MODIFY,
        perform,
        complete=complete,
        node_pending=node_pending,
        done_event=f"Replication group {group.group_id} modified: {what}",
        failed_event=failed if server is None else "",
    )


def _wanted_parameter_group(
    group: ReplicationGroup, params: Params, server: ServerBinary | None
) -> str | None:
    wanted: str | None = params.get("CacheParameterGroupName")
    if wanted is None:
        return group.parameter_group
    turns_on = check_parameter_group(wanted, server or group.cluster.nodes[0].server)
    if turns_on is not group.cluster.cluster_mode:
        raise bad_combination(f"The parameter group {wanted} is for another mode.")
    return wanted


async def wanted_server(group: ReplicationGroup, params: Params) -> ServerBinary | None:
    """Return another server program, None if the request keeps the present one."""
    engine = params.get("Engine", group.engine)
    version = params.get("EngineVersion")
    if version is None and engine == group.engine:
        return None
    server = await find_program(engine, version)
    present = group.cluster.nodes[0].server
    if (server.engine, server.version) == (present.engine, present.version):
        return None
    if (present.engine, server.engine) == ("valkey", "redis"):
        raise bad_combination("The engine cannot be changed from valkey to redis.")
    if _numbers(server) < _numbers(present):
        raise bad_combination(
            f"{present.engine} {present.version} cannot be downgraded to "
            f"{server.version}."
        )
    if group.tls_mode != "none" and not server.has_tls:
        raise bad_combination(
            f"{server.engine} {server.version} as found here was built without TLS."
        )
    return server


def _numbers(server: ServerBinary) -> tuple[int, ...]:
    return tuple(int(part) for part in server.version.split("."))
