"""All rows of the matrix, and what was reported of them."""

import asyncio
import os
import subprocess
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from benchmarks.chaos import meter, names, network, servers
from benchmarks.chaos.judging import Done, Told, Verdict, judge
from benchmarks.chaos.stage import Running, Stage, staged
from loadprobe.clock import NS_PER_MS, mono_now_ns
from loadprobe.core.intervals import Interval, union
from loadprobe.core.judging.outages import Outage
from loadprobe.outputs.folder.reader import RunData
from loadprobe.outputs.folder.sealed_reader import read_sealed
from loadprobe.run.aftermath import load_any_run

_Stage = TypeVar("_Stage")
_APART_S = 1.0
_SMALL_DISK = "64m"
_ENDED = (0, 1)
"""How a run ends: 1 if it had a problem, such as a full disk, and told of it."""
_HELD_UP_NS = 100 * NS_PER_MS

ROWS: tuple[Callable[[Stage], Awaitable[Done]], ...] = (
    servers.killed,
    servers.stopped,
    servers.all_stopped,
    network.refused,
    network.refused_by_tls,
    network.reset,
    network.half_open,
    network.slow,
    network.slower,
    network.garbage,
    servers.certificate_renewed,
    servers.certificate_of_others,
    servers.certificate_expired,
    servers.password_changed,
    servers.no_more_clients,
    meter.disk_full,
    meter.clock_forward,
    meter.clock_back,
    meter.probe_stopped,
    meter.probe_stopped_in_an_outage,
    meter.supervisor_stopped,
    meter.receiver_down,
)
NAME_ROWS: tuple[Callable[[names.NamedStage], Awaitable[Done]], ...] = (
    names.name_gone,
    names.name_gone_and_cut,
    names.name_moved,
)
ENDPOINT_ROWS = (names.endpoint_moved,)


class Matrix(msgspec.Struct):
    """What came of it.

    Args:
        rows: one for each thing that was done.
        problems: of the runs as a whole.
    """

    rows: list[Verdict]
    problems: list[str]

    @property
    def is_good(self) -> bool:
        """Tell whether everything was as it should be."""
        return not self.problems and not any(row.problems for row in self.rows)


Say = Callable[[str], None]


async def run_matrix(only: Callable[[str], bool], *, say: Say) -> Matrix:
    """Do one thing after the other, and compare.

    Args:
        only: tells by the name of its function whether a row is wanted.
        say: takes lines of progress.
    """
    found = Matrix([], [])
    with tempfile.TemporaryDirectory(prefix="loadprobe-chaos-") as name:
        folder = Path(name)
        if chosen := _chosen(ROWS, only):
            await _on_cluster(folder, chosen, found, say)
        for where in (folder / "names", folder / "endpoint"):
            where.mkdir()
        if by_name := _chosen(NAME_ROWS, only):
            await _on_names(folder / "names", names.announced, by_name, found, say)
        if by_name := _chosen(ENDPOINT_ROWS, only):
            await _on_names(where, names.unclustered, by_name, found, say)
    return found


def _chosen(
    rows: Sequence[Callable[[_Stage], Awaitable[Done]]], only: Callable[[str], bool]
) -> list[Callable[[_Stage], Awaitable[Done]]]:
    return [row for row in rows if only(row.__name__)]


async def _on_cluster(
    folder: Path,
    rows: Sequence[Callable[[Stage], Awaitable[Done]]],
    found: Matrix,
    say: Say,
) -> None:
    with _small_disk(folder / "runs") as runs:
        async with staged(folder, runs) as stage:
            done = [one async for one in _do(stage, rows, say)]
            await _end(stage.running, found)
            spans = [(span.start_ns, span.end_ns) for span in stage.stalls.spans]
        _compare(stage.running.run_folder, done, spans, found)


async def _on_names(
    folder: Path,
    start: Callable[[Path], AbstractAsyncContextManager[names.NamedStage]],
    rows: Sequence[Callable[[names.NamedStage], Awaitable[Done]]],
    found: Matrix,
    say: Say,
) -> None:
    async with start(folder) as stage:
        done = [one async for one in _do(stage, rows, say)]
        await _end(stage.running, found)
    _compare(stage.running.run_folder, done, [], found)


async def _do(
    stage: _Stage,
    rows: Sequence[Callable[[_Stage], Awaitable[Done]]],
    say: Say,
) -> AsyncIterator[Done]:
    """Do one thing after the other, with a pause before and after each."""
    await asyncio.sleep(_APART_S)
    for row in rows:
        begun_ns = mono_now_ns()
        done = await row(stage)
        say(f"{done.name}: {done.obstacle or 'done'}")
        await asyncio.sleep(_APART_S)
        done.window = begun_ns, mono_now_ns()
        yield done


async def _end(running: Running, found: Matrix) -> None:
    status = await running.end()
    if status not in _ENDED:
        found.problems.append(f"the command ended with {status}: {running.said}")


def _compare(
    folder: Path, done: Sequence[Done], stalls: Sequence[Interval], found: Matrix
) -> None:
    run = load_any_run(folder)
    replay = read_sealed(folder, set())
    assert replay is not None
    results = replay.results()
    told = [Told(o, _cause(run, o)) for o in results.outages]
    blind = {
        lane: union((span.start_ns, span.end_ns) for span in totals.blind)
        for lane, totals in results.lane_totals.items()
    }
    held_up = [span for span in stalls if span[1] - span[0] >= _HELD_UP_NS]
    found.rows += [judge(one, done, told, blind, held_up) for one in done]
    summary = run.summary
    for what, count in (
        ("lost writes", summary.lost_writes),
        ("stale reads", summary.stale_reads),
        ("wrong replies", summary.wrong),
    ):
        if count != 0:
            found.problems.append(f"{what}: {count}")
    found.problems += [f"torn: {name}" for name in run.torn]


def _cause(run: RunData, outage: Outage) -> str:
    start_unix_ns = run.info.start.clock.to_wall(outage.start_ns)
    lane, shard, op = outage.scope
    for row in run.outages:
        where = row.lane, row.shard, row.op, row.start_unix_ns
        if where == (lane, shard, op.label, start_unix_ns):
            return row.attribution
    return "not in outages.json"


@contextmanager
def _small_disk(path: Path) -> Iterator[Path]:
    """Mount a file system that can be filled; without root, a plain folder."""
    path.mkdir()
    words = ("mount", "-t", "tmpfs", "-o", f"size={_SMALL_DISK}", "tmpfs", str(path))
    is_root = os.geteuid() == 0
    is_mounted = is_root and subprocess.run(words, check=False).returncode == 0
    try:
        yield path
    finally:
        if is_mounted:
            subprocess.run(["umount", str(path)], check=True)
