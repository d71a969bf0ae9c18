"""Our share of a real server's connections and operations has ceilings."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio

from loadprobe.local.cluster.node import LocalNode
from loadprobe.local.cluster.ports import free_ports
from tests.support.bad_input import SECRET, Servers, config_of, finish, serving, start
from tests.support.commands import get, kill_group
from tests.support.running import until

pytestmark = [pytest.mark.alone, pytest.mark.asyncio(loop_scope="module")]

MAX_CLIENTS = 64
LANE: dict[str, object] = {"workers": 20, "rate_per_s": 200, "connect_rate_per_s": 0}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def servers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Servers]:
    """Start a server that takes few connections."""
    async with serving(tmp_path_factory.mktemp("ceilings")) as started:
        (node,) = started.closed.nodes
        await node.configure({"maxclients": str(MAX_CLIENTS)})
        yield started


async def fill(node: LocalNode, opened: AsyncExitStack) -> None:
    """Take what the server has left of its connections."""
    for _ in range(MAX_CLIENTS):
        _, writer = await asyncio.open_connection(node.host, node.ports.plain)
        opened.callback(writer.close)


async def test_a_server_is_spared(servers: Servers, tmp_path: Path) -> None:
    """Nobody else asks, so operations are ours; then others take all connections."""
    (node,) = servers.closed.nodes
    listen = f"127.0.0.1:{free_ports(1)[0]}"
    load: dict[str, object] = {"max_operations_ratio": 0.5, "ramp_s": 0}
    load |= {"max_connections_ratio": 0.9}
    path = config_of(servers, tmp_path, http={"listen": listen}, lanes=LANE, load=load)
    process = await start("run", str(path))

    def strains() -> list[dict[str, Any]]:
        lines = [
            orjson.loads(line)
            for journal in (tmp_path / "runs").glob("*/events.ndjson")
            for line in journal.read_bytes().splitlines()[1:]
        ]
        return [each["fields"] for each in lines if each["kind"] == "restraint"]

    try:
        async with AsyncExitStack() as opened:
            await until(lambda: bool(strains()), what="a lower rate", within_s=40)
            page = await get(f"http://{listen}/metrics")
            assert page is not None
            assert "loadprobe_load_share{" in page
            await fill(node, opened)
            await until(lambda: len(strains()) > 1, what="a still lower rate")
        process.terminate()
        ended = await finish(process)
    finally:
        kill_group(process)
    assert ended.code == 0, ended
    first, second = strains()[:2]
    assert first == {"share": 0.5, "strains": ["operations"]}
    assert second == {"share": 0.25, "strains": ["connections", "operations"]}


async def test_too_many_workers_are_said_beforehand(
    servers: Servers, tmp_path: Path
) -> None:
    """``check`` compares the connections of all lanes with what the server takes."""
    few: dict[str, object] = {"max_connections_ratio": 0.3}
    path = config_of(servers, tmp_path, lanes=LANE, load=few)
    ended = await finish(await start("check", str(path)))
    assert ended.code == 0, "a run can begin all the same"
    assert "warn  tcp ceilings" in ended.out
    assert "all lanes would have 20 of 64 connections of a server, more than" in (
        " ".join(ended.out.split())
    )
    enough: dict[str, object] = {"max_connections_ratio": 0.4}
    path = config_of(servers, tmp_path, lanes=LANE, load=enough)
    ended = await finish(await start("check", str(path)))
    assert ended.code == 0, ended
    assert "20 of 64 connections of a server" in ended.out
    (node,) = servers.closed.nodes
    rights = "~lp:* +ping +time +get +set +expire +cluster|slots +cluster|nodes "
    rights += "+cluster|info"
    rule = ("few", "on", f">{SECRET}", *rights.split())
    await node.command("ACL", "SETUSER", *rule)
    path = config_of(
        servers, tmp_path, lanes=LANE, load=enough, target={"username": "few"}
    )
    ended = await finish(await start("check", str(path)))
    assert ended.code == 0, ended
    assert "give the user +info" in " ".join(ended.out.split())
