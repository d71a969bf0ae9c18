"""The operations on serverless caches: create, describe, modify, delete."""

import asyncio
import re
from typing import Any

from loadprobe.local.api.changes import Change
from loadprobe.local.api.codec import Params
from loadprobe.local.api.faults import ApiFault
from loadprobe.local.api.groups import ReplicationGroup
from loadprobe.local.api.operations.create import read_snapshots
from loadprobe.local.api.operations.modify_nodes import wanted_server
from loadprobe.local.api.operations.paging import read_marker
from loadprobe.local.api.operations.rolling import replace_all
from loadprobe.local.api.operations.rules import (
    bad_combination,
    bad_value,
    check_no_user_groups,
    find_program,
    refuse,
)
from loadprobe.local.api.operations.tags import read_tags
from loadprobe.local.api.plane import Plane, end_cluster, now
from loadprobe.local.api.serverless import (
    REPLICAS,
    SHARDS,
    ServerlessCache,
    describe_cache,
)
from loadprobe.local.cluster.cluster import LocalCluster
from loadprobe.local.cluster.seeding import seed

_NAME = re.compile(r"[a-z](-?[a-z0-9]){0,39}")
_REFUSED = (
    "KmsKeyId",
    "SnapshotRetentionLimit",
    "DailySnapshotTime",
    "NetworkType",
    "ConnectionType",
    "Integrations",
)
_USUAL_RESULTS, _MOST_RESULTS = 50, 100


def shown(cache: ServerlessCache) -> dict[str, Any]:
    """Return the result of an operation on one cache."""
    return {"ServerlessCache": describe_cache(cache)}


async def create_serverless_cache(plane: Plane, params: Params) -> dict[str, Any]:
    """CreateServerlessCache."""
    refuse(params, _REFUSED)
    check_no_user_groups([params["UserGroupId"]] if "UserGroupId" in params else [])
    name = params["ServerlessCacheName"].lower()
    if not _NAME.fullmatch(name) or len(name) > 40:
        raise bad_value(
            f"ServerlessCacheName {name!r} is not valid: 1 to 40 letters, digits and "
            "single hyphens, beginning with a letter."
        )
    limits = _limits(params)
    snapshots = read_snapshots(params, "SnapshotArnsToRestore")
    server = await find_program(params["Engine"], params.get("MajorEngineVersion"))
    if not server.has_tls:
        raise bad_combination(
            f"{server.engine} {server.version} as found here was built without TLS."
        )
    if name in plane.caches:
        raise ApiFault(
            "ServerlessCacheAlreadyExistsFault",
            f"Serverless cache {name} already exists.",
        )
    plane.require_room(SHARDS * (1 + REPLICAS))
    cluster = LocalCluster(
        shards=SHARDS,
        replicas_per_shard=REPLICAS,
        tls_mode="required",
        server=server.path,
        name=name,
        certificates=plane.certificates,
    )
    servers = ReplicationGroup(
        name,
        cluster,
        now(),
        server.engine,
        resting_status="creating",
        is_owned=True,
        is_serverless=True,
        tags=read_tags(params),
    )
    cache = ServerlessCache(
        servers,
        description=params.get("Description", ""),
        limits=limits,
        subnets=params.get("SubnetIds", []),
        security_groups=params.get("SecurityGroupIds", []),
    )

    async def perform(_change: Change) -> None:
        await cluster.__aenter__()
        try:
            await seed(cluster, snapshots)
        except BaseException:
            await asyncio.shield(end_cluster(cluster))
            raise

    def settle(status: str) -> None:
        servers.resting_status = status

    plane.caches[name] = cache
    change = Change(
        "CreateServerlessCache",
        perform,
        complete=lambda: settle("available"),
        give_up=lambda: settle("create-failed"),
        status="creating",
        is_visible=True,
        done_event=f"Serverless cache {name} created",
        more_nodes=SHARDS * (1 + REPLICAS),
    )
    plane.begin(servers, change)
    return shown(cache)


async def describe_serverless_caches(plane: Plane, params: Params) -> dict[str, Any]:
    """DescribeServerlessCaches; a token is the position of the next one."""
    name = params.get("ServerlessCacheName")
    caches = list(plane.caches.values()) if name is None else [plane.cache(name)]
    most = params.get("MaxResults", _USUAL_RESULTS)
    if not 1 <= most <= _MOST_RESULTS:
        raise bad_value(f"MaxResults is {most}: it must be 1 to {_MOST_RESULTS}.")
    first = read_marker(params.get("NextToken"), "NextToken")
    after = first + most
    described = [describe_cache(cache) for cache in caches[first:after]]
    following = {"NextToken": str(after)} if after < len(caches) else {}
    return {"ServerlessCaches": described} | following


async def modify_serverless_cache(plane: Plane, params: Params) -> dict[str, Any]:
    """ModifyServerlessCache: engine, limits and labels, all in one change."""
    cache = plane.cache(params["ServerlessCacheName"])
    servers = cache.servers
    servers.require_available()
    refuse(params, _REFUSED)
    check_no_user_groups([params["UserGroupId"]] if "UserGroupId" in params else [])
    limits = _limits(params)
    wanted = {"Engine": params.get("Engine", servers.engine)}
    if "MajorEngineVersion" in params:
        wanted["EngineVersion"] = params["MajorEngineVersion"]
    server = await wanted_server(servers, wanted)
    servers.require_available()  # again: looking for a program takes time

    async def perform(change: Change) -> None:
        if server is not None:
            await replace_all(plane, servers, change, server=server)

    def complete() -> None:
        if server is not None:
            servers.engine = server.engine
        cache.limits = cache.limits | limits
        cache.description = params.get("Description", cache.description)
        cache.security_groups = params.get("SecurityGroupIds", cache.security_groups)

    change = Change(
        "ModifyServerlessCache",
        perform,
        complete=complete,
        done_event=f"Serverless cache {cache.name} updated",
    )
    plane.begin(servers, change)
    return shown(cache)


async def delete_serverless_cache(plane: Plane, params: Params) -> dict[str, Any]:
    """DeleteServerlessCache; not of one that follows a source."""
    cache = plane.cache(params["ServerlessCacheName"])
    servers = cache.servers
    refuse(params, ("FinalSnapshotName",))
    servers.require_deletable()
    if cache.migration is not None and cache.migration.copies.clusters:
        raise ApiFault(
            "InvalidServerlessCacheStateFault",
            f"Serverless cache {cache.name} follows a source; end that first.",
        )

    async def perform(_change: Change) -> None:
        await end_cluster(servers.cluster)

    change = Change(
        "DeleteServerlessCache",
        perform,
        complete=lambda: plane.forget_cache(cache),
        status="deleting",
        is_visible=True,
        done_event=f"Serverless cache {cache.name} deleted",
    )
    plane.begin(servers, change)
    return shown(cache)


def _limits(params: Params) -> dict[str, Any]:
    """Return CacheUsageLimits, checked: no limit is below the least use."""
    limits: dict[str, Any] = params.get("CacheUsageLimits", {})
    for name, range_ in limits.items():
        least, most = range_.get("Minimum"), range_.get("Maximum")
        if least is not None and most is not None and least > most:
            raise bad_value(f"The Minimum of {name} is above its Maximum.")
    return limits
