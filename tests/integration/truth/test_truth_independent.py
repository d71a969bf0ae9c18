"""The command beside a truth that shares no code with it, disturbed all the while.

One outage of 2,400 ms after the other, each with the probe, one of two probes or the
supervisor stopped across its start, in its middle, across its end, or all the time.
What is compared is what a user reads: ``outages.json`` and ``summary.json``.
"""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.paths import TESTS

pytestmark = pytest.mark.alone

SERVER = TESTS / "independent" / "server.py"
OUTAGE_S, DEADLINE_S, PAUSE_S = 2.4, 0.25, 1.0
# From when to when something is stopped, from the start of the outage on, in s.
STOPS = {
    "start": (-0.6, 1.2),
    "middle": (0.8, 1.6),
    "end": (1.2, 3.0),
    "whole": (-0.5, 3.0),
}
NEAR_MS = 500.0
# Distances of arrivals, round trips, connections: what bounds need where all is seen.
FEW_MS = 120.0
CONFIG = """
[target]
host = "127.0.0.1"
port = {port}

[[lanes]]
name = "tcp"
workers = 20
rate_per_s = 1000
read_ratio = 0.5
keys = 400
processes = {processes}
connect_rate_per_s = 0.0

[http]
listen = ""

[output]
dir = "{folder}"
"""


@dataclass(frozen=True, slots=True)
class Case:
    """One outage as it was, wall-clock ms."""

    place: str
    kind: str
    start_ms: float
    end_ms: float
    answered_ms: float

    @property
    def length_ms(self) -> float:
        """Return the true length."""
        return self.end_ms - self.start_ms

    @property
    def most_ms(self) -> float:
        """Return it with the time in which what had waited was answered."""
        return self.answered_ms - self.start_ms

    def rows(self, outages: Sequence[Mapping[str, Any]], op: str) -> list[Any]:
        """Return what was told of it for one kind of operation."""
        return [
            row
            for row in outages
            if row["op"] == op
            and row["start_unix_ns"] / 1e6 < self.end_ms + NEAR_MS
            and self.start_ms - NEAR_MS < row["end_unix_ns"] / 1e6
        ]


class Server:
    """The other side, as a process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def line(self) -> str:
        """Return the next line it says."""
        assert self._process.stdout is not None
        return (await self._process.stdout.readline()).decode().strip()

    async def tell(self, order: str) -> list[float]:
        """Give an order; return when it took effect and was done, wall-clock ms."""
        assert self._process.stdin is not None
        offset_ns = time.time_ns() - time.monotonic_ns()
        self._process.stdin.write(f"{order}\n".encode())
        told = (await self.line()).split()
        return [(int(at_ns) + offset_ns) / 1e6 for at_ns in told]


@asynccontextmanager
async def process(*words: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start a process; it is gone after the block."""
    pipe = asyncio.subprocess.PIPE
    started = await asyncio.create_subprocess_exec(
        sys.executable, *words, stdin=pipe, stdout=pipe
    )
    try:
        yield started
    finally:
        if started.returncode is None:
            os.kill(started.pid, signal.SIGCONT)
            started.kill()
        await started.communicate()


async def until(what: str, is_true: Any) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(30.0):
        while not is_true():
            await asyncio.sleep(0.02)
    assert is_true(), what


def probes_of(pid: int) -> list[int]:
    """Return the probe processes of a command, in the order of their start."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    children = [
        int(n) for task in tasks for n in (task / "children").read_text().split()
    ]
    return sorted(children)


async def one_outage(
    server: Server, pids: Sequence[int], place: str, kind: str
) -> Case:
    """Let the server be down while processes are stopped."""
    down_s = OUTAGE_S + (DEADLINE_S if kind == "silence" else 0.0)
    stop_s, go_on_s = STOPS[place]
    begin_s = time.monotonic() + max(0.0, -stop_s)
    told: dict[str, list[float]] = {}

    async def at(offset_s: float, what: str) -> None:
        await asyncio.sleep(max(0.0, begin_s + offset_s - time.monotonic()))
        if what in {"stop", "go on"}:
            number = signal.SIGSTOP if what == "stop" else signal.SIGCONT
            for pid in pids:
                os.kill(pid, number)
        else:
            told[what.split(maxsplit=1)[0]] = await server.tell(what)

    async with asyncio.TaskGroup() as group:
        for offset_s, what in (
            *((stop_s, "stop"), (go_on_s, "go on")),
            *((0.0, f"down {kind}"), (down_s, "up")),
        ):
            group.create_task(at(offset_s, what))
    await asyncio.sleep(PAUSE_S)
    counts_ms = 1000 * DEADLINE_S if kind == "silence" else 0.0
    end_ms, answered_ms = (at_ms - counts_ms for at_ms in told["up"])
    return Case(place, kind, told["down"][0], end_ms, answered_ms)


async def rehearse(
    folder: Path, stopped: str, kinds: Mapping[str, str]
) -> tuple[list[Case], list[Any], Any]:
    """Run the command; return what was, the outages and the summary it tells."""
    processes = 2 if stopped == "one of two" else 1
    async with process(str(SERVER)) as serving:
        server = Server(serving)
        port = (await server.line()).split()[0]
        config = folder / "run.toml"
        runs = folder / "runs"
        config.write_text(CONFIG.format(port=port, processes=processes, folder=runs))
        async with process("-m", "loadprobe", "run", str(config)) as command:
            assert command.stdout is not None
            reading = asyncio.create_task(command.stdout.read())
            await until("the load", lambda: any(runs.glob("*/run.json")))
            pids = probes_of(command.pid)
            assert len(pids) == processes
            pids = [command.pid] if stopped == "supervisor" else pids[:1]
            await asyncio.sleep(PAUSE_S)
            cases = [
                await one_outage(server, pids, place, kind)
                for place, kind in kinds.items()
            ]
            command.send_signal(signal.SIGTERM)
            text = (await reading).decode()
            assert await command.wait() == 0, text
    (run,) = [path for path in runs.glob("[!.]*") if path.is_dir()]
    outages = json.loads((run / "outages.json").read_bytes())["outages"]
    return cases, outages, json.loads((run / "summary.json").read_bytes())


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("stopped", "kinds"),
    [
        ("probe", ("error", "reset", "silence", "reset")),
        ("one of two", ("silence", "error", "reset", "error")),
        ("supervisor", ("reset", "silence", "error", "silence")),
    ],
)
async def test_the_truth_is_inside(
    tmp_path: Path, stopped: str, kinds: Sequence[str]
) -> None:
    """Stopped across start, middle, end or all of it: one outage, the truth inside."""
    planned = dict(zip(STOPS, kinds, strict=True))
    cases, outages, summary = await rehearse(tmp_path, stopped, planned)
    assert {row["shard"] for row in outages} == {"0002"}
    least_ms = most_ms = 0.0
    for case in cases:
        bounds: list[tuple[float, float]] = []
        # What would fail by time only, and was still waiting, is not seen either.
        waiting_ms = 1000 * DEADLINE_S if case.kind == "silence" else 0.0
        for op in ("read", "write"):
            rows = case.rows(outages, op)
            told = f"{case}\n" + "\n".join(map(str, rows))
            if stopped == "probe" and case.place == "whole" and not rows:
                continue  # nobody looked
            # What waited in a silence is answered in any order.
            assert len(rows) == 1 or case.kind == "silence", told
            lower_ms, estimate_ms, upper_ms, unseen_ms = (
                sum(row[f"{name}_ms"] for row in rows)
                for name in ("lower", "duration", "upper", "unseen")
            )
            assert lower_ms <= case.most_ms, told
            assert case.length_ms <= upper_ms, told
            assert lower_ms <= estimate_ms <= upper_ms, told
            hidden_ms = unseen_ms + waiting_ms if stopped == "probe" else FEW_MS
            assert upper_ms - lower_ms <= hidden_ms + FEW_MS, told
            bounds.append((lower_ms, upper_ms))
        if bounds:
            least_ms += max(lower_ms for lower_ms, _ in bounds)
            # Reads and writes need not have missed the same edge.
            most_ms += max(upper_ms for _, upper_ms in bounds) + waiting_ms
    shard = summary["downtime_ms"]["shards"]["0002"]
    reported = [
        case
        for case in cases
        if case.rows(outages, "read") or case.rows(outages, "write")
    ]
    assert shard["lower"] <= sum(case.most_ms for case in reported), (shard, cases)
    assert sum(case.length_ms for case in reported) <= shard["upper"], (shard, cases)
    assert shard["lower"] >= least_ms - FEW_MS
    assert shard["upper"] <= most_ms + FEW_MS
