"""A run that is killed in an outage and started again is one run, with one outage."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from prometheus_client.parser import text_string_to_metric_families

from loadprobe.clock import NS_PER_MS, mono_now_ns
from loadprobe.core.events import RunContinued
from loadprobe.core.intervals import Interval
from loadprobe.local.cluster.node import LocalNode
from loadprobe.outputs.folder.reader import RunData, load_segments
from loadprobe.run.aftermath import load_any_run
from tests.support.bad_input import DEADLINE_S, Servers, run_folder, serving, start
from tests.support.commands import assert_gone, family, get, start_run

LANE: dict[str, object] = {"rate_per_s": 400, "read_ratio": 0.5, "deadline_ms": 100}

pytestmark = [
    pytest.mark.alone,
    pytest.mark.timeout(120),
    pytest.mark.asyncio(loop_scope="module"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def servers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Servers]:
    """Start the server once."""
    async with serving(tmp_path_factory.mktemp("run-going-on")) as started:
        yield started


async def refuse_writes(node: LocalNode, *, is_full: bool) -> tuple[int, int]:
    """Let a server have no memory for writes, or enough; return when that was done."""
    start_ns = mono_now_ns()
    bytes_ = 1 if is_full else 0
    assert await node.pipeline([("CONFIG", "SET", "maxmemory", bytes_)]) == ["OK"]
    return start_ns, mono_now_ns()


async def counters(url: str) -> dict[tuple[object, ...], float]:
    """Return the counters of the run that ``/metrics`` shows."""
    page = await get(f"{url}/metrics")
    assert page is not None
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name.startswith("loadprobe_") and sample.name.endswith("_total")
    }


@pytest.mark.parametrize("how", ["killed", "ended"])
async def test_an_outage_across_a_restart_is_one(
    servers: Servers, tmp_path: Path, how: str
) -> None:
    """One folder, one outage with right bounds, blind in between, counters grow."""
    (node,) = servers.closed.nodes
    run, path, url = await start_run(servers, tmp_path, "--resume", lanes=LANE)
    await asyncio.sleep(1.2)
    dark_ns = await refuse_writes(node, is_full=True)
    await asyncio.sleep(1.5)
    before = await counters(url)
    members = family(run.pid)
    cut_ns = mono_now_ns()
    if how == "killed":
        os.killpg(run.pid, signal.SIGKILL)
    else:
        run.send_signal(signal.SIGTERM)
    await asyncio.wait_for(run.communicate(), DEADLINE_S)
    await assert_gone(members)
    back_ns = mono_now_ns()
    run = await start("run", str(path), "--resume")
    async with asyncio.timeout(DEADLINE_S):
        while await get(f"{url}/readyz") is None:
            await asyncio.sleep(0.05)
    await asyncio.sleep(1.5)
    after = await counters(url)
    lit_ns = await refuse_writes(node, is_full=False)
    await asyncio.sleep(1.5)
    run.send_signal(signal.SIGTERM)
    out, err = await asyncio.wait_for(run.communicate(), DEADLINE_S)
    assert run.returncode == 0, (out, err)

    fallen = {k: (v, after.get(k)) for k, v in before.items() if after.get(k, 0) < v}
    assert fallen == {}
    served = [k for k in before if k[0] == "loadprobe_operations_total"]
    assert any(after[k] > before[k] for k in served)
    report = load_any_run(run_folder(path))  # there is only one
    check(report, dark_ns, lit_ns, gap_ms=(back_ns - cut_ns) / NS_PER_MS)
    (again,) = [p.event for p in report.events if isinstance(p.event, RunContinued)]
    assert again.was_killed == (how == "killed")
    assert not again.is_other_boot


def check(
    report: RunData, dark_ns: Interval, lit_ns: Interval, *, gap_ms: float
) -> None:
    """Compare what is said with what was done.

    Args:
        report: what is said.
        dark_ns: in which the outage began.
        lit_ns: in which it ended.
        gap_ms: no process was there for so long.
    """
    assert len(load_segments(report.path)) == 2
    (lane,) = report.summary.lanes
    assert lane.blind_ms >= gap_ms
    (outage,) = report.outages
    assert outage.op == "write"
    clock = report.info.start.clock
    margin_ns = 20 * NS_PER_MS
    start_ns, end_ns = map(clock.to_mono, (outage.start_unix_ns, outage.end_unix_ns))
    assert dark_ns[0] - margin_ns <= start_ns <= dark_ns[1] + margin_ns
    assert lit_ns[0] - margin_ns <= end_ns <= lit_ns[1] + margin_ns
    assert outage.unseen_ms >= gap_ms
    assert outage.upper_ms >= (lit_ns[0] - dark_ns[1]) / NS_PER_MS
    seen_ms = (lit_ns[1] - dark_ns[0]) / NS_PER_MS - outage.unseen_ms
    assert outage.lower_ms <= seen_ms + 20
    assert not outage.open_start
    assert not outage.open_end
