"""A group with cluster mode off is changed under load, and takes data from another."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from loadprobe.errors import RunError, UsageError
from loadprobe.local.cluster import migration
from loadprobe.local.cluster.cluster import LocalCluster
from loadprobe.local.cluster.membership import add_replica, follows, remove_replica
from loadprobe.local.cluster.passwords import set_password
from loadprobe.local.cluster.replacement import replace_shard
from loadprobe.local.cluster.resharding import rebalance
from loadprobe.local.cluster.transport import set_tls_mode
from tests.support.kept_keys import KEYS, check_untouched, fill, kept
from tests.support.prober import Link, probing
from tests.support.shared_cluster import SharedCluster

pytestmark = pytest.mark.asyncio(loop_scope="module")
DEADLINE_S = 20.0
PAIR: dict[str, Any] = {"shards": 1, "cluster_mode": False, "tls": False}
SINGLE: dict[str, Any] = PAIR | {"replicas_per_shard": 0}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared() -> AsyncIterator[SharedCluster]:
    """Run a primary with a replica and cluster mode off, without a password."""
    one = SharedCluster(**PAIR, name="group")
    yield one
    await one.end()


@pytest_asyncio.fixture(loop_scope="module")
async def group(shared: SharedCluster) -> LocalCluster:
    """Return the running group, whatever the test before did to it."""
    return await shared.get()


async def test_without_cluster_mode_tls_changes_too(group: LocalCluster) -> None:
    """Clients that stay are served, and replication uses the port of the mode."""
    primary = await group.primary_of("0001")
    (replica,) = [node for node in group.nodes if node is not primary]
    for mode, tls, port in (
        ("preferred", False, primary.ports.tls),
        ("required", True, primary.ports.tls),
        ("preferred", True, primary.ports.tls),
        ("none", False, primary.ports.plain),
    ):
        async with probing(group, ["probe"], tls=tls) as prober:
            await set_tls_mode(group, mode)  # type: ignore[arg-type]
        check_untouched(prober)
        replication = await replica.info("replication")
        assert replication["master_port"] == str(port)
        if mode == "required":
            await replica.restart()
            with pytest.raises(ConnectionRefusedError):
                await Link.open(
                    group,
                    replica.ports.plain,
                    tls=False,
                    password=None,
                    host=replica.host,
                )


async def test_without_cluster_mode_nodes_are_replaced(group: LocalCluster) -> None:
    """A new primary has every key; writes to the old one fail for a moment at most."""
    (shard,) = group.shards
    names = [node.name for node in shard.nodes]
    async with probing(group, ["probe"], tls=False) as prober:
        await replace_shard(group, shard, server=None, on_step=lambda *_: None)
    assert all("READONLY" in failure for failure in prober.failures)
    assert [node.name for node in shard.nodes] == names
    assert await kept(group) == KEYS
    node = await add_replica(group, shard)
    assert await follows(node, await group.primary_of("0001"))
    await remove_replica(group, shard, node)
    assert len(group.live_nodes) == 2
    with pytest.raises(UsageError, match="it has no slots"):
        await rebalance(group, on_progress=lambda _: None)


async def test_an_open_group_gets_a_password() -> None:
    """ROTATE lets clients in with and without it, SET only with it."""
    async with LocalCluster(**PAIR, name="opened") as group:
        (shard,) = group.shards
        primary = await group.primary_of("0001")

        async def ping(password: str | None) -> object:
            link = await Link.open(
                group,
                primary.ports.plain,
                tls=False,
                password=password,
                host=primary.host,
            )
            (reply,) = await link.ask(("PING",))
            link.close()
            return reply

        await set_password(group, "group-password", keep_old=True)
        assert await ping(None) == "PONG"
        assert await ping("group-password") == "PONG"
        # It logs in to the primary, though it need not.
        node = await add_replica(group, shard)
        await remove_replica(group, shard, node)
        await set_password(group, "group-password", keep_old=False)
        assert await ping("group-password") == "PONG"
        assert "NOAUTH" in str(await ping(None))
        for replica in shard.nodes:
            if replica is not primary:
                await replica.restart()
                async with asyncio.timeout(DEADLINE_S):
                    while not await follows(replica, primary):
                        await asyncio.sleep(0.02)


async def test_data_is_not_migrated_where_a_password_is_demanded(
    group: LocalCluster,
) -> None:
    """Neither into a group with a password, nor from a server with one."""
    async with LocalCluster(**SINGLE, password="secret", name="closed") as closed:
        open_, protected = group.nodes[0], closed.nodes[0]
        with pytest.raises(RunError, match="it demands a password"):
            await migration.check_source(closed, open_.host, open_.ports.plain)
        with pytest.raises(RunError, match="the source demands a password"):
            await migration.start(group, protected.host, protected.ports.plain)


async def test_data_is_migrated_from_another_server() -> None:
    """The group is read-only until it has all data of the source, then on its own."""
    async with (
        LocalCluster(**SINGLE, name="source") as origin,
        LocalCluster(**PAIR, name="target") as target,
    ):
        source = origin.nodes[0]
        await fill(origin)
        with pytest.raises(RunError, match="did not answer.*reachable without TLS"):
            await migration.start(target, source.host, source.ports.tls)
        with pytest.raises(RunError, match="does not migrate; start a migration"):
            await migration.complete(target, force=False)

        await migration.start(target, source.host, source.ports.plain)
        head = await target.primary_of("0001")
        with pytest.raises(RunError, match=f"already migrates from {source.host}"):
            await migration.start(target, source.host, source.ports.plain)
        with pytest.raises(UsageError, match="data is being migrated; complete that"):
            await set_tls_mode(target, "preferred")
        (refused,) = await head.pipeline([("SET", "key", "value")])
        assert "READONLY" in str(refused)
        await source.command("SET", "late", "value")
        await migration.complete(target, force=False)
        assert await target.primary_of("0001") is head
        assert await head.command("GET", "late") == "value"
        assert await kept(target) == KEYS
        assert await head.command("SET", "own", "value") == "OK"
        async with asyncio.timeout(DEADLINE_S):
            while await target.nodes[1].command("GET", "own") != "value":
                await asyncio.sleep(0.02)
        # The source is free again, and a second migration may be forced to its end.
        await migration.start(target, source.host, source.ports.plain)
        await source.kill()
        with pytest.raises(RunError, match="with force what has arrived is kept"):
            await migration.complete(target, force=False)
        await migration.complete(target, force=True)
        assert await head.command("SET", "own", "value") == "OK"
