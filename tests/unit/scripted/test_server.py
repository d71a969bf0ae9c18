"""The scripted cluster serves as a cluster does, and counts what arrives.

It is asked with plain sockets and with a client library.
"""

import asyncio
import signal
import ssl
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator

import pytest
from redis.asyncio.cluster import RedisCluster

from loadprobe.clock import mono_now_ns
from loadprobe.local.cluster.certificates import CertificateSet, write_certificates
from tests.scripted import ScriptedCluster, ScriptedClusterError
from tests.support.key_slots import key_slot
from tests.support.paths import ROOT
from tests.support.scripted_client import KEYS, PATIENCE_S, Client

_PARENT = """
import asyncio
from tests.scripted import ScriptedCluster

async def main():
    async with ScriptedCluster(shards=1) as cluster:
        print(cluster.port, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.fixture
async def cluster() -> AsyncIterator[ScriptedCluster]:
    """Three shards, one replica each, by TCP."""
    async with ScriptedCluster(shards=3, replicas_per_shard=1) as scripted:
        yield scripted


@pytest.fixture
async def client(cluster: ScriptedCluster) -> AsyncIterator[Client]:
    """Provide a connection to the first shard's primary."""
    connected = await Client.connect(cluster.port)
    yield connected
    connected.close()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> CertificateSet:
    """One set of certificates for the module."""
    return write_certificates(tmp_path_factory.mktemp("certificates"))


def _trusting(certificates: CertificateSet) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(certificates.ca)
    return context


async def test_serves_reads_and_writes(client: Client) -> None:
    """Keyed commands work on one store, and MGET wants one slot."""
    assert await client.ask("SET", KEYS[0], "v") == "OK"
    assert await client.ask("GET", KEYS[0]) == "v"
    assert await client.ask("MGET", KEYS[0], KEYS[0] + b"x") == ["v", None]
    assert await client.ask("EXISTS", KEYS[0]) == 1
    assert await client.ask("DEL", KEYS[0]) == 1
    assert await client.ask("GET", KEYS[0]) is None
    assert str(await client.ask("MGET", *KEYS)).startswith("CROSSSLOT")


async def test_answers_pipelines_in_order(client: Client) -> None:
    """Replies to commands sent in one go come in their order."""
    for number in range(100):
        client.send("PING", str(number))
    assert [await client.reply() for _ in range(100)] == [str(n) for n in range(100)]


async def test_does_not_invent_commands(client: Client) -> None:
    """A command that is not there is an error, as is a wrong number of words."""
    assert str(await client.ask("HELLO", "3")).startswith("ERR unknown command")
    assert str(await client.ask("GET")).startswith("ERR wrong number")
    assert await client.ask("PING") == "PONG"


async def test_redirects_to_the_owner(cluster: ScriptedCluster, client: Client) -> None:
    """A key of another shard is MOVED to its primary, unless ASKING came before."""
    moved = f"MOVED 5462 127.0.0.1:{cluster.ports[1]}"
    assert await client.ask("GET", KEYS[1]) == moved
    assert await client.ask("ASKING") == "OK"
    assert await client.ask("GET", KEYS[1]) is None
    assert await client.ask("GET", KEYS[1]) == moved


async def test_replica_serves_reads_after_readonly(cluster: ScriptedCluster) -> None:
    """A replica redirects until READONLY, and writes always."""
    replica = await Client.connect(cluster.replica_ports[0][0])
    moved = f"MOVED 0 127.0.0.1:{cluster.port}"
    assert await replica.ask("GET", KEYS[0]) == moved
    assert await replica.ask("READONLY") == "OK"
    assert await replica.ask("GET", KEYS[0]) is None
    assert await replica.ask("SET", KEYS[0], "v") == moved
    replica.close()


async def test_moves_slots_and_promotes(
    cluster: ScriptedCluster, client: Client
) -> None:
    """Mutations are told by CLUSTER SLOTS and NODES and obeyed by redirects."""
    before_ns = mono_now_ns()
    at_ns = await cluster.move_slots(0, 9, to_shard=2)
    assert before_ns <= at_ns <= mono_now_ns()
    assert await client.ask("GET", KEYS[0]) == f"MOVED 0 127.0.0.1:{cluster.ports[2]}"
    await cluster.promote(2)
    promoted = cluster.replica_ports[2][0]
    assert await client.ask("GET", KEYS[0]) == f"MOVED 0 127.0.0.1:{promoted}"
    slots = await client.ask("CLUSTER", "SLOTS")
    assert isinstance(slots, list)
    assert [(first, last, node[1]) for first, last, node, *_ in slots] == [
        (0, 9, promoted),
        (10, 5461, cluster.ports[0]),
        (5462, 10922, cluster.ports[1]),
        (10923, 16383, promoted),
    ]
    lines = str(await client.ask("CLUSTER", "NODES")).splitlines()
    mine = [line.split() for line in lines if f":{promoted}@" in line]
    assert [words[2:4] + words[6:] for words in mine] == [
        ["master", "-", "5", "connected", "0-9", "10923-16383"]
    ]
    with pytest.raises(ScriptedClusterError, match="only 0 to 2"):
        await cluster.promote(7)


async def test_password_is_wanted() -> None:
    """Nothing but AUTH works before the right password."""
    async with ScriptedCluster(shards=1, password="sesame") as cluster:
        client = await Client.connect(cluster.port)
        assert str(await client.ask("PING")).startswith("NOAUTH")
        assert str(await client.ask("AUTH", "wrong")).startswith("WRONGPASS")
        assert await client.ask("AUTH", "default", "sesame") == "OK"
        assert await client.ask("PING") == "PONG"
        client.close()


async def test_counts_what_arrived(cluster: ScriptedCluster, client: Client) -> None:
    """Connects, commands and faulted ones are counted by node."""
    for _ in range(3):
        await client.ask("SET", KEYS[0], "v")
    active = await cluster.fault("error", shards=[0])
    await client.ask("GET", KEYS[0])
    await cluster.heal(active)
    node = (await cluster.counts())[0]
    assert (node.port, node.is_primary) == (cluster.port, True)
    assert (node.connects, node.faulted) == (1, 1)
    assert node.ops == {"SET": 3, "GET": 1}
    assert await cluster.ops("SET") == 3
    assert await cluster.ops("SET", shard=1) == 0


async def test_tls_and_tcp_side_by_side(certificates: CertificateSet) -> None:
    """Each asker is told ports of its kind, and a fault can hit one kind only."""
    context = _trusting(certificates)
    async with ScriptedCluster(shards=2, tls=certificates) as cluster:
        secure = await Client.connect(cluster.tls_port, context)
        plain = await Client.connect(cluster.port)
        for client, ports in ((secure, cluster.tls_ports), (plain, cluster.ports)):
            slots = await client.ask("CLUSTER", "SLOTS")
            assert isinstance(slots, list)
            assert [node[1] for _, _, node in slots] == ports
        active = await cluster.fault("reset", transport="tcp")
        assert await plain.is_reset()
        assert await secure.ask("PING") == "PONG"
        await cluster.heal(active)
        active = await cluster.fault("reset", transport="tls")
        assert await secure.is_reset()
        with pytest.raises(ConnectionRefusedError):
            await Client.connect(cluster.tls_port, context)
        await cluster.heal(active)
        secure = await Client.connect(cluster.tls_port, context)
        active = await cluster.fault("freeze")
        secure.send("PING")
        assert await secure.is_silent()
        await cluster.heal(active)
        assert await secure.reply() == "PONG"
        secure.close()


async def test_mutual_tls(certificates: CertificateSet) -> None:
    """With mutual TLS, a client without a certificate gets no answer."""
    async with ScriptedCluster(shards=1, tls=certificates, mutual_tls=True) as cluster:
        context = _trusting(certificates)
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await (await Client.connect(cluster.tls_port, context)).ask("PING")
        context.load_cert_chain(
            certificates.client.certificate, certificates.client.key
        )
        client = await Client.connect(cluster.tls_port, context)
        assert await client.ask("PING") == "PONG"
        client.close()


async def test_client_library_works_unchanged(certificates: CertificateSet) -> None:
    """redis-py's cluster client takes it for a cluster, by TCP and by TLS."""
    async with ScriptedCluster(
        shards=3, replicas_per_shard=1, tls=certificates, password="sesame"
    ) as cluster:
        for port, is_tls in ((cluster.port, False), (cluster.tls_port, True)):
            async with RedisCluster(
                host=cluster.host,
                port=port,
                password="sesame",
                protocol=2,
                ssl=is_tls,
                ssl_ca_certs=str(certificates.ca),
            ) as redis:
                for number in range(30):
                    await redis.set(f"k{number}", f"v{number}")
                assert [await redis.get(f"k{n}") for n in range(30)] == [
                    f"v{n}".encode() for n in range(30)
                ]
        by_shard = [await cluster.ops("SET", shard=shard) for shard in range(3)]
        wanted = [0, 0, 0]
        for number in range(30):
            wanted[key_slot(b"k%d" % number) * 3 // 16384] += 2
        assert by_shard == wanted


async def test_ends_with_its_block() -> None:
    """After the block nothing listens, even if a fault was left running."""
    async with ScriptedCluster(shards=1) as cluster:
        await cluster.fault("freeze")
        port = cluster.port
    with pytest.raises(ConnectionRefusedError):
        await Client.connect(port)
    with pytest.raises(ScriptedClusterError, match="not running"):
        await cluster.counts()


async def test_ends_with_its_parent() -> None:
    """Killing the process that started it ends the server process too."""
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _PARENT, stdin=PIPE, stdout=PIPE, cwd=ROOT
    )
    assert parent.stdout is not None
    port = int(await parent.stdout.readline())
    (await Client.connect(port)).close()
    parent.kill()
    await parent.wait()
    with pytest.raises(ConnectionError):
        async with asyncio.timeout(PATIENCE_S):
            while True:
                await (await Client.connect(port)).ask("PING")


async def test_the_server_knows_when_it_was_held_up() -> None:
    """Time in which the process did not run is told."""
    async with ScriptedCluster(shards=1) as cluster:
        assert cluster._process is not None
        assert await cluster.stalls() is not None  # its loop turns, and is watched
        cluster._process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(0.05)
        middle_ns = mono_now_ns()
        await asyncio.sleep(0.05)
        cluster._process.send_signal(signal.SIGCONT)
        stalls = await cluster.stalls()
        while not any(span.start_ns < middle_ns < span.end_ns for span in stalls):
            await asyncio.sleep(0.01)
            stalls = await cluster.stalls()
