"""Migrate data into a running group from a self-managed server.

The group's primary replicates from that server, its replicas replicate on from the
primary. All are read-only meanwhile. Cluster mode disabled only.
"""

import asyncio
import contextlib
from typing import Any

import hiredis

from loadprobe.errors import RunError
from loadprobe.local.cluster.admin import ServerGone
from loadprobe.local.cluster.cluster import LocalCluster
from loadprobe.local.cluster.formation import in_sync, until, within
from loadprobe.local.cluster.node import LocalNode, parse_info

_SOURCE_TIMEOUT_S = 3.0
_SYNC_TIMEOUT_S = 20.0
_READ_BYTES = 65_536


async def check_source(cluster: LocalCluster, host: str, port: int) -> None:
    """Tell whether data can be migrated from a server.

    Raises:
        RunError: it cannot; the text has the reason and what to do.
    """
    what = f"migrating from {host}:{port} into {cluster.name}"
    _check_target(cluster, what)
    own = {(node.host, each) for node in cluster.nodes for each in node.served_ports}
    if (host, port) in own:
        raise RunError(f"{what}: the source is a node of the group itself")
    info, databases = await ask_source(
        host, port, ("INFO",), ("CONFIG", "GET", "databases"), what=what
    )
    theirs = parse_info(info)
    target = await cluster.primary_of(cluster.shards[0].node_group_id)
    ours = parse_info(await target.command("INFO", "server"))
    mode = mode_of(theirs)
    if mode != "standalone":
        raise RunError(
            f"{what}: the source runs in {mode} mode; expected one with cluster mode "
            "off"
        )
    check_version(theirs, ours, what)
    wanted = (await target.command("CONFIG", "GET", "databases"))[1]
    if databases[1] != wanted:
        raise RunError(
            f"{what}: the source has {databases[1]} databases, the group {wanted}; "
            "set `databases` of the source to that of the group"
        )


async def start(cluster: LocalCluster, host: str, port: int) -> None:
    """Replicate from the source from now on: the group's own data is replaced by it.

    Raises:
        RunError: the source cannot be migrated from, or the group is migrating.
    """
    if cluster.source is not None:
        raise RunError(
            f"migrating from {host}:{port} into {cluster.name}: it already migrates "
            f"from {cluster.source[0]}:{cluster.source[1]}"
        )
    await check_source(cluster, host, port)
    head = await cluster.primary_of(cluster.shards[0].node_group_id)
    cluster.source = (host, port)  # first: the head is found by it from now on
    head.settings["replicaof"] = (host, str(port))
    try:
        await head.command("REPLICAOF", host, port)
    except RunError:
        head.settings.pop("replicaof", None)
        cluster.source = None
        raise


async def complete(cluster: LocalCluster, *, force: bool) -> None:
    """Make the group independent of the source, and writable.

    It waits, without a limit, until all has arrived that the source held when this was
    called. What the source acknowledges later may be lost: stop writing there first.

    Args:
        cluster: the group.
        force: do not wait, keep what has arrived.

    Raises:
        RunError: the group does not migrate, or the source cannot be asked; it still
            replicates then.
    """
    what = f"completing the migration into {cluster.name}"
    if cluster.source is None:
        raise RunError(f"{what}: it does not migrate; start a migration first")
    head = await cluster.primary_of(cluster.shards[0].node_group_id)
    if not force:
        host, port = cluster.source
        offset = await offset_of(
            host,
            port,
            what=f"{what}: with force what has arrived is kept; asking the source",
        )
        await until(lambda: has_received(head, offset))
    await head.command("REPLICAOF", "NO", "ONE")
    head.settings.pop("replicaof", None)
    cluster.source = None
    async with within(_SYNC_TIMEOUT_S, what=f"{what}: the replicas are in sync"):
        for node in cluster.live_nodes:
            await until(lambda node=node: in_sync(node))  # type: ignore[misc]


def mode_of(info: dict[str, str]) -> str | None:
    """Return whether a server runs "standalone" or in "cluster" mode, by its INFO."""
    return info.get("server_mode") or info.get("redis_mode")


def check_version(theirs: dict[str, str], ours: dict[str, str], what: str) -> None:
    """Refuse a source that is newer than what is to follow it, by INFO of both.

    Raises:
        RunError: it is.
    """
    their_version, our_version = _versions(theirs, ours)
    if _numbers(their_version) > _numbers(our_version):
        raise RunError(
            f"{what}: the source is version {their_version}, newer than the group's "
            f"{our_version}; upgrade the group first"
        )


async def offset_of(host: str, port: int, *, what: str) -> int:
    """Return up to where a source has written.

    Raises:
        RunError: it cannot be asked.
    """
    (replication,) = await ask_source(host, port, ("INFO", "replication"), what=what)
    return int(parse_info(replication)["master_repl_offset"])


def _check_target(cluster: LocalCluster, what: str) -> None:
    if cluster.cluster_mode:
        raise RunError(f"{what}: its cluster mode is on; expected a group without it")
    if cluster.tls:
        raise RunError(f"{what}: it serves TLS; turn TLS off first")
    if cluster.password is not None:
        raise RunError(f"{what}: it demands a password; take a group without one")


async def has_received(head: LocalNode, offset: int) -> bool:
    """Tell whether a node follows, and has all up to an offset of its source."""
    try:
        replication = await head.info("replication")
    except ServerGone:  # it is busy loading
        return False
    return (
        replication.get("master_link_status") == "up"
        and int(replication["slave_repl_offset"]) >= offset
    )


def _versions(theirs: dict[str, str], ours: dict[str, str]) -> tuple[str, str]:
    """Return two versions that can be compared.

    Valkey has a version of its own, and one that says which Redis it is compatible to.
    """
    name = "valkey_version"
    if name not in theirs or name not in ours:
        name = "redis_version"
    return theirs[name], ours[name]


def _numbers(version: str) -> tuple[int, ...]:
    """Return major and minor: patch levels replicate in both directions."""
    return tuple(int(part) for part in version.split(".")[:2])


async def ask_source(
    host: str, port: int, *commands: tuple[str, ...], what: str
) -> list[Any]:
    """Send commands to the source and return their replies.

    Raises:
        RunError: it cannot be reached, demands a password, or refused one.
    """
    parser = hiredis.Reader(encoding="utf-8", errors="surrogateescape")
    replies: list[Any] = []
    try:
        async with asyncio.timeout(_SOURCE_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(host, port)
            with contextlib.closing(writer):
                for words in commands:
                    writer.write(hiredis.pack_command(words))  # type: ignore[arg-type]
                while len(replies) < len(commands):
                    chunk = await reader.read(_READ_BYTES)
                    if not chunk:
                        raise EOFError("it closed the connection")
                    parser.feed(chunk)
                    while (reply := parser.gets()) is not False:
                        replies.append(reply)
    except (OSError, EOFError, TimeoutError, hiredis.ProtocolError) as exc:
        raise RunError(
            f"{what}: the source did not answer within {_SOURCE_TIMEOUT_S:g} s: "
            f"{type(exc).__name__} {exc}; it must be reachable without TLS"
        ) from exc
    for words, reply in zip(commands, replies, strict=True):
        if isinstance(reply, hiredis.ReplyError):
            if str(reply).startswith("NOAUTH"):
                raise RunError(
                    f"{what}: the source demands a password; expected one without"
                ) from reply
            raise RunError(f"{what}: the source refused {words[0]}: {reply}")
    return replies
