"""What a run folder says, also that of a run which did not write its verdict.

A run that came to its end is read. Of any other one, what was written down while it
lasted is judged now, by the same rules and the same code.
"""

from dataclasses import replace
from pathlib import Path

import msgspec

from loadprobe.core.events import RunProblem
from loadprobe.core.steps import ScenarioRecord, ScenarioState
from loadprobe.core.verdict.cut_short import cut_short
from loadprobe.core.verdict.measured import Changes
from loadprobe.errors import UsageError
from loadprobe.outputs.folder.documents import RunInfo, moment
from loadprobe.outputs.folder.locking import find_writer
from loadprobe.outputs.folder.missing import find_missing
from loadprobe.outputs.folder.reader import (
    Beside,
    RunData,
    has_verdict,
    load_beside,
    load_info,
    load_run,
)
from loadprobe.outputs.folder.sealed_lines import Written
from loadprobe.outputs.folder.sealed_reader import read_sealed
from loadprobe.outputs.folder.sealed_replay import SealedReplay
from loadprobe.run.causes import judge
from loadprobe.run.health import Health
from loadprobe.run.load_control import planned_until

_STILL_RUNNING = "the scenario was not over yet"
_GONE = "the run's process was gone before the scenario ended"


def load_any_run(path: Path, *, is_partial: bool = False) -> RunData:
    """Read a run folder, and judge the run if that was not done.

    Args:
        path: the folder.
        is_partial: leave damaged files out of what stands beside the verdict, and say
            so; a verdict that is damaged itself is judged anew.

    Raises:
        UsageError: it is no run folder, nothing of the run was judged, it was written
            in another format, or one of its files is damaged.
    """
    info = load_info(path)
    # Asked first: a run may come to its end while we read.
    writer = find_writer(path)
    torn: set[str] = set()
    left_out: set[str] = set()
    damage: UsageError | None = None
    if has_verdict(path):
        try:
            return load_run(path, is_partial=is_partial)
        except UsageError as exc:
            if not is_partial:
                raise
            damage = exc
            left_out.add(f"the verdict was judged anew: {exc}")
    replay = read_sealed(path, torn, left_out)
    if replay is None and damage is not None:
        raise damage
    if replay is None:
        raise UsageError(f"{str(path)!r}: {_nothing_judged(writer)}")
    beside = load_beside(
        path, torn, is_whole=False, left_out=left_out, is_partial=is_partial
    )
    # While it is being written, a last line that is not whole yet is not torn.
    torn = torn if writer is None else set()
    run = _judge(path, info, replay, beside, torn, is_running=writer is not None)
    return replace(run, missing=(*find_missing(path), *sorted(left_out)))


def _nothing_judged(writer: int | None) -> str:
    if writer is not None:
        return (
            f"the run is still running (process {writer}), and nothing is judged yet: "
            "look again in a second"
        )
    return "the run ended before anything of it was judged: there is nothing to report"


def _judge(
    path: Path,
    info: RunInfo,
    replay: SealedReplay,
    beside: Beside,
    torn: set[str],
    *,
    is_running: bool,
) -> RunData:
    clock = info.start.clock
    unfinished = list(replay.unfinished.values())
    results = replay.results()
    health = Health.restored(replay.figures, p99=replay.p99, activity=replay.activity)
    for past in beside.events:
        health.take_event(past.event)
    problems = tuple(
        past.event.text for past in beside.events if isinstance(past.event, RunProblem)
    )
    verdict = judge(
        results,
        rules=replay.beginning.rules,
        clock=clock,
        health=health,
        lost_writes=_lost(replay.written),
        changes=Changes(
            _record(info, replay, is_running=is_running),
            planned_until(replay.planned, results.end_ns),
        ),
        problems=len(problems),
    )
    summary = verdict.summary
    if replay.end_ns is None:
        summary = cut_short(
            summary,
            until_ns=replay.until_ns,
            unfinished=unfinished,
            clock=clock,
            is_running=is_running,
        )
    return RunData(
        path=path,
        info=msgspec.structs.replace(
            info, end=moment(clock, results.end_ns), problems=problems
        ),
        summary=summary,
        outages=tuple(verdict.outages.outages),
        events=beside.events,
        film=beside.film,
        torn=tuple(sorted(torn)),
    )


def _lost(written: Written | None) -> int | None:
    """Return the writes that are lost; of those not all read back, if there are any."""
    if written is None or not (written.is_complete or written.lost):
        return None
    return written.lost


def _record(
    info: RunInfo, replay: SealedReplay, *, is_running: bool
) -> ScenarioRecord | None:
    """Return how the scenario went; one that was not over was stopped."""
    record = replay.scenario
    if record is None:
        if info.scenario is None:
            return None
        record = ScenarioRecord(info.scenario, ScenarioState.STOPPED)
    if record.state is ScenarioState.STOPPED and not record.reason:
        return replace(record, reason=_STILL_RUNNING if is_running else _GONE)
    return record
