"""Online migration of a source outside into a serverless cache.

Prepare, start, stop and complete, in the order and with the faults of the API
reference. Two things are not as on AWS: the endpoint of the cache does not lead to the
source meanwhile, and a source is talked to without TLS and login.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class _Phase:
    """What one call has a migration go through.

    Args:
        verb: first word of the API action.
        status: of the migration while it is under way.
        perform: does the work; what it raises makes it fail.
        complete: called when the work is done.
        give_up: called when it failed; the status stays without it.
    """

    verb: str
    status: str
    perform: Callable[[], Awaitable[object]]
    complete: Callable[[], None]
    give_up: Callable[[], None] = lambda: None


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

    def complete() -> None:
        migration.status = PREPARED

    def give_up() -> None:
        cache.migration = None

    phase = _Phase("Prepare", PREPARING, migration.copies.check, complete, give_up)
    _begin(plane, cache, phase)
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

    async def perform() -> None:
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

    _begin(plane, cache, _Phase("Start", STARTING, perform, complete, give_up))
    return shown(cache)


async def stop_migration(plane: Plane, params: Params) -> dict[str, Any]:
    """StopMigration: the source is followed no more; it may be started again."""
    cache = plane.cache(params["ServerlessCacheName"])
    migration = cache.require_migration(SYNCING)
    cache.servers.require_available()

    def complete() -> None:
        migration.status, migration.has_stopped = STOPPED, True

    _begin(plane, cache, _Phase("Stop", STOPPING, migration.copies.end, complete))
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

    async def perform() -> None:
        async with within(_COMPLETE_TIMEOUT_S, what="all data of the source arrived"):
            await migration.copies.hand_over(force=force)

    def complete() -> None:
        cache.migration = None

    def give_up() -> None:
        migration.status = SYNCING if migration.copies.clusters else STOPPED

    phase = _Phase("Complete", CUTTING_OVER, perform, complete, give_up)
    _begin(plane, cache, phase)


def _begin(plane: Plane, cache: ServerlessCache, phase: _Phase) -> None:
    """Begin a phase of a migration, whose status shows it at once."""
    assert cache.migration is not None, "it is opened first"

    async def perform(_change: Change) -> None:
        await phase.perform()

    change = Change(
        f"{phase.verb}Migration",
        perform,
        complete=phase.complete,
        give_up=phase.give_up,
        done_event=f"{phase.verb} Migration successful for {cache.name}",
    )
    plane.begin(cache.servers, change)
    cache.migration.status = phase.status
