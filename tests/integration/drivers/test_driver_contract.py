"""What every driver promises, held against the witness and each client on real servers.

Clients differ in what they do about a failure, and that is what is measured. What may
not differ: replies are those of the server, every failure has a row in a table, nothing
ends twice, and nothing is left behind.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from loadprobe.config.keys import Client, Lane
from loadprobe.core.judging.outcome import ErrorClass, Outcome
from loadprobe.core.topology.slots import tag_for_slot
from loadprobe.drivers.wire.driver import WireDriver
from loadprobe.errors import PreflightError, UsageError
from loadprobe.local.cluster.cluster import LocalCluster
from loadprobe.local.cluster.layout import LocalShard
from loadprobe.local.cluster.membership import launch, part_with
from loadprobe.local.cluster.node import LocalNode
from tests.support.driving import Driving, driving, strangers
from tests.support.running import (
    close_slots,
    open_slots,
    small_lane,
    target_of,
    until,
)

PASSWORD = "s3cret-of-the-test"
SLOTS = (0, 5_462, 10_923)

MakeLane = Callable[..., Lane]


@pytest.fixture(params=["wire", "redis-py", "valkey-py", "coredis", "valkey-glide"])
def make_lane(request: pytest.FixtureRequest) -> MakeLane:
    """Return what makes a lane of each driver."""

    def make(**more: Any) -> Lane:
        return small_lane("lane", driver=request.param, workers=4, **more)

    return make


async def assert_nothing_is_left(cluster: LocalCluster) -> None:
    """Assert that no server holds a connection of a client."""
    for _ in range(200):
        left = await strangers(cluster)
        if not left:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"connections are left: {left}")


async def serving(node: LocalNode) -> None:
    """Wait until a new node takes commands (two seconds, whatever the settings)."""
    async with asyncio.timeout(20):
        while (await node.cluster_info())["cluster_state"] != "ok":
            await asyncio.sleep(0.02)


def is_glide(lane: Lane) -> bool:
    """Tell whether it is the library that tells nothing of its connections."""
    return lane.driver == "valkey-glide"


def is_witness(drive: Driving) -> bool:
    """Tell whether the driver is the wire driver."""
    return isinstance(drive.driver, WireDriver)


async def write_and_read(drive: Driving, slots: tuple[int, ...] = SLOTS) -> None:
    """Write keys and read them back, and one that is not there."""
    for slot in slots:
        value = b"v%d" % slot
        assert await drive.ask(slot, value) == b"OK"
        assert await drive.ask(slot) == value
    assert await drive.ask(slots[0] + 1) is None


async def test_a_killed_primary(make_lane: MakeLane) -> None:
    """Replies are the server's; a killed primary is an outage, and it ends."""
    async with LocalCluster(shards=3, replicas_per_shard=1, tls=False) as cluster:
        async with driving(target_of(cluster), make_lane()) as drive:
            await write_and_read(drive)
            topology = drive.topologies[-1]
            assert [shard.name for shard in topology.shards] == ["0001", "0002", "0003"]
            if not is_glide(make_lane()):
                live = drive.driver.live_connections()
                assert live.keys() == {"0001", "0002", "0003"}
            assert drive.stats.connects.keys() == {"ok"}
            victim = await cluster.primary_of("0002")
            await victim.kill()
            loading = asyncio.create_task(drive.load(SLOTS))
            await until(lambda: len(drive.made) > 300, what="a second of load")
            await drive.served_again(SLOTS[1])
            loading.cancel()
            await until(lambda: len(drive.ends) == len(drive.made), what="all ends")
            assert await drive.ask(SLOTS[1]) == b"v5462"
            if not is_glide(make_lane()):
                assert drive.stats.connects["connect_refused"] > 0
            if not is_witness(drive):
                assert drive.stats.attempts >= len(SLOTS)
            allowed = {Outcome.UNKNOWN, Outcome.UNSENT, Outcome.REFUSED}
            assert {outcome for outcome, _ in drive.failures.values()} <= allowed
            if is_witness(drive):
                assert drive.failures  # it never waits and hopes

            drive.ends.clear()
            seen, new = len(drive.topologies), await cluster.primary_of("0001")
            drive.driver.use_endpoint(new.host, new.ports.plain, cut_over=1)
            await until(lambda: len(drive.topologies) > seen, what="the cut-over")
            for _ in range(3):
                assert await drive.ask(SLOTS[1]) == b"v5462"
            assert drive.failures == {}
        await assert_nothing_is_left(cluster)


async def test_slots_that_move(make_lane: MakeLane) -> None:
    """ASK and MOVED are followed and counted; a TTL goes out with what is written."""
    async with LocalCluster(shards=2, replicas_per_shard=0, tls=False) as cluster:
        old, new = await cluster.primary_of("0001"), await cluster.primary_of("0002")
        async with driving(target_of(cluster), make_lane()) as drive:
            asked = drive.stats.attempts
            name = f"{{{tag_for_slot(0).decode()}}}k"
            assert await drive.ask(0, b"short", ttl_s=100) == b"OK"
            assert 0 < await old.command("PTTL", name) <= 100_000
            assert await drive.ask(0, b"v") == b"OK"
            assert await old.command("PTTL", name) == -1
            if not is_witness(drive):
                assert drive.stats.attempts == asked + 2
            await open_slots([0], cluster, old, new)
            assert await drive.ask(0) == b"v"
            if not is_glide(make_lane()):
                assert drive.stats.redirects["ask"] > 0
            await close_slots([0], cluster, old, new)
            assert await drive.ask(0) == b"v"
            if not is_glide(make_lane()):
                assert drive.stats.redirects["moved"] > 0
            if not is_witness(drive) and not is_glide(make_lane()):
                assert drive.stats.attempts > len(drive.made)
            assert drive.failures == {}

            fresh = cluster.new_node(LocalShard("0003", []))
            await launch(cluster, [fresh])
            await serving(fresh)
            await open_slots([1], cluster, old, fresh)
            end = await drive.ask(1)
            if is_witness(drive) or is_glide(make_lane()):
                assert end is None
            elif make_lane().driver == "coredis":  # asks sixteen nodes at random
                assert end in (None, (Outcome.REFUSED, ErrorClass.MOVED))
            else:  # redis-py and valkey-py do not know a node before it serves slots
                assert end == (Outcome.REFUSED, ErrorClass.ASK)
            for node in (old, fresh):
                await node.command("CLUSTER", "SETSLOT", 1, "STABLE")
            await part_with(cluster, [fresh])


async def test_logging_in(make_lane: MakeLane) -> None:
    """A wrong password is told at the start; one that is changed is a refusal."""
    async with LocalCluster(
        shards=1, replicas_per_shard=0, tls=False, password=PASSWORD
    ) as cluster:
        (node,) = cluster.nodes
        target = target_of(cluster)
        with pytest.raises((UsageError, ExceptionGroup)) as caught:
            async with driving(target, make_lane(), password="wrong"):
                raise AssertionError("it connected")
        error = caught.value
        while isinstance(error, ExceptionGroup):
            (error,) = error.exceptions
        assert isinstance(error, PreflightError)
        assert "wrong" not in str(error)
        async with driving(target, make_lane(), password=PASSWORD) as drive:
            await write_and_read(drive, (0,))
            await node.command("CONFIG", "SET", "requirepass", "another")
            node.password = "another"
            await node.command("CLIENT", "KILL", "TYPE", "normal")
            allowed = {ErrorClass.AUTH, ErrorClass.RESET}
            told = ErrorClass.AUTH
            if make_lane().driver == "valkey-py":
                told = ErrorClass.UNREACHABLE  # it forgot its only node, for good
                allowed = {told}
            elif is_glide(make_lane()):
                told = ErrorClass.UNREACHABLE  # it hides why it cannot connect
                allowed |= {told, ErrorClass.TIMEOUT, ErrorClass.OTHER}
            async with asyncio.timeout(20):
                while not isinstance(end := await drive.ask(0), tuple) or (
                    end[1] is not told
                ):
                    await asyncio.sleep(0.01)
            errors = {error for _, error in drive.failures.values()}
            assert errors <= allowed
            drive.driver.use_login("default", "another")
            if make_lane().driver == "valkey-py":
                assert isinstance(await drive.ask(0), tuple)
                return
            await drive.served_again(0)
            assert await drive.ask(0) == b"v0"
        await assert_nothing_is_left(cluster)


async def test_tls_with_client_certificates(make_lane: MakeLane) -> None:
    """By TLS both sides show certificates, and who has none is not let in."""
    async with LocalCluster(shards=2, replicas_per_shard=0, mutual_tls=True) as cluster:
        certificates = cluster.certificates
        assert certificates is not None
        target = target_of(
            cluster,
            cert_file=str(certificates.client.certificate),
            key_file=str(certificates.client.key),
        )
        async with driving(target, make_lane(tls=True)) as drive:
            await write_and_read(drive, (0, 16_000))
        with pytest.raises((UsageError, ExceptionGroup)):
            async with driving(target_of(cluster), make_lane(tls=True)):
                raise AssertionError("it connected")
        await assert_nothing_is_left(cluster)


async def test_a_single_endpoint(make_lane: MakeLane) -> None:
    """Without cluster mode there is one shard; its restart is an outage with an end."""
    async with LocalCluster(
        shards=1, replicas_per_shard=0, tls=False, cluster_mode=False
    ) as server:
        (node,) = server.nodes
        async with driving(target_of(server), make_lane()) as drive:
            await write_and_read(drive)
            assert drive.topologies[-1].shards[0].name == "0001"
            await node.kill()
            for slot in SLOTS:
                drive.submit(slot)
            if not is_glide(make_lane()):
                await until(
                    lambda: "connect_refused" in drive.stats.connects,
                    what="a refused connection",
                )
            await node.start()
            await drive.served_again(0)
            await until(lambda: len(drive.ends) == len(drive.made), what="all ends")
            assert await drive.ask(0) is None  # it came back empty
        await assert_nothing_is_left(server)


async def test_what_redis_py_cannot_do() -> None:
    """Its rights, its pool and its map of slots: each limit is told as what it is."""
    client = Client(require_full_coverage=False, max_connections=1, retries=0)
    lane = small_lane("lane", driver="redis-py", workers=4, client=client)
    async with LocalCluster(
        shards=1, replicas_per_shard=0, tls=False, password=PASSWORD
    ) as cluster:
        (node,) = cluster.nodes
        rights = ["on", f">{PASSWORD}", "~*", "+get", "+set", "+ping", "+time"]
        rights += ["+cluster|slots", "+cluster|nodes", "+cluster|info"]
        await node.command("ACL", "SETUSER", "few", *rights)
        await node.command("ACL", "SETUSER", "more", *rights, "+command", "+hello")
        target = target_of(cluster, username="few")
        with pytest.raises(ExceptionGroup) as caught:
            async with driving(target, lane, password=PASSWORD):
                raise AssertionError("it connected")
        (error,) = caught.value.exceptions
        assert "(auth)" in str(error)
        assert "no permissions" in str(error)

        await node.command("CONFIG", "SET", "cluster-require-full-coverage", "no")
        await node.command("CLUSTER", "DELSLOTS", 7)
        target = target_of(cluster, username="more")
        async with driving(target, lane, password=PASSWORD) as drive:
            await write_and_read(drive, (0,))
            assert await drive.ask(7) == (Outcome.UNSENT, ErrorClass.UNREACHABLE)
            together = [drive.submit(0) for _ in range(4)]
            await until(lambda: len(drive.ends) == len(drive.made), what="all ends")
            ends = [drive.ends[arrival.version] for arrival in together]
            assert (Outcome.UNSENT, ErrorClass.INFLIGHT) in ends
            assert b"v0" in ends
