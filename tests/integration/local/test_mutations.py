"""A running cluster is changed under load: clients notice nothing, no key is lost."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import hiredis
import pytest
import pytest_asyncio

from loadprobe.errors import PreflightError, RunError, UsageError
from loadprobe.local.cluster.cluster import LocalCluster
from loadprobe.local.cluster.formation import agree
from loadprobe.local.cluster.layout import SLOTS, parse_nodes, ranges_of, slots_of
from loadprobe.local.cluster.membership import add_replica, remove_replica, synced
from loadprobe.local.cluster.passwords import set_password
from loadprobe.local.cluster.processes import start_ticks
from loadprobe.local.cluster.replacement import replace_shard
from loadprobe.local.cluster.resharding import rebalance, scale_in, scale_out
from loadprobe.local.cluster.servers import ServerBinary, find_engine
from loadprobe.local.cluster.slots import move_slots
from loadprobe.local.cluster.transport import set_tls_mode
from tests.support.kept_keys import KEYS, check_untouched, fill, kept, primaries
from tests.support.prober import Link, probing, spread_keys
from tests.support.shared_cluster import SharedCluster

pytestmark = pytest.mark.asyncio(loop_scope="module")
DEADLINE_S = 20.0
PASSWORD = "first-password"
PROBED = spread_keys(8)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared() -> AsyncIterator[SharedCluster]:
    """Run two shards with a replica each, both transports, and a password."""
    one = SharedCluster(shards=2, password=PASSWORD, name="changing")
    yield one
    await one.end()


@pytest_asyncio.fixture(loop_scope="module")
async def cluster(shared: SharedCluster) -> LocalCluster:
    """Return the running cluster, whatever the test before did to it."""
    return await shared.get()


def named(cluster: LocalCluster) -> list[str]:
    """Return the node group ids of a cluster."""
    return [shard.node_group_id for shard in cluster.shards]


async def check_topology(cluster: LocalCluster, nodes: dict[str, int]) -> None:
    """Check shards, sizes and slots against what every node itself says."""
    assert {shard.node_group_id: len(shard.nodes) for shard in cluster.shards} == nodes
    assert sorted(cluster.live_nodes, key=id) == sorted(cluster.nodes, key=id)
    async with asyncio.timeout(DEADLINE_S):
        while not await agree(cluster.nodes):
            await asyncio.sleep(0.02)
    for node in cluster.nodes:
        lines = parse_nodes(await node.command("CLUSTER", "NODES"))
        assert {line.node_id for line in lines} == {n.node_id for n in cluster.nodes}
        by_id = {line.node_id: line for line in lines}
        for shard in cluster.shards:
            primary = await cluster.primary_of(shard.node_group_id)
            assert list(by_id[primary.node_id].slots) == shard.slots
            for member in shard.nodes:
                if member is not primary:
                    assert by_id[member.node_id].primary_id == primary.node_id
    owned = [slot for shard in cluster.shards for slot in slots_of(shard.slots)]
    assert sorted(owned) == list(range(SLOTS))


def plain_ports(cluster: LocalCluster) -> frozenset[int]:
    """Return the plaintext ports of all nodes."""
    return frozenset(node.ports.plain for node in cluster.nodes)


def tls_ports(cluster: LocalCluster) -> frozenset[int]:
    """Return the TLS ports of all nodes."""
    return frozenset(node.ports.tls for node in cluster.nodes)


async def check_told(cluster: LocalCluster, *, tls: bool) -> None:
    """Check that every node tells clients of a transport the right ports."""
    wanted = tls_ports(cluster) if tls else plain_ports(cluster)
    for node in cluster.nodes:
        port = node.ports.tls if tls else node.ports.plain
        password = cluster.password
        with closing(
            await Link.open(cluster, port, tls=tls, password=password)
        ) as link:
            assert await link.told_ports() == wanted


async def told_first(cluster: LocalCluster, port: int) -> frozenset[int]:
    """Return the ports that the first plaintext client of a node is told."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            try:
                link = await Link.open(cluster, port, tls=False, password=PASSWORD)
            except ConnectionRefusedError:
                await asyncio.sleep(0.001)
                continue
            with closing(link):
                return frozenset(await link.told_ports())


async def all_forgot(cluster: LocalCluster) -> None:
    """Wait until no node knows a plaintext port of any other."""
    async with asyncio.timeout(DEADLINE_S):
        for node in cluster.nodes:
            while b"port" in flat(await node.command("CLUSTER", "SHARDS")):
                await asyncio.sleep(0.02)


def flat(reply: object) -> list[object]:
    """Return the values of a nested reply."""
    if not isinstance(reply, list):
        return [reply.encode() if isinstance(reply, str) else reply]
    return [value for each in reply for value in flat(each)]


async def check_cut(link: Link) -> None:
    """Check that the server ended a connection."""
    with pytest.raises((EOFError, ConnectionResetError)):
        async with asyncio.timeout(DEADLINE_S):
            await link.ask(("PING",))
    link.close()


async def test_tls_is_required_and_turned_off_and_on_again(
    cluster: LocalCluster,
) -> None:
    """Who stays is served and told right ports all the time; who has to go is cut."""
    node = cluster.nodes[0]
    plain, tls = plain_ports(cluster), tls_ports(cluster)
    old = await Link.open(cluster, node.ports.plain, tls=False, password=PASSWORD)
    async with probing(cluster, PROBED, tls=True, ports=tls) as prober:
        await set_tls_mode(cluster, "required")
    check_untouched(prober)
    await check_cut(old)
    with pytest.raises(ConnectionRefusedError):
        await Link.open(cluster, node.ports.plain, tls=False, password=PASSWORD)

    # A node that starts again comes up in the mode of the cluster.
    shard = cluster.shards[1]
    primary = await cluster.primary_of(shard.node_group_id)
    (replica,) = [each for each in shard.nodes if each is not primary]
    await replica.restart()
    async with asyncio.timeout(DEADLINE_S):
        await synced(cluster, [replica], primary)
    with pytest.raises(ConnectionRefusedError):
        await Link.open(cluster, replica.ports.plain, tls=False, password=PASSWORD)

    await all_forgot(cluster)
    async with probing(cluster, PROBED, tls=True, ports=tls) as prober:
        clients = [told_first(cluster, node.ports.plain) for node in cluster.nodes]
        _, *told = await asyncio.gather(set_tls_mode(cluster, "preferred"), *clients)
    check_untouched(prober)
    assert told == [plain] * len(cluster.nodes)
    await check_told(cluster, tls=False)

    old = await Link.open(cluster, node.ports.tls, tls=True, password=PASSWORD)
    async with probing(cluster, PROBED, tls=False, ports=plain) as prober:
        await set_tls_mode(cluster, "none")
    check_untouched(prober)
    await check_cut(old)
    with pytest.raises(ConnectionRefusedError):
        await Link.open(cluster, node.ports.tls, tls=True, password=PASSWORD)
    assert cluster.tls_port is None
    await check_topology(cluster, dict.fromkeys(named(cluster), 2))

    async with probing(cluster, PROBED, tls=False, ports=plain) as prober:
        await set_tls_mode(cluster, "preferred")
    check_untouched(prober)
    assert cluster.tls_port == cluster.endpoint.ports.tls
    await check_told(cluster, tls=False)
    await check_told(cluster, tls=True)


async def test_tls_modes_change_step_by_step() -> None:
    """From none straight to required is refused, and the same mode is no change."""
    cluster = LocalCluster(shards=2, tls=False)
    with pytest.raises(UsageError, match="'none' to 'required': go through 'preferred"):
        await set_tls_mode(cluster, "required")
    await set_tls_mode(cluster, "none")
    assert cluster.tls_mode == "none"


async def test_a_replica_comes_and_goes(cluster: LocalCluster) -> None:
    """A new replica is in sync and known to all; afterwards nobody remembers it."""
    shard = cluster.shards[0]
    sizes = dict.fromkeys(named(cluster), 2)
    async with probing(cluster, PROBED, tls=False) as prober:
        node = await add_replica(cluster, shard)
        assert node.name == f"changing-{shard.node_group_id}-003"
        await check_topology(cluster, sizes | {shard.node_group_id: 3})
        pid, ticks = node.pid, start_ticks(node.pid or 0)
        with pytest.raises(UsageError, match="it is the primary; name a replica"):
            await remove_replica(
                cluster, shard, await cluster.primary_of(shard.node_group_id)
            )
        await remove_replica(cluster, shard, node)
    check_untouched(prober)
    await check_topology(cluster, sizes)
    assert start_ticks(pid or 0) != ticks
    assert not node.folder.exists()
    known = f"its nodes are changing-{shard.node_group_id}-001"
    with pytest.raises(UsageError, match=known):
        await remove_replica(cluster, shard, node)


async def test_shards_come_and_go(cluster: LocalCluster) -> None:
    """Slots and keys move over TLS and with a password, and every key is served."""
    first, second = named(cluster)
    free = next(name for name in ("0001", "0002", "0003") if name not in named(cluster))
    progress: list[float] = []
    async with probing(cluster, PROBED, tls=True) as prober:
        (added,) = await scale_out(cluster, 3, on_progress=progress.append)
    check_untouched(prober)
    assert prober.redirects["MOVED"] > 0
    assert progress == sorted(progress)
    assert (progress[0], progress[-1]) == (0.0, 100.0)
    assert added.node_group_id == free
    owned = [len(slots_of(shard.slots)) for shard in cluster.shards]
    assert sorted(owned) == [5461, 5461, 5462]
    await check_topology(cluster, {first: 2, second: 2, free: 2})
    assert await kept(cluster) == KEYS

    progress.clear()
    async with probing(cluster, PROBED, tls=True) as prober:
        await scale_in(cluster, [second], on_progress=progress.append)
    check_untouched(prober)
    assert progress[-1] == 100.0
    await check_topology(cluster, {first: 2, free: 2})
    assert await kept(cluster) == KEYS
    with pytest.raises(UsageError, match="at least one node group must stay"):
        await scale_in(cluster, [first, free], on_progress=progress.append)
    with pytest.raises(UsageError, match="expected more shards than there are"):
        await scale_out(cluster, 2, on_progress=progress.append)


async def test_uneven_shards_are_evened_out(cluster: LocalCluster) -> None:
    """Rebalancing moves just the surplus, and keys follow."""
    first, second = cluster.shards
    moved = slots_of(first.slots)[:100]
    source, target = await primaries(cluster)
    await move_slots(cluster, source, target, moved, others=[])
    first.slots = ranges_of({*slots_of(first.slots)} - {*moved})
    second.slots = ranges_of({*slots_of(second.slots), *moved})
    async with probing(cluster, PROBED, tls=True) as prober:
        await rebalance(cluster, on_progress=lambda _: None)
    check_untouched(prober)
    assert [len(slots_of(each.slots)) for each in cluster.shards] == [8192, 8192]
    await check_topology(cluster, dict.fromkeys(named(cluster), 2))
    assert await kept(cluster) == KEYS


async def test_a_cancelled_change_leaves_a_whole_cluster(cluster: LocalCluster) -> None:
    """Moved slots stay where they are, no slot is left open, no process is lost."""
    begun = asyncio.Event()
    before = named(cluster)

    def note(percent: float) -> None:
        if percent > 10:
            begun.set()

    task = asyncio.create_task(scale_out(cluster, 3, on_progress=note))
    async with probing(cluster, PROBED, tls=True) as prober:
        async with asyncio.timeout(DEADLINE_S):
            await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    check_untouched(prober)
    for node in await primaries(cluster):
        assert "[" not in await node.command("CLUSTER", "NODES")  # no open slots
    (added,) = set(named(cluster)) - set(before)
    await check_topology(cluster, dict.fromkeys((*before, added), 2))
    assert 0 < len(slots_of(cluster.shard(added).slots)) < 5461
    await scale_in(cluster, [added], on_progress=lambda _: None)
    assert await kept(cluster) == KEYS


async def test_a_failed_change_says_that_nothing_changed(
    cluster: LocalCluster, tmp_path: Path
) -> None:
    """New nodes that do not start are gone, and the shard is what it was."""
    program = tmp_path / "redis-server"
    program.write_text("#!/bin/sh\nexit 3\n")
    program.chmod(0o755)
    broken = dataclasses.replace(cluster.server, path=program)
    shard = cluster.shards[0]
    before = list(shard.nodes)
    with pytest.raises(RunError, match=r"(?s)ended with code 3.*is as it was before"):
        await replace_shard(cluster, shard, server=broken, on_step=lambda *_: None)
    assert shard.nodes == before
    await check_topology(cluster, dict.fromkeys(named(cluster), 2))


async def test_tls_is_not_lost_by_a_replacement(cluster: LocalCluster) -> None:
    """A program without TLS is refused while TLS is on, before anything starts."""
    without = dataclasses.replace(cluster.server, has_tls=False)
    with pytest.raises(PreflightError, match="built without TLS, and the cluster"):
        await replace_shard(
            cluster, cluster.shards[0], server=without, on_step=lambda *_: None
        )


async def test_every_node_of_a_shard_is_replaced(cluster: LocalCluster) -> None:
    """New processes with the old names take over, and every operation is served."""
    shard = cluster.shards[0]
    names = [node.name for node in shard.nodes]
    pids = {node.pid for node in shard.nodes}
    steps: list[tuple[str, str]] = []
    async with probing(cluster, PROBED, tls=True) as prober:
        await replace_shard(
            cluster,
            shard,
            server=None,
            on_step=lambda key, node: steps.append((key, node.name)),
        )
    check_untouched(prober)
    assert [node.name for node in shard.nodes] == names
    assert pids.isdisjoint(node.pid for node in shard.nodes)
    keys = ["started", "started", "synced", "synced", "promoted", "removed", "removed"]
    assert [key for key, _ in steps] == keys
    await check_topology(cluster, dict.fromkeys(named(cluster), 2))
    assert await kept(cluster) == KEYS


async def test_passwords_rotate(cluster: LocalCluster) -> None:
    """Two passwords are valid after ROTATE, one after SET; connections survive both."""
    shard, another = cluster.shards
    node = await cluster.primary_of(another.node_group_id)

    async def login(password: str) -> Link:
        return await Link.open(cluster, node.ports.plain, tls=False, password=password)

    early = await login(PASSWORD)
    async with probing(cluster, PROBED, tls=True) as prober:
        await set_password(cluster, "second-password", keep_old=True)
        (await login(PASSWORD)).close()
        (await login("second-password")).close()
        await set_password(cluster, "third-password", keep_old=True)
        with pytest.raises(hiredis.ReplyError, match="WRONGPASS"):
            await login(PASSWORD)
        # A node that starts again takes both, too; its replication goes on.
        primary = await cluster.primary_of(shard.node_group_id)
        (replica,) = [each for each in shard.nodes if each is not primary]
        await replica.restart()
        for password in ("second-password", "third-password"):
            (
                await Link.open(
                    cluster, replica.ports.plain, tls=False, password=password
                )
            ).close()
        await set_password(cluster, "third-password", keep_old=False)
        with pytest.raises(hiredis.ReplyError, match="WRONGPASS"):
            await login("second-password")
    check_untouched(prober)
    assert await early.ask(("PING",)) == ["PONG"]
    early.close()
    assert cluster.password == "third-password"
    await check_topology(cluster, dict.fromkeys(named(cluster), 2))
    for each in cluster.nodes:
        assert b"password" not in Path(f"/proc/{each.pid}/cmdline").read_bytes()
        assert "third-password" not in (each.folder / "log").read_text()
    with pytest.raises(UsageError, match="the new password is empty"):
        await set_password(cluster, "", keep_old=True)
    await set_password(cluster, PASSWORD, keep_old=False)


def valkey() -> ServerBinary:
    """Return a Valkey with atomic slot migration, or skip the test."""
    try:
        return find_engine("valkey", "9")
    except PreflightError as exc:
        pytest.skip(f"no Valkey 9 here: {exc}")


async def test_another_engine_takes_over_shard_by_shard() -> None:
    """Redis becomes Valkey under load; its slots then move without any ASK."""
    newer = valkey()
    async with LocalCluster(
        shards=2, replicas_per_shard=0, tls=False, name="upgraded"
    ) as cluster:
        await fill(cluster)
        older = cluster.server
        async with probing(cluster, PROBED, tls=False) as prober:
            for shard in cluster.shards:
                assert cluster.server == older
                await replace_shard(
                    cluster, shard, server=newer, on_step=lambda *_: None
                )
        check_untouched(prober)
        assert cluster.server == newer
        assert await kept(cluster) == KEYS
        async with probing(cluster, PROBED, tls=False) as prober:
            await scale_out(cluster, 3, on_progress=lambda _: None)
        check_untouched(prober)
        assert prober.redirects["ASK"] == 0
        assert prober.redirects["MOVED"] > 0
        await check_topology(cluster, {"0001": 1, "0002": 1, "0003": 1})
        assert await kept(cluster) == KEYS
        with pytest.raises(PreflightError, match="built without TLS; use a server"):
            await set_tls_mode(cluster, "preferred")
