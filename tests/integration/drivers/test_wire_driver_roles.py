"""The wire driver without cluster mode: who takes writes, whatever becomes of whom."""

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
import pytest
from rich.console import Console

from loadprobe.config.keys import Output, Target
from loadprobe.core.topology.roles import Address
from loadprobe.core.topology.topology import Topology
from loadprobe.drivers import resp
from loadprobe.drivers.settings import DriverSettings
from loadprobe.drivers.wire.connection import Connection
from loadprobe.drivers.wire.dial import Dialer, DialFailure
from loadprobe.drivers.wire.driver import WireDriver
from loadprobe.drivers.wire.seed import Bystander, ask_role
from loadprobe.local.api.control_plane import ControlPlane
from loadprobe.local.api.name_server import NameServer
from loadprobe.local.api.plane import Knobs
from loadprobe.local.cluster.cluster import LocalCluster
from loadprobe.local.cluster.node import LocalNode
from loadprobe.run.launch import RunOptions, run_load
from tests.support.arrivals import Sink
from tests.support.running import config_of as running_config
from tests.support.running import (
    named_target,
    small_lane,
    target_of,
    until,
    until_true,
)

KNOBS = Knobs(endpoint_delay_s=5.0, endpoint_ttl_s=0)


@asynccontextmanager
async def driving(target: Target) -> AsyncIterator[WireDriver]:
    """Connect a driver."""
    driver = WireDriver(
        DriverSettings(target=target, workers=3, max_in_flight=16),
        Dialer(target, None, None, 1000),
        Sink(),
        on_topology=lambda *_: None,
    )
    ready = asyncio.Event()
    running = asyncio.create_task(driver.run(ready.set))
    try:
        async with asyncio.timeout(20):
            await ready.wait()
        yield driver
    finally:
        running.cancel()
        await asyncio.wait({running})


@asynccontextmanager
async def grouped() -> AsyncIterator[tuple[LocalCluster, ControlPlane]]:
    """Start a primary with two replicas, and its names, which are late."""
    group = LocalCluster(
        shards=1, replicas_per_shard=2, cluster_mode=False, tls=False, name="rg"
    )
    async with group as cluster, ControlPlane(knobs=KNOBS) as plane:
        plane.add_group("rg", cluster)
        yield cluster, plane


def primary_of(topology: Topology | None) -> Address:
    """Return the address of the primary."""
    assert topology is not None
    return topology.shards[0].primary.host, topology.shards[0].primary.port


async def say_primary(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Serve one client as a primary without replicas, whatever is asked."""
    info = b"role:master\r\nconnected_slaves:0\r\n"
    while await reader.read(1000):
        writer.write(b"$%d\r\n%b\r\n" % (len(info), info))
    writer.close()


def is_whole(driver: WireDriver) -> bool:
    """Tell whether a driver knows two replicas and is connected to them."""
    assert driver.topology is not None
    return driver.live_connections() == {"0001": 5} and (
        len(driver.topology.shards[0].replicas) == 2
    )


async def written(driver: WireDriver) -> bool:
    """Tell whether a write is taken where writes go now."""
    try:
        reply = await driver.request(0, resp.encode(b"SET", b"k", b"v"))
    except OSError:
        return False
    return reply == b"OK"


@pytest.mark.parametrize("by_name", [True, False])
@pytest.mark.parametrize("is_frozen", [False, True])
async def test_a_promoted_replica_takes_writes_before_its_name_moves(
    *, by_name: bool, is_frozen: bool
) -> None:
    """Killed or frozen, the old primary is left; five seconds of DNS are not waited."""
    async with grouped() as (cluster, plane):
        target = named_target(plane, "rg") if by_name else target_of(cluster)
        async with driving(target) as driver:
            await until(lambda: is_whole(driver), what="all nodes")
            primary = await cluster.primary_of("0001")
            first, second = (node for node in cluster.nodes if node is not primary)
            if is_frozen:
                primary.pause()
            else:
                await primary.kill()
            await first.command("REPLICAOF", "NO", "ONE")
            await cluster.follow(second, first)
            begun_s = asyncio.get_running_loop().time()
            driver.hurry()
            await until(
                lambda: primary_of(driver.topology)[0] == first.host,
                what="the new primary",
            )
            await until_true(lambda: written(driver))
            assert asyncio.get_running_loop().time() - begun_s < 4.0
            if is_frozen:
                primary.resume()


async def test_what_is_not_in_step_is_not_connected_to() -> None:
    """A former primary that is back without its data is refused until it has it."""
    async with grouped() as (cluster, _):
        node: LocalNode = cluster.nodes[1]
        await node.kill()
        node.settings["replicaof"] = (node.host, "1")  # nobody is there
        await node.start()
        target = Target(host=node.host, port=node.ports.plain, cluster=False)
        dialer = Dialer(target, None, None, 1000)
        owner = Bystander()
        made = await dialer.dial(
            node.host, node.ports.plain, lambda: Connection(owner, owner, None)
        )
        assert isinstance(made, DialFailure)
        assert made.error.label == "loading"
        await cluster.follow(node, cluster.nodes[0])

        async def is_taken() -> bool:
            try:
                view = await ask_role(dialer, node.host, node.ports.plain)
            except Exception:  # noqa: BLE001 - not yet
                return False
            return view is not None and view.is_linked

        await until_true(is_taken)


async def test_reads_go_to_replicas_as_their_primary_changes(tmp_path: Path) -> None:
    """With read_from = "replica" no primary is asked, by preflight, nor by the load."""
    async with grouped() as (cluster, plane):
        lane = small_lane(read_from="replica", read_ratio=1.0)
        config = running_config(
            named_target(plane, "rg"), lane, output=Output(dir=str(tmp_path / "runs"))
        )
        before = await commands_of(cluster)
        console = Console(file=io.StringIO(), width=120)
        assert await run_load(config, RunOptions(duration_s=2.0), console=console) == 0
        (folder,) = (tmp_path / "runs").glob("[!.]*")
        summary = orjson.loads((folder / "summary.json").read_bytes())
        after = await commands_of(cluster)
    (told,) = summary["lanes"]
    assert told["outcomes"]["served"] > 400
    gets = {name: after[name] - before[name] for name in after}
    primary, *replicas = gets.values()
    assert primary <= lane.keys + 5  # looked at once, before the load
    assert min(replicas) > 200


async def commands_of(cluster: LocalCluster) -> dict[str, int]:
    """Return how many GETs every node has answered."""
    found: dict[str, int] = {}
    for node in cluster.nodes:
        stats = await node.info("commandstats")
        calls = stats.get("cmdstat_get", "calls=0").partition(",")[0]
        found[node.name] = int(calls.removeprefix("calls="))
    return found


async def test_a_name_that_was_gone_for_a_while_may_lead_to_another_group() -> None:
    """The old primary still says that it is one: the name tells which one counts."""
    asked: list[str] = []
    pointing: dict[str, tuple[str, ...]] = {"group.test": ("127.0.1.1",)}

    def look_up(name: str) -> tuple[str, ...] | None:
        asked.append(name)
        return pointing.get(name)

    async with (
        await asyncio.start_server(say_primary, "127.0.1.1", 0) as old,
        await asyncio.start_server(say_primary, "127.0.1.2", port_of(old)),
        NameServer(look_up, ttl_s=0) as names,
    ):
        port = port_of(old)
        target = Target(
            host="group.test", port=port, cluster=False, name_server=names.address
        )
        async with driving(target) as driver:

            def has_asked() -> bool:
                driver.hurry()
                return len(asked) > 4

            def has_moved() -> bool:
                driver.hurry()
                return primary_of(driver.topology) == ("127.0.1.2", port)

            for now in (("127.0.1.1",), (), ("127.0.1.2",)):
                asked.clear()
                pointing = {"group.test": now} if now else {}
                await until(has_asked, what="questions for the name")
            await until(has_moved, what="the primary that the name leads to")


def port_of(server: asyncio.Server) -> int:
    """Return the port that a server listens at."""
    port: int = server.sockets[0].getsockname()[1]
    return port
