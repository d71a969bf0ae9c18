"""Whose fault it was, proven: every cause is made with real processes, and told.

One cluster serves all tests: what each breaks it also mends.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio

from loadprobe.clock import NS_PER_MS, mono_now_ns
from loadprobe.config.keys import Client, Lane
from loadprobe.core.events import ProbeStalled
from loadprobe.core.intervals import length
from loadprobe.core.verdict.beside import Planned
from loadprobe.core.verdict.outage_document import OutageRow
from loadprobe.core.verdict.summary import Summary
from loadprobe.core.verdict.verdict import Verdict
from loadprobe.local.cluster.cluster import LocalCluster
from tests.support.running import (
    Trial,
    config_of,
    measuring,
    small_lane,
    target_of,
)

pytestmark = [pytest.mark.alone, pytest.mark.asyncio(loop_scope="module")]

SHARDS = ("0001", "0002", "0003")
BEFORE_S = 0.5
BROKEN_S = 0.8
AFTER_S = 0.5
TCP = small_lane("tcp")
TLS = small_lane("tls", tls=True)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster() -> AsyncIterator[LocalCluster]:
    """Start three shards that nobody fails over: what is stopped stays so."""
    async with LocalCluster(
        shards=3, replicas_per_shard=0, node_timeout_ms=60_000
    ) as started:
        yield started


@asynccontextmanager
async def observing(cluster: LocalCluster, *lanes: Lane) -> AsyncIterator[Trial]:
    """Measure a little longer than the block on both sides."""
    async with measuring(config_of(target_of(cluster), *lanes)) as trial:
        await asyncio.sleep(BEFORE_S)
        yield trial
        await asyncio.sleep(AFTER_S)


def causes(verdict: Verdict, *, least_ms: float = 0.0) -> dict[str, set[str]]:
    """Return cause -> "lane shard" of all outages of at least some length."""
    found: dict[str, set[str]] = {}
    for row in verdict.outages.outages:
        if row.duration_ms >= least_ms:
            places = found.setdefault(row.attribution, set())
            places.add(f"{row.lane} {row.shard}")
    return found


def sentence(summary: Summary, cause: str) -> str:
    """Return what the verdict says of the evidence for a cause."""
    (text,) = [text for text in summary.verdict if text.startswith(f"{cause}: ")]
    return text


def served_meanwhile(row: OutageRow) -> int:
    """Return how many served arrivals the evidence of an outage tells of."""
    _, _, count = row.evidence.removesuffix(" arrivals in these seconds").rpartition(
        ", "
    )
    return int(count.replace(",", ""))


def check_witnessed(verdict: Verdict, *lanes: str, of: Collection[str]) -> None:
    """Check that evidence names what was served, and how much of it."""
    for row in verdict.outages.outages:
        if row.lane in lanes:
            assert any(name in row.evidence for name in of), row
            assert served_meanwhile(row) > 0, row


@pytest.mark.parametrize("kind", ["frozen", "killed"])
async def test_a_primary_is_gone(cluster: LocalCluster, kind: str) -> None:
    """A shard is dark on both transports while the others are served: the shard."""
    node = await cluster.primary_of("0002")
    async with observing(cluster, TCP, TLS) as trial:
        if kind == "frozen":
            node.pause()
        else:
            await node.kill()
        await asyncio.sleep(BROKEN_S)
        if kind == "frozen":
            node.resume()
        else:
            await node.start()
    verdict = trial.verdict()
    assert causes(verdict) == {"shard": {"tcp 0002", "tls 0002"}}
    check_witnessed(verdict, "tcp", "tls", of=["0001, 0003 were served on lane t"])
    told = sentence(verdict.summary, "shard")
    assert "while shard 0002 was dark on lane" in told
    assert "shards 0001, 0003 were served on lane" in told
    assert verdict.summary.downtime_ms.shards["0002"].lower > 300
    assert verdict.summary.downtime_ms.all_shards.upper == 0


async def test_all_primaries_are_stopped(cluster: LocalCluster) -> None:
    """All shards are dark at once: the cluster."""
    primaries = [await cluster.primary_of(shard) for shard in SHARDS]
    async with observing(cluster, TCP) as trial:
        for node in primaries:
            node.pause()
        await asyncio.sleep(BROKEN_S)
        for node in primaries:
            node.resume()
    verdict = trial.verdict()
    assert causes(verdict) == {"cluster": {f"tcp {shard}" for shard in SHARDS}}
    told = sentence(verdict.summary, "cluster")
    assert told.endswith("all 3 shards were dark on lane tcp")
    assert verdict.summary.downtime_ms.all_shards.lower > 300


async def test_only_the_tls_ports_are_closed(cluster: LocalCluster) -> None:
    """TLS is dark on all shards while plaintext is served: the transport.

    If it was announced, the same darkness is planned, and no downtime.
    """
    async with observing(cluster, TCP, TLS) as trial:
        announced_ns = mono_now_ns()
        for node in cluster.nodes:
            await node.listen(plain=True, tls=False)
            await node.disconnect(node.ports.tls)
        await asyncio.sleep(BROKEN_S)
        for node in cluster.nodes:
            await node.listen(plain=True, tls=True)
    verdict = trial.verdict()
    tls = {f"tls {shard}" for shard in SHARDS}
    assert causes(verdict) == {"transport": tls}
    check_witnessed(verdict, "tls", of=["lane tcp (TCP) was served on shard"])
    assert "lane tcp (TCP) was served" in sentence(verdict.summary, "transport")
    tcp = next(lane for lane in verdict.summary.lanes if lane.name == "tcp")
    assert tcp.downtime_ms.any_shard.upper == 0

    planned = trial.verdict([Planned("tls", announced_ns, trial.ended_ns)])
    assert causes(planned) == {"planned": tls}
    summary = planned.summary
    assert summary.downtime_ms.any_shard.upper == 0
    assert summary.planned_ms.any_shard.lower > 300
    (told,) = [text for text in summary.verdict if "as planned" in text]
    assert told.startswith("lane tls was dark as planned from ")
    assert told.endswith("this is not counted as downtime")
    assert {row.evidence for row in planned.outages.outages} == {
        "lane tls was expected to be dark"
    }


async def test_a_client_is_wedged(cluster: LocalCluster) -> None:
    """A pool of one connection for many workers fails beside a served witness.

    At random times some arrivals come together whatever the machine's speed; evenly
    spaced ones meet only if it is slow.
    """
    wedged = small_lane(
        "app",
        driver="redis-py",
        workers=40,
        rate_per_s=1200.0,
        schedule="poisson",
        client=Client(max_connections=1, retries=0),
    )
    async with observing(cluster, TCP, wedged) as trial:
        await asyncio.sleep(BROKEN_S)
    verdict = trial.verdict()
    found = causes(verdict)
    assert found.keys() == {"client"}, found
    assert {place.split()[0] for place in found["client"]} == {"app"}
    check_witnessed(verdict, "app", of=["witness lane tcp was served on shard"])
    assert "witness lane tcp was served" in sentence(verdict.summary, "client")
    tcp, app = verdict.summary.lanes
    assert tcp.downtime_ms.any_shard.upper == 0
    assert app.classes.keys() == {"inflight"}


async def test_a_probe_is_stopped(cluster: LocalCluster) -> None:
    """A stopped probe process is blind and sends no burst afterwards: no downtime."""
    async with observing(cluster, TCP) as trial:
        (pid,) = trial.pids
        os.kill(pid, signal.SIGSTOP)
        stopped_ns = mono_now_ns()
        await asyncio.sleep(1.0)
        continued_ns = mono_now_ns()
        os.kill(pid, signal.SIGCONT)
    assert trial.results.outages == []
    assert trial.failed == 0
    blind = [
        (max(start, stopped_ns), min(end, continued_ns))
        for start, end in trial.blind("tcp")
    ]
    missing = continued_ns - stopped_ns - length(blind)
    # It would have been woken at the next due time, some milliseconds after the stop.
    assert missing <= 50 * NS_PER_MS
    assert trial.skipped > 0
    assert trial.of(ProbeStalled)
    summary = trial.verdict().summary
    assert summary.state == "blind"
    assert summary.downtime_ms.any_shard.upper == 0
    (told,) = [text for text in summary.verdict if "was blind for" in text]
    assert told.endswith("that time counts neither as downtime nor as served")
    assert [incident.causes for incident in summary.incidents] == [{"probe": 1}]


async def test_permissions_are_taken_away(cluster: LocalCluster) -> None:
    """A user that may not read and write any more is access, though shards are dark."""
    node = await cluster.primary_of("0002")
    async with observing(cluster, TCP, TLS) as trial:
        await node.command("ACL", "SETUSER", "default", "-get", "-set")
        await asyncio.sleep(BROKEN_S)
        await node.command("ACL", "SETUSER", "default", "+get", "+set")
    verdict = trial.verdict()
    assert causes(verdict) == {"access": {"tcp 0002", "tls 0002"}}
    told = sentence(verdict.summary, "access")
    assert "refused for login or permission (NOAUTH, WRONGPASS, NOPERM)" in told
    assert {name for row in verdict.outages.outages for name in row.classes} == {"auth"}


async def test_a_password_is_changed(cluster: LocalCluster) -> None:
    """New connections that are refused for their password are access as well."""
    async with observing(cluster, TCP) as trial:
        for node in cluster.nodes:
            await node.command("ACL", "SETUSER", "default", "resetpass", ">other")
            await node.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        await asyncio.sleep(BROKEN_S)
        for node in cluster.nodes:
            await node.command("ACL", "SETUSER", "default", "nopass")
    verdict = trial.verdict()
    assert causes(verdict, least_ms=200) == {
        "access": {f"tcp {shard}" for shard in SHARDS}
    }


async def test_a_name_breaks(cluster: LocalCluster) -> None:
    """A node that is announced by a name that does not resolve is the path's doing."""
    node = await cluster.primary_of("0002")
    async with observing(cluster, TCP) as trial:
        for each in cluster.nodes:
            await each.command(
                "CONFIG", "SET", "cluster-preferred-endpoint-type", "hostname"
            )
        await node.command("CONFIG", "SET", "cluster-announce-hostname", "no..name")
        # Whoever has not heard of the name yet tells an address that serves.
        for each in cluster.nodes:
            async with asyncio.timeout(30):
                while "no..name" not in str(await each.command("CLUSTER", "SLOTS")):
                    await asyncio.sleep(0.02)
        await node.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        await asyncio.sleep(BROKEN_S)
        for each in cluster.nodes:
            await each.command("CONFIG", "SET", "cluster-preferred-endpoint-type", "ip")
        await asyncio.sleep(1.0)
        await node.command("CONFIG", "SET", "cluster-announce-hostname", "")
    verdict = trial.verdict()
    assert causes(verdict, least_ms=200) == {"path": {"tcp 0002"}}, verdict.outages
    assert "DNS did not resolve" in sentence(verdict.summary, "path")


async def test_writes_alone_are_refused(cluster: LocalCluster) -> None:
    """A primary that lacks replicas serves reads: a cause of its own, on all lanes."""
    node = await cluster.primary_of("0002")
    async with observing(cluster, TCP, TLS) as trial:
        await node.command("CONFIG", "SET", "min-replicas-to-write", "1")
        await asyncio.sleep(BROKEN_S)
        await node.command("CONFIG", "SET", "min-replicas-to-write", "0")
    verdict = trial.verdict()
    assert causes(verdict) == {"writes": {"tcp 0002", "tls 0002"}}
    assert {row.op for row in verdict.outages.outages} == {"write"}
    told = sentence(verdict.summary, "writes")
    assert "writes were refused (mostly other), and all reads of shard 0002" in told
