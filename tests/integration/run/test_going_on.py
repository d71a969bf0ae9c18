"""A run that is killed in an outage and started again is one run, with one outage."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from loadprobe.clock import NS_PER_MS, mono_now_ns
from loadprobe.config.keys import Lane
from loadprobe.core.events import RunContinued
from loadprobe.core.intervals import Interval
from loadprobe.core.load.values import Decoded, ValueCodec
from loadprobe.local.cluster.node import LocalNode
from loadprobe.outputs.folder.ledger_file import read_ledger
from loadprobe.outputs.folder.reader import RunData, load_segments
from loadprobe.run.aftermath import load_any_run
from tests.support.bad_input import DEADLINE_S, Servers, run_folder, start
from tests.support.commands import (
    assert_gone,
    family,
    kill_group,
    start_run,
    until_ready,
)
from tests.support.refusing import refuse_writes
from tests.support.running import until, until_true
from tests.support.scraping import counters

NAME = "kept"
CODEC = ValueCodec(NAME, Lane(NAME).value_bytes)
LANE: dict[str, object] = {"rate_per_s": 400, "read_ratio": 0.5, "deadline_ms": 100}

pytestmark = [
    pytest.mark.alone,
    pytest.mark.timeout(120),
    pytest.mark.asyncio(loop_scope="module"),
]


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
    await until_ready(url)
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


async def versions(node: LocalNode) -> dict[int, tuple[str, int]]:
    """Return number -> name and version of all keys of the lane."""
    names = sorted(await node.command("KEYS", f"lp:{NAME}:*"))
    replies = await node.pipeline([("GET", name) for name in names])
    found: dict[int, tuple[str, int]] = {}
    for name, reply in zip(names, replies, strict=True):
        value = CODEC.decode(reply.encode("utf-8", "surrogateescape"))
        assert isinstance(value, Decoded)
        found[value.key] = name, value.version
    return found


async def go_on(path: Path, url: str) -> tuple[RunContinued, float]:
    """Go on with a run, and end it; return what it said, and counts of lost writes."""
    run = await start("run", str(path), "--resume")
    try:
        await until_ready(url)
        said = await counters(url)
    except BaseException:
        kill_group(run)
        raise
    run.send_signal(signal.SIGTERM)
    out, err = await asyncio.wait_for(run.communicate(), DEADLINE_S)
    assert run.returncode == 0, (out, err)
    events = load_any_run(run_folder(path)).events
    told = [p.event for p in events if isinstance(p.event, RunContinued)]
    lost = (n for key, n in said.items() if key[0] == "loadprobe_lost_writes_total")
    return told[-1], sum(lost)


async def test_what_was_written_before_is_looked_for(
    servers: Servers, tmp_path: Path
) -> None:
    """A key that is gone, or old again, is a lost write; it counts once."""
    (node,) = servers.closed.nodes
    run, path, url = await start_run(
        servers, tmp_path, "--resume", lanes=LANE | {"name": NAME, "keys": 40}
    )
    early = await versions(node)
    (gone, _), (old, _), *_ = early.values()
    copy = f"old:{old[old.index('{') : old.index('}') + 1]}"
    await node.command("COPY", old, copy, "REPLACE")

    def is_kept() -> bool:
        kept = read_ledger(run_folder(path)).get(NAME, {})
        return all(
            number in kept and kept[number].version > version
            for number, (_, version) in early.items()
        )

    members = family(run.pid)
    try:
        await until(is_kept, what="the newest writes of all keys")
    finally:
        kill_group(run)
    await asyncio.wait_for(run.communicate(), DEADLINE_S)
    await assert_gone(members)
    first, counted = await go_on(path, url)
    assert (first.writes_checked, first.writes_lost, counted) == (40, 0, 0)

    await node.command("DEL", gone)
    await node.command("RENAME", copy, old)
    second, counted = await go_on(path, url)
    assert (second.writes_checked, second.writes_lost, counted) == (40, 2, 2)
    assert load_any_run(run_folder(path)).summary.lost_writes == 2
    third, counted = await go_on(path, url)
    assert (third.writes_lost, counted) == (0, 2)
    assert load_any_run(run_folder(path)).summary.lost_writes == 2


async def test_keys_of_a_killed_run_go_away(servers: Servers, tmp_path: Path) -> None:
    """Nothing is left of it after a TTL; who goes on then misses no write."""
    (node,) = servers.closed.nodes
    lane = LANE | {"name": "short", "keys": 40, "ttl_s": 5}
    run, path, url = await start_run(servers, tmp_path, "--resume", lanes=lane)

    def is_kept() -> bool:
        return len(read_ledger(run_folder(path)).get("short", {})) == 40

    async def are_gone() -> bool:
        return not await node.command("KEYS", "lp:short:*")

    members = family(run.pid)
    try:
        await until(is_kept, what="writes of all keys")
        assert not await are_gone()
    finally:
        kill_group(run)
    await asyncio.wait_for(run.communicate(), DEADLINE_S)
    await assert_gone(members)
    await until_true(are_gone)
    said, counted = await go_on(path, url)
    assert (said.writes_checked, said.writes_lost, counted) == (40, 0, 0)
    assert said.writes_expired == 40
    summary = load_any_run(run_folder(path)).summary
    assert (summary.lost_writes, summary.wrong) == (0, 0)


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
    assert [outage.op for outage in report.outages] == ["write"], report.outages
    (outage,) = report.outages
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
