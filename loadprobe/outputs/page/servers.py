"""What a page shows of servers, beside what clients saw: in the same steps of time.

What servers told is read from ``servers.ndjson`` of all segments. What cannot be read
is named, and the page goes without it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loadprobe.clock import NS_PER_S
from loadprobe.core.topology.server_side import PRIMARY, ServerRow, added
from loadprobe.errors import UsageError
from loadprobe.outputs.folder.documents import SERVERS
from loadprobe.outputs.folder.files import is_begun, read_lines
from loadprobe.outputs.folder.forms import find_form, step_of
from loadprobe.outputs.folder.reader import load_segments
from loadprobe.outputs.folder.segments import Segment
from loadprobe.outputs.page.seconds import Grid

MOST_SERVERS = 30
"""On a page; with more it would be too long, and its charts could not be read."""

_BYTES_PER_MB = 1_000_000


@dataclass(slots=True)
class ServerCourse:
    """What servers told by step.

    Args:
        grid: the steps.
        servers: of each address, step -> what was told in it.
        problems: what could not be read, as sentences.
    """

    grid: Grid
    servers: dict[str, dict[int, ServerRow]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def add(self, row: ServerRow, second: int, length_s: int = 1) -> None:
        """Add what a server told of some seconds."""
        step = self.grid.step(second, length_s)
        if step is None:
            return
        known = self.servers.setdefault(row.node, {})
        # The later one says what the server is at the end of the step.
        known[step] = added(row, known[step]) if step in known else row


def load_servers(path: Path, grid: Grid) -> ServerCourse:
    """Read what servers told in a run folder; see the module."""
    course = ServerCourse(grid)
    try:
        segments = load_segments(path)
    except UsageError:
        return course  # which is told where the seconds are read
    for segment in segments:
        try:
            _read(course, segment)
        except UsageError as exc:
            course.problems.append(str(exc))
    return course


def _read(course: ServerCourse, segment: Segment) -> None:
    file, shift_s = segment.path / SERVERS, segment.shift_ns // NS_PER_S
    if not is_begun(file, set()):
        return  # they were not asked, or none told anything
    length_s = step_of(find_form(segment.path, SERVERS) or file)
    try:
        for row in read_lines(file, ServerRow):
            course.add(row, row.second + shift_s, length_s)
    except (ValueError, TypeError, OverflowError) as exc:
        raise UsageError(f"{file} does not belong to this run: {exc!r}") from exc


def servers_document(course: ServerCourse) -> dict[str, Any]:
    """Return what servers told as columns, null where a server did not tell.

    Returns:
        ``nodes``: of each its ``node`` (address), ``shard`` and a column per figure;
        ``left_out``: how many more there are.
    """
    places = sorted(
        course.servers, key=lambda node: (_latest(course, node).shard, node)
    )
    steps = range(len(course.grid))
    return {
        "nodes": [
            {
                "node": node,
                "shard": _latest(course, node).shard,
                **_columns(course.servers[node].get(step) for step in steps),
            }
            for node in places[:MOST_SERVERS]
        ],
        "left_out": max(0, len(places) - MOST_SERVERS),
    }


def _latest(course: ServerCourse, node: str) -> ServerRow:
    told = course.servers[node]
    return told[max(told)]


def _columns(rows: Iterable[ServerRow | None]) -> dict[str, list[Any]]:
    told = [{} if row is None else figures(row) for row in rows]
    return {name: [each.get(name) for each in told] for name in FIGURES}


FIGURES = (
    "is_primary",
    "ops_per_s",
    "cpu_percent",
    "clients",
    "memory_mb",
    "lag_kb",
    "unlinked_ms",
)


def figures(row: ServerRow) -> dict[str, Any]:
    """Return what a server told as a page shows it; see ``FIGURES``."""
    span_ms = row.span_ms
    return {
        "is_primary": int(row.role == PRIMARY),
        "ops_per_s": round(row.ops * 1000 / span_ms) if span_ms else None,
        "cpu_percent": round(row.cpu_ms * 100 / span_ms, 1) if span_ms else None,
        "clients": row.clients,
        "memory_mb": round(row.memory_bytes / _BYTES_PER_MB, 2),
        "lag_kb": None if row.lag_bytes is None else round(row.lag_bytes / 1000, 1),
        "unlinked_ms": row.unlinked_ms,
    }
