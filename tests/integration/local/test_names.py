"""Names of groups without cluster mode: a name server, its TTL, and names that move."""

import asyncio
import socket
from dataclasses import replace

import pytest

from loadprobe.clock import NS_PER_MS
from loadprobe.config.keys import Target
from loadprobe.control.watch.node_answers import NodeSilent
from loadprobe.control.watch.node_views import NodeLogin
from loadprobe.core.dns_message import Query, encode_query
from loadprobe.core.judging.outcome import ErrorClass
from loadprobe.drivers.resolver import Resolver
from loadprobe.drivers.wire.dial import Dialer, DialFailure
from loadprobe.drivers.wire.greeting import Greeting
from loadprobe.local.api.control_plane import ControlPlane
from loadprobe.local.api.failover import fail_over
from loadprobe.local.api.name_server import NameServer
from loadprobe.local.api.plane import Knobs
from loadprobe.local.cluster.cluster import LocalCluster
from tests.support.bad_input import NOBODY_LISTENS
from tests.support.running import target_of, until_true


async def test_answers_are_kept_for_their_ttl() -> None:
    """A moved name is found at once if asked afresh, else when the TTL is over."""
    pointing = {"moving.test": ("127.0.1.1",)}
    async with NameServer(pointing.get, ttl_s=1) as names:
        resolver = Resolver(names.address)
        assert await resolver.resolve("moving.test") == ("127.0.1.1",)
        pointing["moving.test"] = ("127.0.1.2",)
        assert await resolver.resolve("moving.test") == ("127.0.1.1",)
        resolver.forget()
        assert await resolver.resolve("moving.test") == ("127.0.1.2",)
        pointing["moving.test"] = ("127.0.1.3",)
        assert await resolver.resolve("moving.test", afresh=True) == ("127.0.1.3",)


async def test_without_a_ttl_nothing_is_kept() -> None:
    """An answer that may not be kept is asked for again."""
    pointing = {"moving.test": ("127.0.1.1",)}
    async with NameServer(pointing.get, ttl_s=0) as names:
        resolver = Resolver(names.address)
        assert await resolver.resolve("moving.test") == ("127.0.1.1",)
        pointing["moving.test"] = ("127.0.1.2",)
        assert await resolver.resolve("moving.test") == ("127.0.1.2",)


async def test_names_that_are_not_there_fail_as_the_system_fails_them() -> None:
    """No such name, and no name server, are errors of the resolver's own class."""
    async with NameServer(lambda _: None, ttl_s=1) as names:
        with pytest.raises(socket.gaierror, match="not known"):
            await Resolver(names.address).resolve("nobody.test")
        address = names.address
    with pytest.raises(socket.gaierror, match=address):
        await Resolver(address).resolve("nobody.test")


async def test_a_question_for_no_name_is_not_answered() -> None:
    """Anybody on this machine can send one; the next question is answered."""
    problems: list[object] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: problems.append(context)
    )
    async with NameServer({"a.test": ("127.0.1.1",)}.get, ttl_s=1) as names:
        host, _, port = names.address.partition(":")
        question = encode_query(Query(7, "a"))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as rude:
            rude.sendto(question.replace(b"\x01a", b""), (host, int(port)))
        assert await Resolver(names.address).resolve("a.test") == ("127.0.1.1",)
    assert problems == []


async def test_what_is_known_of_a_missing_name_is_as_old_as_its_answer() -> None:
    """An attempt that fails by what is known proves nothing of the time since then.

    The name is soon asked for again: who waits for it is not kept waiting.
    """
    pointing: dict[str, tuple[str, ...]] = {}
    asked: list[str] = []

    def look_up(name: str) -> tuple[str, ...] | None:
        asked.append(name)
        return pointing.get(name)

    async with NameServer(look_up, ttl_s=0) as names:
        target = Target(host="gone.test", name_server=names.address)
        dialer = Dialer(target, None, None, timeout_ms=1_000)

        async def fails() -> DialFailure:
            failure = await dialer.dial("gone.test", NOBODY_LISTENS, Greeting)
            assert isinstance(failure, DialFailure)
            return failure

        first, second = await fails(), await fails()
        assert (first.error, second.error) == (ErrorClass.DNS, ErrorClass.DNS)
        assert first.start_ns <= second.start_ns <= first.end_ns < second.end_ns
        count = len(asked)
        pointing["gone.test"] = ("127.0.0.1",)
        while (failure := await fails()).error is ErrorClass.DNS:
            await asyncio.sleep(0.01)
        assert failure.error is ErrorClass.CONNECT_REFUSED
        assert failure.end_ns - second.end_ns < 800 * NS_PER_MS
        assert len(asked) > count


async def test_addresses_of_a_name_take_turns() -> None:
    """One attempt tries one address, the next another: one that answers is kept to."""
    reached: list[str] = []

    async def say_ok(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        reached.append(writer.get_extra_info("sockname")[0])
        await reader.read(1)
        writer.write(b"+OK\r\n")
        await reader.read()
        writer.close()

    addresses = tuple(f"127.0.1.{number}" for number in range(1, 5))
    async with (
        await asyncio.start_server(say_ok, addresses[2], 0) as third,
        NameServer({"many.test": addresses}.get, ttl_s=60) as names,
    ):
        port = third.sockets[0].getsockname()[1]
        target = Target(host="many.test", cluster=True, name_server=names.address)
        dialer = Dialer(target, None, "password", timeout_ms=1_000)

        async def outcome() -> str:
            made = await dialer.dial("many.test", port, Greeting)
            if isinstance(made, DialFailure):
                return made.error.label
            made.abort()
            return "ok"

        assert await outcome() == "connect_refused"
        for _ in range(5):  # many that began at one moment count as one
            dialer._note_failed("many.test", addresses[0])
        assert [await outcome() for _ in range(4)] == ["connect_refused", *["ok"] * 3]
        assert reached == [addresses[2]] * 3
        third.close()
        fourth = await asyncio.start_server(say_ok, addresses[3], port)
        async with fourth:
            assert [await outcome() for _ in range(2)] == ["connect_refused", "ok"]
        assert reached[-1] == addresses[3]


async def test_endpoints_follow_the_roles_with_their_delay() -> None:
    """Primary and reader move after a promotion, not before the delay is over."""
    group = LocalCluster(
        shards=1, replicas_per_shard=2, cluster_mode=False, tls=False, name="rg"
    )
    knobs = Knobs(endpoint_delay_s=0.5, endpoint_ttl_s=0)
    async with group as cluster, ControlPlane(knobs=knobs) as plane:
        plane.add_group("rg", cluster)
        resolver = Resolver(plane.name_server)
        primary = await cluster.primary_of("0001")
        others = {node.host for node in cluster.nodes} - {primary.host}
        first, second = (node for node in cluster.nodes if node is not primary)

        async def points(name: str, hosts: set[str]) -> bool:
            try:
                return set(await resolver.resolve(name)) == hosts
            except socket.gaierror:
                return False

        await until_true(lambda: points("rg.loadprobe.test", {primary.host}))
        await until_true(lambda: points("rg-ro.loadprobe.test", others))
        node_name = f"{first.name}.loadprobe.test"
        assert await resolver.resolve(node_name) == (first.host,)
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        await primary.kill()
        await first.command("REPLICAOF", "NO", "ONE")
        await cluster.follow(second, first)
        await until_true(lambda: points("rg.loadprobe.test", {first.host}))
        assert loop.time() - begun_s >= 0.5
        await until_true(lambda: points("rg-ro.loadprobe.test", {second.host}))


async def test_a_failed_node_is_not_back_before_its_names_have_gone() -> None:
    """However late they are: until it is in step it would answer by what it has."""
    group = LocalCluster(
        shards=1, replicas_per_shard=1, cluster_mode=False, tls=False, name="rg"
    )
    knobs = Knobs(detect_s=0.1, endpoint_delay_s=0.8, endpoint_ttl_s=0)
    async with group as cluster, ControlPlane(knobs=knobs) as plane:
        plane.add_group("rg", cluster)
        names = plane.endpoints("rg")
        assert names is not None
        old = await cluster.primary_of("0001")
        # The names move later than anybody was told.
        plane._plane.knobs = replace(knobs, endpoint_delay_s=0.0)
        known = plane._plane.groups["rg"]
        failing_over = asyncio.create_task(
            fail_over(plane._plane, known, cluster.shards[0])
        )
        async with asyncio.timeout(20):
            while old.is_alive:
                await asyncio.sleep(0.01)
        seen_early = 0
        while not failing_over.done():
            seen_early += old.is_alive and names.point_to(old)
            await asyncio.sleep(0.01)
        await failing_over
    assert seen_early == 0


async def test_nodes_are_asked_by_the_name_server_of_the_target() -> None:
    """Whoever asks a node for itself knows the names that lanes know, by TLS, too."""
    async with (
        LocalCluster(shards=1, replicas_per_shard=1, cluster_mode=False) as cluster,
        NameServer({"primary.loadprobe.test": (cluster.host,)}.get, ttl_s=1) as names,
    ):
        target = target_of(
            cluster, host="primary.loadprobe.test", name_server=names.address
        )
        for tls in (False, True):
            port = target.port_of(tls=tls)
            node = NodeLogin(target, tls=tls, timeout_s=5.0).open_node(
                target.host, port
            )
            try:
                assert (await node.role((target.host, port))).is_primary
            finally:
                await node.close()
        nowhere = target_of(cluster, host="nobody.test", name_server=names.address)
        node = NodeLogin(nowhere, tls=False, timeout_s=5.0).open_node("nobody.test", 1)
        with pytest.raises(NodeSilent, match="not known"):
            await node.engine()
        await node.close()
