"""The end of a run, and what /metrics said meanwhile: the same as the files."""

import asyncio
import re
import signal
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from loadprobe.config.keys import Http
from loadprobe.local.cluster.cluster import LocalCluster
from loadprobe.local.cluster.ports import free_ports
from tests.support.run_command import run_command
from tests.support.running import config_of, small_lane, target_of, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

# Shorter than the stops below, and longer than a busy machine takes to answer.
LANE = small_lane(deadline_ms=600)

_SAMPLE = re.compile(r"^loadprobe_(\w+)\{(.*)\} ([^ ]+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')

Samples = dict[str, list[tuple[dict[str, str], float]]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster() -> AsyncIterator[LocalCluster]:
    """Start three shards that do not notice a stopped one."""
    async with LocalCluster(
        shards=3, replicas_per_shard=0, tls=False, node_timeout_ms=30_000
    ) as started:
        yield started


async def test_sigterm_amid_an_outage(cluster: LocalCluster, tmp_path: Path) -> None:
    """SIGTERM writes everything that was measured; the outage is left open."""
    config = config_of(target_of(cluster), LANE)
    node = await cluster.primary_of("0003")
    async with run_command(config, tmp_path) as command:
        await until(lambda: command.has_begun, what="a run folder")
        await asyncio.sleep(1.0)
        node.pause()
        await asyncio.sleep(1.0)
        command.send(signal.SIGTERM)
        await asyncio.sleep(1.0)
        node.resume()
        code, text = await command.wait()
    assert code == 0, text
    rows = command.document("outages.json")["outages"]
    assert {row["shard"] for row in rows} == {"0003"}
    assert {row["op"] for row in rows} == {"read", "write"}
    assert all(row["open_end"] for row in rows)
    assert all(row["failed"] for row in rows)
    summary = command.document("summary.json")
    arrivals = Counter[str]()
    for row in command.lines("series.ndjson"):
        for outcome in ("served", "late", "refused", "unknown", "unsent", "wrong"):
            arrivals[outcome] += row[outcome]
    (lane,) = summary["lanes"]
    assert dict(arrivals) == lane["outcomes"]
    assert command.document("run.json")["end"] is not None
    last = command.lines("events.ndjson")[-1]
    assert (last["source"], last["kind"]) == ("run", "ended")


async def scrape(port: int) -> Samples:
    """Return all samples of /metrics by name."""
    url = f"http://127.0.0.1:{port}/metrics"
    async with aiohttp.ClientSession() as session, session.get(url) as reply:
        assert reply.status == 200
        text = await reply.text()
    samples: Samples = {}
    for name, labels, value in _SAMPLE.findall(text):
        samples.setdefault(name, []).append(
            (dict(_LABEL.findall(labels)), float(value))
        )
    return samples


def total(samples: Samples, name: str, **labels: str) -> float:
    """Return the sum over all samples of a name with the given labels."""
    return sum(
        value
        for found, value in samples.get(name, ())
        if labels.items() <= found.items()
    )


async def test_metrics_agree_with_the_summary(
    cluster: LocalCluster, tmp_path: Path
) -> None:
    """Failures and outages are the same in /metrics and in the run folder."""
    (port,) = free_ports(1)
    config = config_of(target_of(cluster), LANE, http=Http(listen=f"127.0.0.1:{port}"))
    node = await cluster.primary_of("0002")
    async with run_command(config, tmp_path) as command:
        await until(lambda: command.has_begun, what="a run folder")
        await asyncio.sleep(1.0)
        node.pause()
        await asyncio.sleep(0.8)
        node.resume()
        async with asyncio.timeout(20):
            while True:
                samples = await scrape(port)
                if total(samples, "outages_total", shard="0002") >= 2:
                    break
                await asyncio.sleep(0.2)
        command.send(signal.SIGTERM)
        code, text = await command.wait()
    assert code == 0, text
    summary = command.document("summary.json")
    rows = command.document("outages.json")["outages"]
    (lane,) = summary["lanes"]
    for outcome, count in lane["outcomes"].items():
        seen = total(samples, "operations_total", outcome=outcome)
        if outcome == "served":
            assert 0 < seen <= count
            # Sealing lags by deadline and slack; the drain takes as long again.
            assert count - seen <= 300 * 10
        else:
            assert seen == count
    errors = Counter[str]()
    for found, value in samples["operation_errors_total"]:
        errors[found["class"]] += int(value)
    assert dict(errors) == lane["classes"]
    assert total(samples, "outages_total") == len(rows)
    lasted_s = sum(row["duration_ms"] for row in rows) / 1000
    # What the probe did not see of an outage, if it was stalled then, is not counted.
    unseen_s = sum(row["unseen_ms"] for row in rows) / 1000
    counted_s = total(samples, "outage_seconds_total")
    assert lasted_s - unseen_s - 1e-3 <= counted_s <= lasted_s + 1e-3
    # Told in whole milliseconds, of reads and of writes.
    dark_s = total(samples, "dark_time_seconds_total")
    assert lasted_s - unseen_s - 3e-3 <= dark_s <= lasted_s + 3e-3
    assert total(samples, "outage_active") == 0
