"""The ways to migrate, beside each other: what each costs, measured on local servers.

``python -m benchmarks.migrations [--dry] [--only TEXT]``: a single server, and a group
that its data goes to, by each way in turn, under load. Writes the table of
``docs/migration.md``. Needs ``redis-server`` and ``redis-cli``. RedisShake is not
run: a program stands in for it that follows the source as a replica does.
"""

import argparse
import asyncio
import io
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import uvloop
from rich.console import Console

from benchmarks.markers import between
from loadprobe.config.keys import Config, Control, Http, Lane, Output, Target
from loadprobe.control.scenario.file import Scenario, parse_scenario
from loadprobe.local.api.control_plane import ControlPlane
from loadprobe.local.api.plane import Knobs
from loadprobe.local.cluster.cluster import LocalCluster
from loadprobe.run.launch import RunOptions, run_load

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "migration.md"
BEGIN, END = "<!-- measured -->", "<!-- /measured -->"
_KNOBS = Knobs(modifying_delay_s=0.2, settle_delay_s=0.2)
_LANE = Lane(
    name="tcp",
    workers=20,
    rate_per_s=500.0,
    keys=10_000,
    read_ratio=0.5,
    value_bytes=200,
)
_DRAIN = {"operation": "drain"}
_CUTOVER = {"operation": "cutover"}
_AT_ONCE = {"operation": "cutover", "writers": "at_once"}
_HEAD = (
    "| way | writes | reads dark | writes paused | keys lost | stale reads | p99 of "
    "the source, before / at worst | in all |\n|---|---|---|---|---|---|---|---|\n"
)


@dataclass(frozen=True, slots=True)
class Way:
    """A way to migrate.

    Args:
        name: what it is called.
        writes: what becomes of writes meanwhile.
        steps: the scenario.
        copies: name of the step in which the source is copied.
        is_cluster: shape of the group; None: the scenario makes it.
    """

    name: str
    writes: str
    steps: tuple[Mapping[str, object], ...]
    copies: str
    is_cluster: bool | None = True


def ways(folder: Path, source: LocalCluster) -> Iterator[Way]:
    """Yield all of them."""
    file = str(folder / "dump.rdb")
    rdb = {"operation": "copy", "tool": "redis-cli", "method": "rdb", "file": file}
    seed = {
        "operation": "seed",
        "node_type": "cache.t4g.micro",
        "shards": 2,
        "replicas": 0,
        "snapshots": [file],
    }
    yield Way(
        "RDB file into a new group",
        "stopped before the file is written",
        (_DRAIN, rdb, seed, _CUTOVER),
        "copy",
        None,
    )
    start = {
        "operation": "migrate_start",
        "source_host": source.host,
        "source_port": source.port,
    }
    complete = {"operation": "migrate_complete"}
    name = "ElastiCache's online migration"
    writes = "stopped before it is completed"
    yield Way(name, writes, (start, _DRAIN, complete, _CUTOVER), "migrate_start", False)
    yield Way(name, "go on", (start, complete, _AT_ONCE), "migrate_start", False)
    once = {"operation": "copy", "tool": "redis-cli"}
    name = "redis-cli --cluster import"
    yield Way(name, "stopped before it begins", (_DRAIN, once, _CUTOVER), "copy")
    yield Way(name, "go on", (once, _AT_ONCE), "copy")
    script = ROOT / "tests" / "support" / "shake_stand_in.py"
    program = folder / "redis-shake"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {script} "$1"\n')
    program.chmod(0o755)
    follow = {"operation": "copy", "tool": "redis-shake", "program": str(program)}
    name = "a tool that follows (stands in for RedisShake)"
    yield Way(name, "stopped until it has caught up", (follow, _CUTOVER), "copy")
    yield Way(name, "go on", (follow, _AT_ONCE), "copy")


def scenario_of(way: Way) -> Scenario:
    """Return the scenario of a way."""
    lines = ['description = "a way to migrate"', "baseline_s = 4", "after_s = 2"]
    for step in way.steps:
        lines.append("[[steps]]")
        lines += [f"{key} = {orjson.dumps(v).decode()}" for key, v in step.items()]
        lines.append(f"hold_after_s = {int(step['operation'] == way.copies)}")
    lines += ["[expect]", 'max_lost_writes = "any"']
    return parse_scenario("\n".join(lines), where="way", name="way")


async def measure(number: int, only: str) -> tuple[Way, Mapping[str, Any]] | None:
    """Carry out a way on servers of its own; None if there is none of that number.

    One whose name does not hold a text is left out: its summary is empty.
    """
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        source = await stack.enter_async_context(
            LocalCluster(
                shards=1,
                replicas_per_shard=0,
                cluster_mode=False,
                tls=False,
                name="source",
            )
        )
        plane = await stack.enter_async_context(ControlPlane(knobs=_KNOBS))
        way = dict(enumerate(ways(folder, source))).get(number)
        if way is None:
            return None
        if only not in way.name:
            return way, {}
        if way.is_cluster is not None:
            shape = {"shards": 2, "replicas_per_shard": 0}
            if not way.is_cluster:
                shape = {"shards": 1, "replicas_per_shard": 2, "cluster_mode": False}
            group = LocalCluster(tls=False, name="rg", **shape)  # type: ignore[arg-type]
            plane.add_group("rg", await stack.enter_async_context(group))
        config = Config(
            target=Target(
                host=source.host,
                port=source.port,
                cluster=False,
                name_server=plane.name_server,
            ),
            lanes=(_LANE,),
            control=Control("rg", endpoint_url=plane.endpoint_url),
            http=Http(listen=""),
            output=Output(dir=str(folder / "runs")),
        )
        console = Console(file=io.StringIO(), width=120)
        await run_load(config, RunOptions(scenario=scenario_of(way)), console=console)
        (run,) = (folder / "runs").glob("[!.]*")
        return way, orjson.loads((run / "summary.json").read_bytes())


def row(way: Way, summary: Mapping[str, Any]) -> str:
    """Return the row of a way from the summary of its run."""
    scenario = summary["scenario"]
    if scenario["state"] != "completed":
        reason = " ".join(str(scenario["reason"]).split())
        return f"| {way.name} | {way.writes} | FAILED: {reason} |||||| |\n"
    steps = {step["name"]: step for step in scenario["steps"]}
    moved_ns = _at_ns(steps["cutover"], "lanes_moved")
    held = [s for s in scenario["steps"] if "writes_held" in _phases(s)]
    paused = "0 ms"
    if held:
        paused = f"{(moved_ns - _at_ns(held[0], 'begun')) / 1e6:,.0f} ms"
    (lane,) = summary["lanes"]
    dark = lane["downtime_ms"]["any_shard"]["estimate"]
    (there,) = steps["cutover"]["went_over"]
    begun_ns = min(step["start_unix_ns"] for step in scenario["steps"])
    (copied,) = steps[way.copies]["lanes"]
    p99 = copied["p99_ms"]
    latency = "-" if p99 is None else f"{p99['baseline']:.1f} / {p99['worst']:.1f} ms"
    cells = (
        way.name,
        way.writes,
        f"{dark:.0f} ms",
        paused,
        f"{there['lost']:,} of {there['checked'] + there['overwritten']:,}",
        f"{summary['stale_reads']:,}",
        latency,
        f"{(moved_ns - begun_ns) / 1e9:.1f} s",
    )
    return f"| {' | '.join(cells)} |\n"


def _phases(step: Mapping[str, Any]) -> dict[str, int]:
    return {each["phase"]: each["at_unix_ns"] for each in step["phases"]}


def _at_ns(step: Mapping[str, Any], phase: str) -> int:
    return _phases(step)[phase]


async def table(only: str) -> str:
    """Measure one way after the other; return the table."""
    rows: list[str] = []
    number = 0
    while (measured := await measure(number, only)) is not None:
        number += 1
        way, summary = measured
        if summary:
            rows.append(row(way, summary))
            sys.stdout.write(rows[-1])
            sys.stdout.flush()
    return _HEAD + "".join(rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dry", action="store_true", help="leave the page as it is")
    parser.add_argument("--only", default="", help="ways with this in their names")
    chosen = parser.parse_args(arguments)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        text = runner.run(table(chosen.only))
    if not chosen.dry and not chosen.only:
        PAGE.write_text(between(PAGE.read_text(), BEGIN, END, text))
    return 1 if "FAILED" in text else 0


if __name__ == "__main__":
    sys.exit(main())
