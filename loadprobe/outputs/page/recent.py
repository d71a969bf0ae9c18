"""The last minutes of a run, kept in memory for pages that watch it.

Pure. Nothing is done per arrival, and what is kept is bounded: by time, and the cells
of the film by their number as well. Whoever asks gets all that is kept, and from then
on what has come since the last time.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from loadprobe.clock import NS_PER_MS, NS_PER_S, ClockPair
from loadprobe.core.events import Event
from loadprobe.core.judging.cells import FilmChunk, Frame
from loadprobe.core.judging.counts import SecondCounts
from loadprobe.core.judging.histogram import Histogram
from loadprobe.core.judging.results import Sealed
from loadprobe.core.topology.server_side import ServerRow
from loadprobe.outputs.folder.documents import event_line
from loadprobe.outputs.folder.reader import PastEvent
from loadprobe.outputs.page.course import heat_row, quantiles_of

KEPT_S = 15 * 60
MOST_CELLS = 300_000
"""In memory; some 10 MB."""

MOST_EVENTS = 2_000

MOST_SERVER_ROWS = 60_000
"""In memory; the last 15 minutes of 60 servers."""

LATER_S = 6
"""Cells are there at most so much later than the counts of their second."""


@dataclass(frozen=True, slots=True)
class LaneSecond:
    """Latencies of a lane in one second, all op kinds of the load together.

    Args:
        lane: its name.
        second: monotonic.
        response: quantiles by name, in ms.
        service: the same of service times.
        heat: number of response times per row of the heatmap.
    """

    lane: str
    second: int
    response: dict[str, float | None]
    service: dict[str, float | None]
    heat: list[int]


@dataclass(slots=True)
class Part:
    """What became known in a stretch of time.

    Args:
        since_s: monotonic second in which it begins.
        until_s: every second before is complete.
        frames: of the film.
        seconds: counts of [since_s, until_s).
        latencies: the same seconds of lanes.
        events: in the order noted.
        settled: counts of earlier seconds, whose cells are there by now if any are.
        filmed: frames that may be of these.
        servers: what servers told, of these seconds and, late, of some before.
    """

    since_s: int
    until_s: int
    frames: list[Frame] = field(default_factory=list)
    seconds: list[SecondCounts] = field(default_factory=list)
    latencies: list[LaneSecond] = field(default_factory=list)
    events: list[PastEvent] = field(default_factory=list)
    settled: list[SecondCounts] = field(default_factory=list)
    filmed: list[Frame] = field(default_factory=list)
    servers: list[ServerRow] = field(default_factory=list)


class Recent:
    """Keeps the last minutes (see the module).

    Args:
        clock: to show monotonic times as wall times.
        kept_s: how much is kept.
        most_cells: so many cells of the film at most.

    Attributes:
        until_s: every second before is complete; 0 before anything was judged.
        is_short: cells were let go that are not older than the rest.
    """

    def __init__(
        self, clock: ClockPair, *, kept_s: int = KEPT_S, most_cells: int = MOST_CELLS
    ) -> None:
        self._clock = clock
        self._kept_s = kept_s
        self._most_cells = most_cells
        self.until_s = 0
        self.is_short = False
        self._first_s: int | None = None
        self._cells = 0
        self._frames: deque[Frame] = deque()
        self._seconds: deque[SecondCounts] = deque()
        self._failing: deque[SecondCounts] = deque()
        self._latencies: deque[LaneSecond] = deque()
        self._events: deque[PastEvent] = deque(maxlen=MOST_EVENTS)
        self._servers = _ServerRows()
        self._new = Part(0, 0)
        self._is_watched = False

    def take_event(self, event: Event) -> None:
        """Take a line of the journal."""
        past = PastEvent(event_line(event, self._clock), event, {})
        self._events.append(past)
        if self._is_watched:
            self._new.events.append(past)

    def take_servers(self, rows: Sequence[ServerRow]) -> None:
        """Take what servers told."""
        self._servers.take(rows, has_readers=self._is_watched)

    def take_sealed(self, sealed: Sealed) -> None:
        """Take what became certain."""
        if self._first_s is None and sealed.seconds:
            self._first_s = min(row.second for row in sealed.seconds)
        self.until_s = max(self.until_s, sealed.until_ns // NS_PER_S)
        latencies = list(_lane_seconds(sealed))
        self._seconds += sealed.seconds
        self._failing += (row for row in sealed.seconds if row.dark_ms or row.grey_ms)
        self._latencies += latencies
        self._frames += sealed.film
        self._cells += sum(map(_size, sealed.film))
        if self._is_watched:
            self._new.seconds += sealed.seconds
            self._new.latencies += latencies
            self._new.frames += sealed.film
        self._forget()

    @property
    def has_begun(self) -> bool:
        """Tell whether a second was judged."""
        return self._first_s is not None and self.until_s > self._first_s

    def whole(self) -> Part:
        """Return all that is kept; a second was judged."""
        assert self._first_s is not None, "the run has begun"
        since_s = max(self._first_s, self.until_s - self._kept_s)
        part = Part(
            since_s,
            self.until_s,
            frames=list(self._frames),
            seconds=list(self._seconds),
            latencies=list(self._latencies),
            events=list(self._events),
            settled=self._settled(since_s - LATER_S),
            filmed=list(self._frames),
            servers=self._servers.whole(self.until_s),
        )
        self._is_watched = True
        self._begin_news()
        return part

    def news(self) -> Part:
        """Return what has come since the last time that anything was returned."""
        part = self._new
        part.until_s = self.until_s
        part.settled = self._settled(part.since_s - LATER_S)
        part.filmed = list(self._frames) if part.settled else []
        part.servers = self._servers.news(part.until_s)
        self._begin_news()
        return part

    def end(self) -> None:
        """Note that nothing comes any more: the second that was begun is the last."""
        latest = max((row.second for row in self._seconds), default=-1)
        self.until_s = max(self.until_s, latest + 1)

    def leave(self) -> None:
        """Note that nobody watches any more."""
        self._is_watched = False
        self._begin_news()

    def _begin_news(self) -> None:
        self._new = Part(self.until_s, self.until_s)

    def _settled(self, since_s: int) -> list[SecondCounts]:
        until_s = self.until_s - LATER_S
        return [row for row in self._failing if since_s <= row.second < until_s]

    def _forget(self) -> None:
        """Let go of what is older than is kept."""
        oldest_s = self.until_s - self._kept_s
        for rows in (self._seconds, self._failing, self._latencies):
            while rows and rows[0].second < oldest_s:
                rows.popleft()
        self._servers.forget(oldest_s)
        frames = self._frames
        while frames and (
            self._cells > self._most_cells or _end_s(frames[0]) < oldest_s
        ):
            self.is_short |= _end_s(frames[0]) >= oldest_s
            self._cells -= _size(frames.popleft())


class _ServerRows:
    """What servers told lately: before their second is judged, or after it."""

    def __init__(self) -> None:
        self._rows: deque[ServerRow] = deque(maxlen=MOST_SERVER_ROWS)
        self._untold: list[ServerRow] = []

    def take(self, rows: Sequence[ServerRow], *, has_readers: bool) -> None:
        """Keep rows; without readers nobody has to be told of them by themselves."""
        self._rows += rows
        self._untold = [*self._untold, *rows] if has_readers else []

    def whole(self, until_s: int) -> list[ServerRow]:
        """Return all rows of complete seconds; later ones are news."""
        self._untold = list(self._rows)
        return self.news(until_s)

    def news(self, until_s: int) -> list[ServerRow]:
        """Return rows of complete seconds that were not returned before."""
        untold = self._untold
        self._untold = [row for row in untold if row.second >= until_s]
        return [row for row in untold if row.second < until_s]

    def forget(self, oldest_s: int) -> None:
        """Let go of what is older."""
        while self._rows and self._rows[0].second < oldest_s:
            self._rows.popleft()


def _lane_seconds(sealed: Sealed) -> Iterable[LaneSecond]:
    """Return the latencies of each lane and second, of the load."""
    merged: dict[tuple[str, int], tuple[Histogram, Histogram]] = {}
    for row in sealed.histograms:
        if row.op.is_apart:
            continue
        key = row.lane, row.second
        if key not in merged:
            merged[key] = Histogram(), Histogram()
        response, service = merged[key]
        response.merge(row.response)
        service.merge(row.service)
    for (lane, second), (response, service) in sorted(
        merged.items(), key=lambda item: item[0][::-1]
    ):
        yield LaneSecond(
            lane,
            second,
            quantiles_of(response),
            quantiles_of(service),
            heat_row(response),
        )


def _size(frame: Frame) -> int:
    return len(frame.steps) if isinstance(frame, FilmChunk) else 1


def _end_s(frame: Frame) -> int:
    """Return the second in which a frame ends."""
    if isinstance(frame, FilmChunk):
        return (frame.first_ms + sum(frame.steps)) * NS_PER_MS // NS_PER_S
    return frame.end_ns // NS_PER_S
