"""Finds the run that a process is to go on with, and what is known of it.

It is the newest that could take over the configuration in a reload, and that no process
writes, whether it was killed or ended in order. What cannot be read of it is set aside
and said; it never keeps a process from measuring.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from loadprobe.clock import (
    NS_PER_MS,
    NS_PER_S,
    ClockPair,
    read_boot_id,
    read_clock_pair,
)
from loadprobe.config.changes import changes
from loadprobe.config.keys import Config, to_plain
from loadprobe.core.events import RunContinued
from loadprobe.core.judging.before import Before
from loadprobe.errors import UsageError
from loadprobe.outputs.folder.documents import SEALED, RunInfo, digest
from loadprobe.outputs.folder.forms import SegmentFiles
from loadprobe.outputs.folder.ledger_file import Ledger, read_ledger
from loadprobe.outputs.folder.locking import FolderLock
from loadprobe.outputs.folder.private import FOLDER_MODE
from loadprobe.outputs.folder.reader import (
    PastEvent,
    load_events,
    load_info,
    load_segments,
    read_info,
)
from loadprobe.outputs.folder.resumption import Resumption, resumption_of
from loadprobe.outputs.folder.sealed_reader import read_lines_of
from loadprobe.outputs.folder.sealed_replay import SealedReplay
from loadprobe.outputs.folder.seconds_reader import add_latencies, add_recent
from loadprobe.outputs.folder.segments import (
    Segment,
    SegmentInfo,
    segment_path,
)
from loadprobe.run.health import Health

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Past:
    """A run that goes on.

    Args:
        path: its folder.
        lock: on the folder.
        clock: of now.
        info: what was run.
        segments: those there are; a new one begins.
        known: number of the one that says what was judged.
        replay: what was judged, in the clock of then.
        resumption: the same to go on with, in that of now.
        shift_ns: from the one to the other.
        is_other_boot: the machine was started anew in between.
        wall_step_ms: by how much the wall clock was set forward; None if nobody knows.
        remembered: what had been written and acknowledged, as far as it is known.
        events: what happened beside the load, in the clock of now.
        problems: what could not be read, as sentences.
        is_by_reload: it is this process that has left it, for another configuration.
    """

    path: Path
    lock: FolderLock
    clock: ClockPair
    info: RunInfo
    segments: Sequence[Segment]
    known: int
    replay: SealedReplay
    resumption: Resumption
    shift_ns: int
    is_other_boot: bool
    wall_step_ms: float | None
    remembered: Ledger = field(default_factory=dict)
    events: Sequence[PastEvent] = ()
    problems: Sequence[str] = field(default_factory=list)
    is_by_reload: bool = False

    @property
    def before(self) -> Before:
        """Return what was judged, in the clock of now."""
        return self.resumption.before

    @property
    def begun_ns(self) -> int:
        """Return when the run began, in the clock of now."""
        begins = (lane.begin_ns for lane in self.before.lane_totals.values())
        return min((b for b in begins if b is not None), default=self.before.until_ns)

    @property
    def was_killed(self) -> bool:
        """Tell whether it did not end in order."""
        return self.replay.end_ns is None

    @property
    def ended_ns(self) -> int:
        """Return when a process of the run last ended in order; 0 if none did."""
        if not self.was_killed:
            return self.before.until_ns
        continued = [p.event for p in self.events if isinstance(p.event, RunContinued)]
        ends = (
            event.mono_ns - round(event.blind_ms * NS_PER_MS)
            for event in continued
            if not event.was_killed
        )
        return max(ends, default=0)


def find_past(config: Config) -> Past | None:
    """Return the run to go on with, None if there is none.

    Args:
        config: what is to be run.
    """
    clock = read_clock_pair()
    for path in _newest_first(Path(config.output.dir), config.name):
        try:
            info = load_info(path)
            if _could_be(info, config):
                past = _past(path, info, clock)
                if past is not None:
                    return past
        except (UsageError, OSError) as exc:
            fields = {"lp_path": str(path), "lp_reason": str(exc)}
            logger.warning("cannot_go_on", extra=fields)
    return None


def past_at(path: Path) -> Past | None:
    """Return the run of a folder that this process has left, to go on with it at once.

    None if nothing of it can be read any more.
    """
    try:
        past = _past(path, load_info(path), read_clock_pair())
    except (UsageError, OSError) as exc:
        fields = {"lp_path": str(path), "lp_reason": str(exc)}
        logger.error("cannot_go_on", extra=fields)  # noqa: TRY400
        return None
    return None if past is None else replace(past, is_by_reload=True)


def add_activity_before(past: Past, health: Health, end_ns: int) -> None:
    """Add what lanes did second by second in the last hours, before this process.

    It takes seconds to read, so it is left for the end.

    Args:
        past: the run that went on.
        health: of this process.
        end_ns: end of the load.
    """
    if past.is_other_boot:
        return
    begun_ns = past.before.until_ns
    rows = add_recent(
        health.activity,
        past.segments,
        begun_ns=begun_ns,
        until_ns=end_ns,
        torn=set(),
        left_out=set(),
    )
    health.p99.put_before(rows)


def _newest_first(directory: Path, name: str) -> Iterator[Path]:
    with suppress(OSError):
        found = [path for path in directory.iterdir() if f"-{name}" in path.name]
        yield from sorted((path for path in found if path.is_dir()), reverse=True)


def _could_be(info: RunInfo, config: Config) -> bool:
    """Tell whether a run could go on by a configuration: see ``config.changes``."""
    if info.name != config.name or info.scenario is not None:
        return False
    if info.config_digest == digest(to_plain(config)):
        return True
    try:
        known = msgspec.convert(info.config, Config)
    except msgspec.ValidationError:
        return False  # of another version
    return not changes(known, config).fixed


def _past(path: Path, info: RunInfo, clock: ClockPair) -> Past | None:
    """Return what is known of a run; None if another process writes it, or nothing."""
    lock = FolderLock(path)
    if not lock.is_held:
        lock.release()
        return None
    try:
        past = _read(path, lock, info, clock)
    except BaseException:
        lock.release()
        raise
    if past is None:
        lock.release()
    return past


def _read(path: Path, lock: FolderLock, info: RunInfo, clock: ClockPair) -> Past | None:
    all_segments = load_segments(path)
    while len(all_segments) > 1 and _is_empty(all_segments[-1].path):
        all_segments.pop()  # of a process that came to nothing: it is used now
    problems: list[str] = []
    replay, segments = _latest(all_segments, problems)
    if replay is None:
        return None
    last = segments[-1]
    # Without room for it another run begins.
    number = all_segments[-1].number + 1
    segment_path(path, number).mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    with suppress(UsageError):  # latencies of the last minutes, no more
        add_latencies(replay, last.path, set())
    said = read_info(last.path)
    is_other_boot = said is not None and (
        said.boot_id != read_boot_id() or replay.until_ns > clock.mono_ns
    )
    shift_ns, step_ms = _shift(said, clock, is_other_boot=is_other_boot)
    ahead_ns = replay.until_ns + shift_ns - clock.mono_ns
    if ahead_ns > 0 and is_other_boot:
        # Nothing would be judged until then. Whole milliseconds: cells stay.
        shift_ns -= -(-ahead_ns // NS_PER_MS) * NS_PER_MS
        problems.append(
            "when the machine was started anew its wall clock was "
            f"{ahead_ns / NS_PER_S:.3f} s behind what was judged last: how long nobody "
            "looked is not known, and times before are told as if it had been no time"
        )
    resumption = resumption_of(replay)
    if shift_ns:
        resumption = resumption.shifted(shift_ns)
    return Past(
        path=path,
        lock=lock,
        clock=clock,
        info=info,
        segments=all_segments,
        known=last.number,
        replay=replay,
        resumption=resumption,
        shift_ns=shift_ns,
        is_other_boot=is_other_boot,
        wall_step_ms=step_ms,
        remembered=read_ledger(path),
        events=_events(path, shift_ns, problems),
        problems=problems,
    )


def _is_empty(path: Path) -> bool:
    with suppress(OSError):
        return not any(path.iterdir())
    return False


def _latest(
    segments: Sequence[Segment], problems: list[str]
) -> tuple[SealedReplay | None, Sequence[Segment]]:
    """Return what the last segment says that can be read; others are set aside."""
    left = list(segments)
    while left:
        try:
            replay = read_lines_of(left[-1], set())
        except UsageError as exc:
            SegmentFiles(left[-1].path).set_aside(SEALED, str(exc))
            problems.append(
                f"segment {left[-1].number} is damaged and was set aside: what was "
                f"judged in it is lost, the run goes on from the one before ({exc})"
            )
            replay = None
        if replay is not None:
            return replay, left
        left.pop()
    return None, left


def _shift(
    said: SegmentInfo | None, clock: ClockPair, *, is_other_boot: bool
) -> tuple[int, float | None]:
    """Return what leads from the clock of then to that of now, and a step between."""
    if said is None:
        return 0, None
    then = said.clock.clock
    if not is_other_boot:
        step_ns = clock.to_wall(then.mono_ns) - then.wall_ns
        return 0, round(step_ns / NS_PER_MS, 3)
    shift_ns = clock.to_mono(then.wall_ns) - then.mono_ns
    return round(shift_ns / NS_PER_MS) * NS_PER_MS, None


def _events(path: Path, shift_ns: int, problems: list[str]) -> Sequence[PastEvent]:
    try:
        events = load_events(path, set(), set(), is_whole=False)
    except UsageError as exc:
        problems.append(f"what happened before is not told again: {exc}")
        return ()
    return [past.shifted(shift_ns) for past in events] if shift_ns else events
