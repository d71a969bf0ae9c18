"""A reload of what cannot be swapped: the run goes over into a new segment."""

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path

import aiohttp
import msgspec
import orjson
import pytest
import pytest_asyncio

from loadprobe.clock import NS_PER_MS, NS_PER_S, mono_now_ns
from loadprobe.core.events import (
    ConfigReloaded,
    Event,
    RunContinued,
    RunEnded,
    RunStarted,
)
from loadprobe.outputs.folder.ledger_file import read_ledger
from loadprobe.outputs.folder.reader import RunData, load_segments
from loadprobe.outputs.folder.segments import SegmentInfo
from loadprobe.run.aftermath import load_any_run
from tests.scripted.hook import Hook
from tests.support.bad_input import (
    DEADLINE_S,
    Servers,
    document,
    run_folder,
    start,
)
from tests.support.commands import (
    assert_gone,
    family,
    kill_group,
    start_run,
    until_ready,
)
from tests.support.refusing import refuse_writes
from tests.support.running import until, until_true
from tests.support.scraping import counters, gauge
from tests.support.service_manager import Manager

LANE: dict[str, object] = {"rate_per_s": 400, "read_ratio": 0.5, "deadline_ms": 100}
LENGTH_S = 15
GONE = '\n[[lanes]]\nname = "gone"\nworkers = 2\nrate_per_s = 50\nkeys = 50\n'
MORE = """
[[lanes]]
name = "more"
tls = true
workers = 2
rate_per_s = 50
keys = 50
prefill = false
"""
HOOK = """
[[webhooks]]
name = "hook"
kind = "json"
url = "http://localhost:{port}/"
"""

pytestmark = [
    pytest.mark.alone,
    pytest.mark.timeout(120),
    pytest.mark.asyncio(loop_scope="module"),
]


@pytest_asyncio.fixture(loop_scope="module")
async def beside() -> AsyncIterator[AsyncExitStack]:
    """Return what ends what is there beside a run."""
    async with AsyncExitStack() as stack:
        yield stack


def change(path: Path, *texts: tuple[str, str], more: str = "") -> None:
    """Have a configuration say something else."""
    text = path.read_text()
    for old, new in texts:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text + more)


async def reload(url: str) -> tuple[int, str]:
    """Ask for a reload; return the status and what is said."""
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{url}/-/reload") as reply,
    ):
        return reply.status, (await reply.text()).strip()


def told(run: RunData, *kinds: type[Event]) -> list[Event]:
    """Return the events of some kinds."""
    return [past.event for past in run.events if isinstance(past.event, kinds)]


def segments(path: Path) -> list[SegmentInfo]:
    """Return what is said of the segments of the run of a configuration."""
    found = [each.path / "segment.json" for each in load_segments(run_folder(path))]
    return [
        msgspec.json.decode(each.read_bytes(), type=SegmentInfo)
        for each in found
        if each.exists()
    ]


def has_reloaded(path: Path) -> bool:
    """Tell whether a reload is in the journal."""
    return b'"config_reloaded"' in (run_folder(path) / "events.ndjson").read_bytes()


async def watch(url: str) -> list[bytes]:
    """Be a live page; return the names of the events it was told until it was left."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{url}/live") as reply,
    ):
        lines = [line async for line in reply.content]
    return [line.split()[1] for line in lines if line.startswith(b"event: ")]


async def test_lanes_change_in_an_outage(
    servers: Servers,
    tmp_path: Path,
    manager: Manager,
    ending: ExitStack,
    beside: AsyncExitStack,
) -> None:
    """One run, one outage with right bounds, and a gap that is bounded and told."""
    (node,) = servers.closed.nodes
    run, path, url = await start_run(
        servers, tmp_path, lanes=LANE, slo={"availability": 0.9}
    )
    ending.callback(kill_group, run)
    # A lane comes that goes later; what could be swapped comes with it.
    receiver = await beside.enter_async_context(Hook())
    hook = HOOK.format(port=receiver.port)
    change(path, more=hook + GONE)
    keys = "changed: webhooks.hook, lanes.gone"
    anew = f"{keys}; a new segment begins for: lanes.gone"
    assert await reload(url) == (200, anew)
    await until(lambda: len(segments(path)) == 2, what="the segment")
    await until_ready(url)
    begun = await gauge(url, "config_last_reload_success_timestamp_seconds")
    manager.heard()
    await asyncio.sleep(1.2)
    dark_ns = await refuse_writes(node, is_full=True)
    await asyncio.sleep(1.5)
    page = asyncio.create_task(watch(url))
    before = await counters(url)
    change(path, (GONE, MORE), ("workers = 4", "workers = 7"))
    status, said = await reload(url)
    left_ns = mono_now_ns()
    keys = "lanes.tcp.workers, lanes.gone, lanes.more"
    anew = f"changed: {keys}; a new segment begins for: {keys}"
    assert (status, said) == (200, anew)
    await until(lambda: len(segments(path)) == 3, what="the segment")
    await until_ready(url)
    back_ns = mono_now_ns()
    # The page was let go, not told of an end: it comes back.
    names = await asyncio.wait_for(page, DEADLINE_S)
    assert names[:1] == [b"document"]
    assert b"ended" not in names
    assert await gauge(url, "config_last_reload_successful") == 1
    assert await gauge(url, "config_last_reload_success_timestamp_seconds") > begun
    await asyncio.sleep(1.5)
    after = await counters(url)
    lit_ns = await refuse_writes(node, is_full=False)
    await until(lambda: len(receiver.taken) == 2, what="an opening and a closing")
    heard = manager.heard()
    assert heard.count("READY=1") == 1
    assert "STOPPING=1" not in heard
    assert read_ledger(run_folder(path)).keys() >= {"tcp", "more"}
    run.send_signal(signal.SIGTERM)
    out, err = await asyncio.wait_for(run.communicate(), DEADLINE_S)
    assert run.returncode in {0, 3}, (out, err)

    fallen = {k: (v, after.get(k)) for k, v in before.items() if after.get(k, 0) < v}
    assert fallen == {}
    check_told(receiver)
    blind_ms = check_run(path)
    # A second for what was on its way, and the end of an arrival.
    assert blind_ms <= (back_ns - left_ns) / NS_PER_MS + 1_000
    check_outage(load_any_run(run_folder(path)), dark_ns, lit_ns, blind_ms)


def check_told(receiver: Hook) -> None:
    """Look at what people were told: once that it began, and once that it ended."""
    opened, closed = (request.document for request in receiver.taken)
    assert (opened["kind"], closed["kind"]) == ("opened", "closed")
    assert opened["incident"] == closed["incident"]


def check_run(path: Path) -> float:
    """Look at the run of three segments; return how long it was blind at the last."""
    report = load_any_run(run_folder(path))
    assert [s.why for s in segments(path)] == ["start", "reload", "reload"]
    (_, again) = told(report, RunContinued)
    assert isinstance(again, RunContinued)
    assert (again.by_reload, again.was_killed, again.segment) == (True, False, 3)
    (_, reloaded) = told(report, ConfigReloaded)
    assert isinstance(reloaded, ConfigReloaded)
    assert reloaded.anew == ("lanes.tcp.workers", "lanes.gone", "lanes.more")
    lanes = {lane.name: lane for lane in report.summary.lanes}
    assert lanes.keys() == {"tcp", "gone", "more"}
    assert lanes["gone"].outcomes["served"] > 0
    assert report.summary.lost_writes == 0
    info = document(path, "run.json")
    assert [lane["name"] for lane in info["config"]["lanes"]] == ["tcp", "more"]
    return again.blind_ms


def check_outage(
    report: RunData,
    dark_ns: tuple[int, int],
    lit_ns: tuple[int, int],
    blind_ms: float,
) -> None:
    """Compare what is said of the outage, and of the budget, with what was done."""
    clock = report.info.start.clock
    margin_ns = 20 * NS_PER_MS
    (outage,) = [o for o in report.outages if o.lane == "tcp"]
    assert outage.op == "write"
    start_ns, end_ns = map(clock.to_mono, (outage.start_unix_ns, outage.end_unix_ns))
    assert dark_ns[0] - margin_ns <= start_ns <= dark_ns[1] + margin_ns
    assert lit_ns[0] - margin_ns <= end_ns <= lit_ns[1] + margin_ns
    assert outage.unseen_ms >= blind_ms - 1
    assert outage.lower_ms <= (lit_ns[1] - dark_ns[0]) / NS_PER_MS - blind_ms
    assert outage.upper_ms >= (lit_ns[0] - dark_ns[1]) / NS_PER_MS
    # The lane that went was dark as long as it was looked at, and not longer.
    (gone,) = [o for o in report.outages if o.lane == "gone"]
    assert clock.to_mono(gone.end_unix_ns) < end_ns
    budget = report.summary.error_budget
    assert budget is not None
    used = {
        place.lane: row.used_s.estimate
        for place in budget.places
        for row in place.periods[:1]
    }
    for each in outage, gone:
        seen_s = (each.duration_ms - each.unseen_ms) / 1000
        assert used[each.lane] == pytest.approx(seen_s, abs=0.002)


async def test_signals_in_the_middle(
    servers: Servers, tmp_path: Path, ending: ExitStack
) -> None:
    """A second SIGHUP is heard by the new segment; SIGTERM ends the run in order."""
    run, path, url = await start_run(servers, tmp_path, lanes=LANE)
    ending.callback(kill_group, run)
    change(path, more=MORE)
    run.send_signal(signal.SIGHUP)
    await until(lambda: has_reloaded(path), what="the reload")
    run.send_signal(signal.SIGHUP)
    await until(lambda: len(segments(path)) == 2, what="the segment")
    last = run_folder(path) / "segments/0002/events.ndjson"

    def is_heard() -> bool:
        return last.exists() and b'"config_reloaded"' in last.read_bytes()

    await until(is_heard, what="the second reload")
    await until_ready(url)
    before_ns = mono_now_ns()
    change(path, (MORE, ""))
    status, said = await reload(url)
    after_s = random.SystemRandom().uniform(0, 0.8)
    print(f"told to end after {after_s} s")  # noqa: T201 - shown if it fails
    await asyncio.sleep(after_s)  # in any of its parts
    run.send_signal(signal.SIGTERM)
    assert (status, said) == (
        200,
        "changed: lanes.more; a new segment begins for: lanes.more",
    )
    members = family(run.pid)
    out, err = await asyncio.wait_for(run.communicate(), DEADLINE_S)
    assert run.returncode == 0, (out, err)
    await assert_gone(members)
    report = load_any_run(run_folder(path))
    assert report.summary.state not in {"interrupted", "running"}
    assert (run_folder(path) / "summary.json").exists()
    assert report.info.end is not None
    assert report.info.end.mono_ns >= before_ns
    assert len(told(report, RunEnded)) == 1
    assert report.summary.lost_writes == 0
    assert report.outages == ()


async def test_killed_in_the_middle(
    servers: Servers, tmp_path: Path, ending: ExitStack
) -> None:
    """The next start goes on with it by the new configuration, in the same folder."""
    run, path, url = await start_run(servers, tmp_path, lanes=LANE)
    ending.callback(kill_group, run)
    await asyncio.sleep(1)
    change(path, ("rate_per_s = 400", "rate_per_s = 300"), more=MORE)
    run.send_signal(signal.SIGHUP)
    await until(lambda: has_reloaded(path), what="the reload")
    after_s = random.SystemRandom().uniform(0, 0.8)
    print(f"killed after {after_s} s")  # noqa: T201 - shown if it fails
    await asyncio.sleep(after_s)  # in any of its parts
    members = family(run.pid)
    os.killpg(run.pid, signal.SIGKILL)
    await asyncio.wait_for(run.communicate(), DEADLINE_S)
    await assert_gone(members)
    run = await start("run", str(path), "--resume")
    ending.callback(kill_group, run)
    await until_ready(url)
    run.send_signal(signal.SIGTERM)
    out, err = await asyncio.wait_for(run.communicate(), DEADLINE_S)
    assert run.returncode == 0, (out, err)
    report = load_any_run(run_folder(path))  # there is only one
    assert len(told(report, RunStarted)) == 1
    assert {lane.name for lane in report.summary.lanes} == {"tcp", "more"}
    assert report.outages == ()


async def test_probes_that_cannot_get_through(
    servers: Servers, tmp_path: Path, ending: ExitStack
) -> None:
    """What goes on is measured on, without a gap; the same is tried again later."""
    (node,) = servers.closed.nodes
    run, path, url = await start_run(servers, tmp_path, lanes=LANE)
    ending.callback(kill_group, run)
    change(path, ("workers = 4", "workers = 7"))
    node.pause()
    try:
        status, said = await reload(url)
    finally:
        node.resume()
    assert status == 400
    assert said.startswith("lanes.tcp.workers: nothing was changed, for new probes")
    assert await gauge(url, "config_last_reload_successful") == 0
    assert len(segments(path)) == 1
    await asyncio.sleep(0.3)
    status, said = await reload(url)
    assert (status, said[:29]) == (200, "changed: lanes.tcp.workers; a")
    await until(lambda: len(segments(path)) == 2, what="the segment")
    await until_ready(url)
    run.send_signal(signal.SIGTERM)
    out, err = await asyncio.wait_for(run.communicate(), DEADLINE_S)
    assert run.returncode == 0, (out, err)
    report = load_any_run(run_folder(path))
    outages = {o.op for o in report.outages}
    assert outages >= {"read", "write"}
    assert [o.unseen_ms for o in report.outages] == [0] * len(report.outages)


async def has_gone_on(url: str, *, arrivals: int) -> bool:
    """Tell whether so much load has flowed: an end that counts anew would be later."""
    figures = (await counters(url)).items()
    return arrivals < sum(n for k, n in figures if k[0] == "loadprobe_operations_total")


async def test_a_length_goes_on_and_the_address_changes(
    servers: Servers, tmp_path: Path, ending: ExitStack
) -> None:
    """What is left of --for goes on; another address is served at, if it is free."""
    run, path, url = await start_run(
        servers, tmp_path, "--for", f"{LENGTH_S}s", lanes=LANE
    )
    ending.callback(kill_group, run)
    here = url.removeprefix("http://")
    taken, free = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0), "0"
    ending.callback(taken.close)
    port = taken.sockets[0].getsockname()[1]
    change(path, (here, f"127.0.0.1:{port}"))
    status, said = await reload(url)
    assert (status, "is in use" in said) == (400, True)
    await until_true(lambda: has_gone_on(url, arrivals=1_000))
    taken.close()
    change(path, (f"127.0.0.1:{port}", f"127.0.0.1:{free}"))
    status, said = await reload(url)
    assert (status, said) == (
        200,
        "changed: http.listen; a new segment begins for: http.listen",
    )
    out, err = await asyncio.wait_for(run.communicate(), DEADLINE_S)
    assert run.returncode == 0, (out, err)
    addresses = [line for line in out.decode().splitlines() if line[:5] == "Live:"]
    assert [here in line for line in addresses] == [True, False]
    report = load_any_run(run_folder(path))
    assert [s.why for s in segments(path)] == ["start", "reload"]
    begun, continued, ended = (
        next(p.line.mono_ns for p in report.events if isinstance(p.event, kind))
        for kind in (RunStarted, RunContinued, RunEnded)
    )
    assert begun + LENGTH_S * NS_PER_S <= ended < continued + LENGTH_S * NS_PER_S
    assert orjson.loads((run_folder(path) / "summary.json").read_bytes())
