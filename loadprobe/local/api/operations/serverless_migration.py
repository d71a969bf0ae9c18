"""Online migration of a source outside into a serverless cache.

Prepare, start, stop and complete, in the order and with the faults of the API
reference. Two things are not as on AWS: the endpoint of the cache does not lead to the
source meanwhile, and a source is talked to without TLS and login.
"""

import asyncio
from typing import Any

from loadprobe.errors import RunError
from loadprobe.local.api.changes import Change
from loadprobe.local.api.codec import Params
from loadprobe.local.api.faults import ApiFault
from loadprobe.local.api.operations.rules import bad_combination, read_source, refuse
from loadprobe.local.api.operations.serverless import shown
from loadprobe.local.api.plane import Plane
from loadprobe.local.api.serverless import (
    CUTTING_OVER,
    PREPARED,
    PREPARING,
    STARTING,
    STOPPED,
    STOPPING,
    SYNCING,
    CacheMigration,
    ServerlessCache,
)
from loadprobe.local.cluster.following import SourceCopies, clear, is_empty
from loadprobe.local.cluster.formation import within

_COMPLETE_TIMEOUT_S = 60.0
_POLL_S = 0.05


async def prepare_migration(plane: Plane, params: Params) -> dict[str, Any]:
    """PrepareMigration: a source that cannot be followed is told by an event."""
    cache = plane.cache(params["ServerlessCacheName"])
    refuse(params, ("SourceAuthenticationConfiguration",))
    tls = params.get("SourceTlsConfiguration", {})
    if tls.get("SourceTlsMode", "none") != "none":
        raise bad_combination("A source with TLS is not supported here.")
    host, port = read_source(params)
    if cache.migration is not None:
        raise ApiFault(
            "ServerlessCacheAlreadyUnderMigrationFault",
            f"Serverless cache {cache.name} is already under migration.",
        )
    cache.servers.require_available()
    migration = CacheMigration(SourceCopies(host, port, cache.servers.cluster))
    cache.migration = migration

    async def perform(_change: Change) -> None:
        await migration.copies.check()

    def complete() -> None:
        migration.status = PREPARED

    def give_up() -> None:
        cache.migration = None

    change = Change(
        "PrepareMigration",
        perform,
        complete=complete,
        give_up=give_up,
        done_event=f"Prepare Migration successful for {cache.name}",
    )
    _begin(plane, cache, change, PREPARING)
    return shown(cache)


async def start_migration(plane: Plane, params: Params) -> dict[str, Any]:
    """StartMigration into a cache: it follows the source from then on."""
    cache = plane.cache(params["ServerlessCacheName"])
    refuse(params, ("CustomerNodeEndpointList",))
    migration = cache.require_migration(PREPARED, STOPPED)
    cache.servers.require_available()
    is_cleared = params.get("ClearTargetCacheData", False)
    if migration.has_stopped and not is_cleared:
        raise bad_combination(
            "ClearTargetCacheData is needed to start a migration that was stopped."
        )
    migration.is_automatic = params.get("AutoCutover", False)
    before = migration.status

    async def perform(_change: Change) -> None:
        cluster = cache.servers.cluster
        if is_cleared:
            await clear(cluster)
        elif not await is_empty(cluster):
            raise RunError("the cache holds data; ClearTargetCacheData deletes it")
        await migration.copies.start()

    def complete() -> None:
        migration.status = SYNCING
        if migration.is_automatic:
            plane.spawn(_cut_over_alone(plane, cache), what=f"cutover of {cache.name}")

    def give_up() -> None:
        migration.status = before

    change = Change(
        "StartMigration",
        perform,
        complete=complete,
        give_up=give_up,
        done_event=f"Start Migration successful for {cache.name}",
    )
    _begin(plane, cache, change, STARTING)
    return shown(cache)


async def stop_migration(plane: Plane, params: Params) -> dict[str, Any]:
    """StopMigration: the source is followed no more; it may be started again."""
    cache = plane.cache(params["ServerlessCacheName"])
    migration = cache.require_migration(SYNCING)
    cache.servers.require_available()

    async def perform(_change: Change) -> None:
        await migration.copies.end()

    def complete() -> None:
        migration.status, migration.has_stopped = STOPPED, True

    change = Change(
        "StopMigration",
        perform,
        complete=complete,
        done_event=f"Stop Migration successful for {cache.name}",
    )
    _begin(plane, cache, change, STOPPING)
    return shown(cache)


async def complete_migration(plane: Plane, params: Params) -> dict[str, Any]:
    """CompleteMigration of a cache; if it fails, the source is followed still."""
    cache = plane.cache(params["ServerlessCacheName"])
    cache.require_migration(SYNCING)
    cache.servers.require_available()
    _begin_cutover(plane, cache, force=params.get("Force", False))
    return shown(cache)


async def _cut_over_alone(plane: Plane, cache: ServerlessCache) -> None:
    """Complete a migration as soon as nothing else is under way."""
    while cache.servers.change is not None:
        await asyncio.sleep(_POLL_S)
    if cache.migration is not None and cache.migration.status == SYNCING:
        _begin_cutover(plane, cache, force=False)


def _begin_cutover(plane: Plane, cache: ServerlessCache, *, force: bool) -> None:
    migration = cache.require_migration(SYNCING)

    async def perform(_change: Change) -> None:
        async with within(_COMPLETE_TIMEOUT_S, what="all data of the source arrived"):
            await migration.copies.hand_over(force=force)

    def complete() -> None:
        cache.migration = None

    def give_up() -> None:
        migration.status = SYNCING if migration.copies.clusters else STOPPED

    change = Change(
        "CompleteMigration",
        perform,
        complete=complete,
        give_up=give_up,
        done_event=f"Complete Migration successful for {cache.name}",
    )
    _begin(plane, cache, change, CUTTING_OVER)


def _begin(plane: Plane, cache: ServerlessCache, change: Change, status: str) -> None:
    """Begin a change of a migration, whose status shows it at once."""
    assert cache.migration is not None, "it is opened first"
    plane.begin(cache.servers, change)
    cache.migration.status = status
