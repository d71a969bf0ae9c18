"""One run of several that are laid over each other. Pure but for reading its seconds.

All are shown from the same moment on: the first API call of the scenario, or the
beginning of the load of a run without one. What is shown is what the witnesses saw,
as in the figure ``dark_ms``: new connections and client libraries beside them are left
out.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from loadprobe.clock import NS_PER_MS
from loadprobe.core.judging.cells import FilmChunk, Frame
from loadprobe.core.judging.outcome import OpKind
from loadprobe.core.phase_names import WORDS, Phase
from loadprobe.core.verdict.attribution import Cause
from loadprobe.core.verdict.summary import Summary
from loadprobe.errors import UsageError
from loadprobe.outputs.folder.reader import RunData
from loadprobe.outputs.page.document import grid_of
from loadprobe.outputs.page.film import film_document
from loadprobe.outputs.page.seconds import coarse_parts, load_course
from loadprobe.outputs.page.zero import Zero

TICKS = (
    Phase.API_CALL,
    Phase.FIRST_ERROR,
    Phase.FIRST_SERVED,
    Phase.SETTLED,
)
"""The phases of each step that are marked."""


def overlaid_run(run: RunData) -> dict[str, Any]:
    """Return what is shown of a run; times are ms from the common moment.

    Returns:
        ``zero_ms``: that moment, as the times in ``film`` are counted.
        ``from_ms``, ``until_ms``: from when to when the run was.
        ``last_ms``: until when something happened; null if nothing did.
        ``counts_from``: what the moment is.

    Raises:
        UsageError: the folder holds what is never written.
    """
    try:
        return _overlaid(run)
    except (TypeError, ValueError, OverflowError) as exc:
        raise UsageError(f"{run.path} cannot be shown on a page: {exc}") from exc


def _overlaid(run: RunData) -> dict[str, Any]:
    witnessed = _witnessed(run)
    grid = grid_of(witnessed, coarse_parts(run.path))
    course = load_course(run.path, grid, with_latencies=False)
    zero = Zero.of(run)
    start = _start(run.summary)
    zero_ms = zero.ms(start.unix_ns)
    ticks = list(_ticks(run.summary, start.unix_ns))
    return {
        "run": run.path.name,
        "counts_from": start.words,
        "zero_ms": zero_ms,
        "from_ms": -zero_ms,
        "until_ms": zero.length_ms - zero_ms,
        "last_ms": _last(witnessed, start.unix_ns, ticks),
        "ticks": ticks,
        "film": film_document(witnessed, course, zero, most_bytes=0),
        "missing": [*run.missing, *course.problems],
    }


def _witnessed(run: RunData) -> RunData:
    """Return a run with what its witnesses saw alone."""
    summary = run.summary
    witnesses = set(summary.witnesses or (lane.name for lane in summary.lanes))

    def is_seen(frame: Frame) -> bool:
        is_connect = isinstance(frame, FilmChunk) and frame.op == OpKind.CONNECT
        return frame.lane in witnesses and not is_connect

    scopes = [scope for scope in summary.scopes if scope.lane in witnesses]
    return replace(
        run,
        summary=msgspec.structs.replace(summary, scopes=scopes, connects=[]),
        outages=tuple(row for row in run.outages if row.lane in witnesses),
        film=tuple(frame for frame in run.film if is_seen(frame)),
    )


@dataclass(frozen=True, slots=True)
class _Start:
    """The moment from which a run is shown."""

    unix_ns: int
    words: str


def _start(summary: Summary) -> _Start:
    steps = summary.scenario.steps if summary.scenario is not None else ()
    for phase, words in (
        (Phase.API_CALL, "the first API call"),
        (Phase.BEGUN, "the first step"),
    ):
        found = [p.at_unix_ns for s in steps for p in s.phases if p.phase == phase]
        if found:
            return _Start(min(found), words)
    return _Start(summary.start_unix_ns, "the beginning of the load")


def _ticks(summary: Summary, start_unix_ns: int) -> Iterator[dict[str, Any]]:
    for step in summary.scenario.steps if summary.scenario is not None else ():
        for phase in step.phases:
            if phase.phase in TICKS:
                yield {
                    "at": (phase.at_unix_ns - start_unix_ns) / NS_PER_MS,
                    "phase": phase.phase,
                    "words": WORDS[phase.phase],
                    "step": step.name,
                }


def _last(
    run: RunData, start_unix_ns: int, ticks: list[dict[str, Any]]
) -> float | None:
    moments = [tick["at"] for tick in ticks]
    moments += [
        (row.end_unix_ns - start_unix_ns) / NS_PER_MS
        for row in run.outages
        if row.attribution != Cause.PROBE
    ]
    return max(moments, default=None)
