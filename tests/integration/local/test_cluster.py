"""The local cluster: real servers, ready quickly, gone on every way out."""

import asyncio
import contextlib
import errno
import os
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import hiredis
import pytest
import pytest_asyncio
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError
from redis.exceptions import ConnectionError as RedisConnectionError

from loadprobe.errors import PreflightError, RunError, UsageError
from loadprobe.local.cluster.admin import ServerGone, ServerRefused
from loadprobe.local.cluster.certificates import Authority
from loadprobe.local.cluster.cluster import LocalCluster
from loadprobe.local.cluster.node import LocalNode
from loadprobe.local.cluster.processes import start_ticks
from loadprobe.local.cluster.servers import find_server

pytestmark = pytest.mark.asyncio(loop_scope="module")
DEADLINE_S = 15.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster() -> AsyncIterator[LocalCluster]:
    """Run three shards with a replica each, TCP and TLS, and a password."""
    async with LocalCluster(password='a "quoted\\" word') as running:
        yield running


def client_of(
    node: LocalNode,
    cluster: LocalCluster,
    *,
    tls: bool,
    ca_file: Path | None = None,
    with_certificate: bool = False,
) -> Redis:
    """Return a client of one node that neither retries nor waits long."""
    certificates = cluster.certificates
    assert certificates is not None
    identity = certificates.client if with_certificate else None
    if not tls:
        return Redis(host=node.host, port=node.ports.plain, password=cluster.password)
    return Redis(
        host=node.host,
        port=node.ports.tls,
        password=cluster.password,
        ssl=True,
        ssl_ca_certs=str(ca_file or certificates.ca),
        ssl_certfile=str(identity.certificate) if identity else None,
        ssl_keyfile=str(identity.key) if identity else None,
        retry=Retry(NoBackoff(), 0),
    )


async def told_ports(node: LocalNode, cluster: LocalCluster, *, tls: bool) -> set[int]:
    """Return the ports that CLUSTER SLOTS tells a client of that kind."""
    certificates = cluster.certificates
    assert certificates is not None
    assert cluster.password is not None
    context = ssl.create_default_context(cafile=str(certificates.ca)) if tls else None
    port = node.ports.tls if tls else node.ports.plain
    reader, writer = await asyncio.open_connection(node.host, port, ssl=context)
    parser = hiredis.Reader()
    writer.write(hiredis.pack_command(("AUTH", cluster.password)))  # type: ignore[arg-type]
    writer.write(hiredis.pack_command(("CLUSTER", "SLOTS")))  # type: ignore[arg-type]
    replies: list[Any] = []
    async with asyncio.timeout(DEADLINE_S):
        while len(replies) < 2:
            parser.feed(await reader.read(65_536))
            while (reply := parser.gets()) is not False:
                replies.append(reply)
    writer.close()
    assert replies[0] == b"OK"
    return {member[1] for owned in replies[1] for member in owned[2:]}


async def test_covers_all_slots_with_replicas(cluster: LocalCluster) -> None:
    """When entering returns, every node sees three primaries and their replicas."""
    assert [str(shard.slots[0]) for shard in cluster.shards] == [
        "0-5461",
        "5462-10922",
        "10923-16383",
    ]
    for node in cluster.nodes:
        state = await node.cluster_info()
        assert state["cluster_state"] == "ok"
        assert state["cluster_slots_assigned"] == "16384"
        assert state["cluster_known_nodes"] == "6"
    for shard in cluster.shards:
        assert await cluster.primary_of(shard.node_group_id) is shard.nodes[0]
        assert (await shard.nodes[1].info("replication"))["role"] == "slave"


async def test_tells_each_asker_its_own_kind_of_port(cluster: LocalCluster) -> None:
    """Every node tells TCP clients plaintext ports and TLS clients TLS ports."""
    plain = {node.ports.plain for node in cluster.nodes}
    tls = {node.ports.tls for node in cluster.nodes}
    for node in cluster.nodes:
        assert await told_ports(node, cluster, tls=False) == plain
        assert await told_ports(node, cluster, tls=True) == tls


async def test_takes_writes_on_both_ports(cluster: LocalCluster) -> None:
    """A value written over TCP is read over TLS."""
    node = cluster.nodes[0]
    async with client_of(node, cluster, tls=False) as client:
        await client.set("{06S}key", "value")  # slot 0
    async with client_of(node, cluster, tls=True) as client:
        assert await client.get("{06S}key") == b"value"


async def test_keeps_the_password_out_of_the_arguments(cluster: LocalCluster) -> None:
    """The servers' arguments hold no password, and nobody else reads their files."""
    for node in cluster.nodes:
        assert b"quoted" not in Path(f"/proc/{node.pid}/cmdline").read_bytes()
        assert (node.folder / "node.conf").stat().st_mode & 0o077 == 0
    assert cluster.folder.stat().st_mode & 0o077 == 0


async def test_listens_on_loopback_alone(cluster: LocalCluster) -> None:
    """Every server binds addresses of this machine, for clients and for the others."""
    for node in cluster.nodes:
        _, bound = await node.command("CONFIG", "GET", "bind")
        assert bound.split()
        assert all(ip_address(each).is_loopback for each in bound.split())
        with socket.socket() as other:
            elsewhere = ("127.9.9.9", node.ports.plain)
            assert other.connect_ex(elsewhere) == errno.ECONNREFUSED


async def test_demands_the_password(cluster: LocalCluster) -> None:
    """A client without the password is refused."""
    node = cluster.nodes[0]
    async with Redis(
        host=node.host,
        port=node.ports.plain,
        protocol=2,
        retry=Retry(NoBackoff(), 0),
    ) as client:
        with pytest.raises(AuthenticationError, match="Authentication required"):
            await client.get("key")


async def test_uses_the_settings_elasticache_documents(cluster: LocalCluster) -> None:
    """Coverage, reads when down and replica migration are off."""
    for name in (
        "cluster-require-full-coverage",
        "cluster-allow-reads-when-down",
        "cluster-allow-replica-migration",
    ):
        assert await cluster.nodes[0].command("CONFIG", "GET", name) == [name, "no"]


async def test_a_refused_command_is_named_without_its_arguments(
    cluster: LocalCluster,
) -> None:
    """An error reply is raised with the command's name, and the next one works."""
    node = cluster.nodes[0]
    with pytest.raises(ServerRefused, match="refused CONFIG SET: ERR") as caught:
        await node.command("CONFIG", "SET", "no-such-setting", "secret")
    assert "secret" not in str(caught.value).partition(":")[0]
    assert await node.command("PING") == "PONG"


async def test_a_paused_node_is_gone_until_resumed(cluster: LocalCluster) -> None:
    """A paused node does not answer; its late reply is never taken for another's."""
    replica = cluster.shards[2].nodes[1]
    replica.pause()
    try:
        with pytest.raises(ServerGone, match="did not answer ECHO late"):
            await replica.command("ECHO", "late", timeout_s=0.1)
    finally:
        replica.resume()
    assert await replica.command("ECHO", "now") == "now"


async def test_a_primary_that_has_no_time_to_answer_is_asked_again() -> None:
    """A primary that lives but answers late is still found, and said to be one."""
    async with LocalCluster(shards=1, replicas_per_shard=0, tls=False) as cluster:
        node = cluster.nodes[0]
        assert node.pid is not None
        os.kill(node.pid, signal.SIGSTOP)  # nobody told the cluster: it seems to run
        loop = asyncio.get_running_loop()
        loop.call_later(0.8, os.kill, node.pid, signal.SIGCONT)
        assert await cluster.primary_of("0001") is node


async def test_settings_survive_a_restart(cluster: LocalCluster) -> None:
    """A setting changed with ``configure`` holds in the process and its successor."""
    replica = cluster.shards[1].nodes[1]
    before = replica.pid
    await replica.configure({"maxmemory-samples": "7"})
    await replica.restart()
    assert replica.pid != before
    answer = await replica.command("CONFIG", "GET", "maxmemory-samples")
    assert answer == ["maxmemory-samples", "7"]


async def test_an_unknown_node_group_is_named(cluster: LocalCluster) -> None:
    """Asking for a node group that does not exist lists those that do."""
    with pytest.raises(UsageError, match="'0009'; there are: 0001, 0002, 0003"):
        await cluster.primary_of("0009")


async def test_removes_everything_when_the_body_fails() -> None:
    """An exception in the block ends the processes and removes the folder."""
    with pytest.raises(ZeroDivisionError):
        async with LocalCluster(shards=1, replicas_per_shard=0, tls=False) as short:
            folder = short.folder
            pids = [node.pid for node in short.nodes]
            raise ZeroDivisionError
    assert not folder.exists()
    assert [start_ticks(pid) for pid in pids if pid] == [None]


async def test_removes_everything_when_cancelled_while_starting() -> None:
    """A start that is cancelled leaves neither processes nor a folder."""
    cluster = LocalCluster()
    starting = asyncio.create_task(cluster.__aenter__())
    async with asyncio.timeout(DEADLINE_S):
        while len([node for node in cluster.nodes if node.pid]) < 6:
            await asyncio.sleep(0.005)
    pids = [node.pid for node in cluster.nodes]
    folder = cluster.folder
    starting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await starting
    assert not folder.exists()
    assert {start_ticks(pid) for pid in pids if pid} == {None}


async def test_without_cluster_mode_there_is_one_primary() -> None:
    """With cluster mode off, one primary has replicas in sync and no slots."""
    async with LocalCluster(shards=1, cluster_mode=False) as group:
        primary, replica = group.nodes
        assert await group.primary_of("0001") is primary
        assert group.shards[0].slots == []
        await primary.command("SET", "key", "value")
        async with asyncio.timeout(DEADLINE_S):
            while await replica.command("GET", "key") != "value":
                await asyncio.sleep(0.01)


async def test_production_timeouts_do_not_slow_the_start() -> None:
    """A long node timeout is set once the cluster is ready."""
    async with LocalCluster(
        shards=2, replicas_per_shard=0, node_timeout_ms=15_000
    ) as c:
        answer = await c.nodes[0].command("CONFIG", "GET", "cluster-node-timeout")
        assert answer == ["cluster-node-timeout", "15000"]


async def test_mutual_tls_demands_a_client_certificate(tmp_path: Path) -> None:
    """With mutual TLS a client needs a certificate of the cluster's own CA."""
    async with LocalCluster(
        shards=1, replicas_per_shard=1, cluster_mode=False, mutual_tls=True
    ) as group:
        node = group.nodes[0]
        async with client_of(node, group, tls=True, with_certificate=True) as client:
            assert await client.set("key", "value")
        async with client_of(node, group, tls=True) as client:
            with pytest.raises((OSError, RedisConnectionError)):
                await client.get("key")
        stranger = Authority(tmp_path, name="stranger")
        async with client_of(
            node, group, tls=True, ca_file=stranger.ca_file, with_certificate=True
        ) as client:
            with pytest.raises(RedisConnectionError, match="CERTIFICATE_VERIFY_FAILED"):
                await client.get("key")


async def test_expired_certificates_are_refused(tmp_path: Path) -> None:
    """An expired certificate can be made, and is refused as expired."""
    authority = Authority(tmp_path)
    files = authority.issue_expired("old")
    assert files.key.stat().st_mode & 0o077 == 0
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    serving.load_cert_chain(files.certificate, files.key)
    asking = ssl.create_default_context(cafile=str(authority.ca_file))

    async def ignore(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(ignore, "127.0.0.1", 0, ssl=serving)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(ssl.SSLCertVerificationError, match="has expired"):
            await asyncio.open_connection("127.0.0.1", port, ssl=asking)


async def test_a_server_that_cannot_start_shows_its_log(tmp_path: Path) -> None:
    """A start that fails says which server, and how its log ends."""
    node = LocalNode(
        "broken",
        folder=tmp_path,
        server=find_server(),
        settings={"maxmemory-policy": "no-such-policy"},
        has_tls_port=False,
    )
    with pytest.raises(RunError, match=r"(?s)as broken on ports.*no-such-policy"):
        await node.start()
    assert node.pid is None


async def test_tls_needs_a_server_with_tls(tmp_path: Path) -> None:
    """Asking a plaintext server for TLS says what to install."""
    plain = tmp_path / "valkey-server"
    plain.write_text("#!/bin/sh\necho 'Valkey server v=9.1.2'\n")
    plain.chmod(0o755)
    with pytest.raises(PreflightError, match="built without TLS; install one with"):
        async with LocalCluster(server=plain):
            pass


@pytest.mark.parametrize(("shards", "cluster_mode"), [(0, True), (2, False)])
async def test_impossible_shapes_are_refused(shards: int, cluster_mode: bool) -> None:
    """No shards, or several without cluster mode, are refused before any start."""
    with pytest.raises(UsageError, match="expected at least 1"):
        LocalCluster(shards=shards, cluster_mode=cluster_mode)


PARENT = """
import asyncio
from loadprobe.local.cluster.cluster import LocalCluster

async def main():
    async with LocalCluster(shards=1, cluster_mode=False) as cluster:
        print(*(node.pid for node in cluster.nodes), flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_servers_die_with_a_killed_parent() -> None:
    """When the process that runs a cluster is SIGKILLed, its servers end too."""
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    words = (await parent.stdout.readline()).split()
    servers = [(int(word), start_ticks(int(word))) for word in words]
    assert len(servers) == 2
    assert None not in dict(servers).values()
    parent.kill()
    await parent.wait()
    async with asyncio.timeout(DEADLINE_S):
        while any(start_ticks(pid) == ticks for pid, ticks in servers):
            await asyncio.sleep(0.01)


async def test_a_cluster_that_is_started_again() -> None:
    """It makes itself new certificates: the old ones went with its folder."""
    cluster = LocalCluster(shards=1, replicas_per_shard=0)
    for _ in range(2):
        async with cluster:
            assert cluster.ca_file is not None
            assert cluster.ca_file.exists()
            assert await cluster.nodes[0].command("PING") == "PONG"


async def rewritten(node: LocalNode) -> None:
    """Wait until the append-only file is the one that a start would read.

    Turning it on begins a rewrite; what is written before its end is lost by a kill.
    """
    async with asyncio.timeout(DEADLINE_S):
        while True:
            told = await node.info("persistence")
            rewriting = told["aof_rewrite_in_progress"], told["aof_rewrite_scheduled"]
            if rewriting == ("0", "0"):
                return
            await asyncio.sleep(0.01)


async def test_a_server_that_loads_is_waited_for() -> None:
    """A start ends when the server serves what it kept, not when it says LOADING."""
    async with LocalCluster(shards=1, replicas_per_shard=0, tls=False) as cluster:
        (node,) = cluster.nodes
        # "always": it never answers before the file has the write.
        await node.configure({"appendonly": "yes", "appendfsync": "always"})
        await rewritten(node)
        await node.pipeline([("SET", f"key-{n}", n) for n in range(3_000)])
        # Microseconds for each key; it answers after the first and every 1,024 keys.
        node.settings["key-load-delay"] = "200"
        await node.restart()
        assert await node.command("DBSIZE") == 3_000
