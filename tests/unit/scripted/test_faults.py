"""The scripted cluster does what its faults promise, and times them truly.

A test that trusts a wrong truth proves nothing, so the truth is tested here, with plain
sockets.
"""

import asyncio
from collections.abc import AsyncIterator

import pytest

from loadprobe.clock import NS_PER_MS, mono_now_ns
from tests.scripted import Fault, ScriptedCluster, ScriptedClusterError
from tests.support.scripted_client import KEYS, PATIENCE_S, Client


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
    async with asyncio.timeout(PATIENCE_S):
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
