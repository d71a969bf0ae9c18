"""The scripted cluster does what its faults promise, and times them truly.

A test that trusts a wrong truth proves nothing, so the truth is tested here, with
plain sockets and with a client library.
"""

import asyncio
import signal
import ssl
import sys
from asyncio import StreamReader, StreamWriter
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from pathlib import Path

import hiredis
import pytest
from redis.asyncio.cluster import RedisCluster

from loadprobe.clock import NS_PER_MS, mono_now_ns
from loadprobe.core.slots import key_slot, tag_for_slot
from loadprobe.local.certificates import CertificateSet, write_certificates
from tests.scripted import Fault, ScriptedCluster, ScriptedClusterError, resp

_PATIENCE_S = 10.0
_MOMENT_S = 0.05
# Keys of the three shards' first slots.
KEYS = [b"{%b}k" % tag_for_slot(slot) for slot in (0, 5462, 10923)]

_ROOT = Path(__file__).resolve().parents[2]
_PARENT = """
import asyncio
from tests.scripted import ScriptedCluster

async def main():
    async with ScriptedCluster(shards=1) as cluster:
        print(cluster.port, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


class Client:
    """One raw connection; replies come back as hiredis parses them."""

    def __init__(self, reader: StreamReader, writer: StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._parser = hiredis.Reader(encoding="utf-8")

    @classmethod
    async def connect(cls, port: int, tls: ssl.SSLContext | None = None) -> "Client":
        """Connect to a port of the loopback address."""
        return cls(*await asyncio.open_connection("127.0.0.1", port, ssl=tls))

    def send(self, *words: str | bytes) -> None:
        """Send one command."""
        self._writer.write(resp.encode(words))

    async def reply(self) -> object:
        """Return the next reply.

        Raises:
            ConnectionError: the connection was reset or ended.
            TimeoutError: there is none.
        """
        async with asyncio.timeout(_PATIENCE_S):
            while (reply := self._parser.gets()) is False:
                data = await self._reader.read(1 << 16)
                if not data:
                    raise ConnectionError("ended")
                self._parser.feed(data)
        return str(reply) if isinstance(reply, hiredis.ReplyError) else reply

    async def ask(self, *words: str | bytes) -> object:
        """Send a command and return its reply."""
        self.send(*words)
        return await self.reply()

    async def is_silent(self) -> bool:
        """Tell whether nothing comes for a moment."""
        try:
            async with asyncio.timeout(_MOMENT_S):
                return not await self._reader.read(1)
        except TimeoutError:
            return True

    async def is_reset(self) -> bool:
        """Tell whether the peer sent RST, not FIN."""
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await self._reader.read()
        except ConnectionResetError:
            return True
        return False

    def close(self) -> None:
        """Close."""
        self._writer.close()


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


@pytest.mark.parametrize(
    ("reply", "refuses_reads"),
    [
        ("CLUSTERDOWN The cluster is down", True),
        ("LOADING Redis is loading the dataset in memory", True),
        ("READONLY You can't write against a read only replica.", False),
        ("MISCONF Redis is configured to save RDB snapshots", False),
        ("OOM command not allowed when used memory > 'maxmemory'.", False),
    ],
)
async def test_error(
    cluster: ScriptedCluster, client: Client, reply: str, *, refuses_reads: bool
) -> None:
    """The chosen error is told while the fault lasts, on its shard only."""
    other = await Client.connect(cluster.ports[1])
    await client.ask("SET", KEYS[0], "v")
    active = await cluster.fault("error", shards=[0], reply=reply)
    assert await client.ask("SET", KEYS[0], "w") == reply
    assert await client.ask("GET", KEYS[0]) == (reply if refuses_reads else "v")
    assert await other.ask("SET", KEYS[1], "v") == "OK"
    truth = await cluster.heal(active)
    assert await client.ask("GET", KEYS[0]) == "v"
    assert (truth.kind, truth.shards) == ("error", (0,))
    assert cluster.truth == [truth]
    other.close()


async def test_reset(cluster: ScriptedCluster, client: Client) -> None:
    """Connections end by RST and new ones are refused, until the same port is back."""
    for _ in range(3):
        active = await cluster.fault("reset", shards=[0])
        assert await client.is_reset()
        with pytest.raises(ConnectionRefusedError):
            await Client.connect(cluster.port)
        await cluster.heal(active)
        client = await Client.connect(cluster.port)
        assert await client.ask("PING") == "PONG"
    client.close()


async def test_freeze(cluster: ScriptedCluster, client: Client) -> None:
    """Nothing is answered before the end; then everything is, in order."""
    assert await client.ask("PING") == "PONG"
    active = await cluster.fault("freeze", shards=[0])
    for number in range(10):
        client.send("SET", KEYS[0], str(number))
    client.send("GET", KEYS[0])
    late = await Client.connect(cluster.port)  # the kernel accepts, the server not
    late.send("PING")
    assert await client.is_silent()
    assert await late.is_silent()
    healing = mono_now_ns()
    truth = await cluster.heal(active)
    assert [await client.reply() for _ in range(11)] == ["OK"] * 10 + ["9"]
    assert await late.reply() == "PONG"
    assert truth.start_ns < healing <= truth.end_ns
    late.close()


async def test_blackhole(cluster: ScriptedCluster, client: Client) -> None:
    """What arrives is lost; connections that lost something end, others live on."""
    idle = await Client.connect(cluster.port)
    await idle.ask("PING")
    await client.ask("SET", KEYS[0], "before")
    active = await cluster.fault("blackhole", shards=[0])
    client.send("SET", KEYS[0], "lost")
    assert await client.is_silent()
    await cluster.heal(active)
    assert await client.is_reset()
    assert await idle.ask("GET", KEYS[0]) == "before"
    idle.close()


async def test_drop_reply(cluster: ScriptedCluster, client: Client) -> None:
    """A write is applied and never answered; reads beside it are."""
    other = await Client.connect(cluster.port)
    active = await cluster.fault("drop_reply", shards=[0])
    client.send("SET", KEYS[0], "applied")
    assert await client.is_silent()
    assert await other.ask("GET", KEYS[0]) == "applied"
    await cluster.heal(active)
    assert await client.is_reset()
    assert await other.ask("GET", KEYS[0]) == "applied"
    other.close()


async def test_slow(cluster: ScriptedCluster, client: Client) -> None:
    """Every reply waits at least the delay, and none overtakes another at the end."""
    active = await cluster.fault("slow", shards=[0], delay_ms=30)
    asked_ns = mono_now_ns()
    assert await client.ask("PING", "a") == "a"
    assert mono_now_ns() - asked_ns >= 30 * NS_PER_MS
    client.send("PING", "slow")
    async with asyncio.timeout(_PATIENCE_S):
        while await cluster.ops("PING", shard=0) < 2:
            await asyncio.sleep(0)
    await cluster.heal(active)
    client.send("PING", "quick")
    assert [await client.reply(), await client.reply()] == ["slow", "quick"]


async def test_false_values(cluster: ScriptedCluster, client: Client) -> None:
    """Reads lie while the fault lasts; the store keeps the right value."""
    await client.ask("SET", KEYS[0], "older")
    await client.ask("SET", KEYS[0], "newer")
    told: dict[str, object] = {}
    for kind in ("wrong_value", "stale_value", "nil"):
        active = await cluster.fault(kind, shards=[0])
        told[kind] = await client.ask("GET", KEYS[0])
        await cluster.heal(active)
    assert told == {"wrong_value": "never", "stale_value": "older", "nil": None}
    assert await client.ask("GET", KEYS[0]) == "newer"


async def test_script_keeps_its_schedule(cluster: ScriptedCluster) -> None:
    """A script's faults begin and end when due, at once on all their shards."""
    faults = [
        Fault("error", (0,), start_offset_ns=20 * NS_PER_MS, duration_ns=5 * NS_PER_MS),
        Fault(
            "reset", (1, 2), start_offset_ns=30 * NS_PER_MS, duration_ns=10 * NS_PER_MS
        ),
        Fault("freeze", start_offset_ns=40 * NS_PER_MS, duration_ns=10 * NS_PER_MS),
    ]
    asked_ns = mono_now_ns()
    truth = await cluster.run_script(faults)
    assert [(t.kind, t.shards) for t in truth] == [
        ("error", (0,)),
        ("reset", (1, 2)),
        ("freeze", (0, 1, 2)),
    ]
    for fault, interval in zip(faults, truth, strict=True):
        assert interval.start_ns >= asked_ns + fault.start_offset_ns
        assert interval.end_ns > interval.start_ns
    assert cluster.truth == truth


async def test_truth_bounds_what_a_client_sees(
    cluster: ScriptedCluster, client: Client
) -> None:
    """Answers parsed before the start and asked after the end are never errors.

    And what is asked after the start and answered before the end always is one.
    """
    script = asyncio.create_task(
        cluster.run_script(
            [
                Fault(
                    "error",
                    (0,),
                    start_offset_ns=start_ms * NS_PER_MS,
                    duration_ns=10 * NS_PER_MS,
                )
                for start_ms in range(10, 200, 20)
            ]
        )
    )
    seen: list[tuple[int, int, bool]] = []
    while not script.done():
        sent_ns = mono_now_ns()
        reply = await client.ask("SET", KEYS[0], "v")
        seen.append((sent_ns, mono_now_ns(), reply == "OK"))
    truth = [(t.start_ns, t.end_ns) for t in await script]
    assert len(truth) == 10
    for began_ns, parsed_ns, is_ok in seen:
        if any(start <= began_ns and parsed_ns <= end for start, end in truth):
            assert not is_ok
        if all(parsed_ns < start or began_ns >= end for start, end in truth):
            assert is_ok
    assert any(not is_ok for _, _, is_ok in seen)


async def test_refuses_overlapping_faults(cluster: ScriptedCluster) -> None:
    """Two faults on one port are refused, and the first one stays."""
    active = await cluster.fault("slow", shards=[0], delay_ms=1)
    with pytest.raises(ScriptedClusterError, match="slow is still running"):
        await cluster.fault("error")
    await cluster.heal(active)
    with pytest.raises(ScriptedClusterError, match="not running"):
        await cluster.heal(active)


async def test_promoted_replica_is_healthy(cluster: ScriptedCluster) -> None:
    """A fault stays with the node that was the primary when it began."""
    active = await cluster.fault("reset", shards=[0])
    await cluster.promote(0)
    promoted = await Client.connect(cluster.replica_ports[0][0])
    assert await promoted.ask("SET", KEYS[0], "v") == "OK"
    await cluster.heal(active)
    old = await Client.connect(cluster.port)
    moved = f"MOVED 0 127.0.0.1:{cluster.replica_ports[0][0]}"
    assert await old.ask("GET", KEYS[0]) == moved
    promoted.close()
    old.close()


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
        sys.executable, "-c", _PARENT, stdin=PIPE, stdout=PIPE, cwd=_ROOT
    )
    assert parent.stdout is not None
    port = int(await parent.stdout.readline())
    (await Client.connect(port)).close()
    parent.kill()
    await parent.wait()
    with pytest.raises(ConnectionError):
        async with asyncio.timeout(_PATIENCE_S):
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
