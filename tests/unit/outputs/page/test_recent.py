"""The last minutes of a run: nothing is told twice or lost, and little is kept."""

from loadprobe.core.events import MarkMade
from loadprobe.core.judging.cells import FilmChunk
from loadprobe.core.judging.columns import Block
from loadprobe.core.judging.outcome import Outcome
from loadprobe.outputs.page.recent import LATER_S, Recent, RecentPart
from tests.support.http_stage import CLOCK, MS, S, Stage, arrivals


class Course:
    """A run that passes second by second; one shard is dark when it is told to be."""

    def __init__(self, **more: int) -> None:
        self.recent = Recent(CLOCK, **more)
        self._stage = Stage.make()
        self._stage.begin()
        self._second = 0

    def go(self, seconds: int, *dark: tuple[int, int]) -> None:
        """Let seconds pass; dark times are in ms of the run."""
        for _ in range(seconds):
            begin, end = self._second * S, (self._second + 1) * S
            spans = [(since * MS, until * MS) for since, until in dark]
            blocks: dict[tuple[str, str], Block] = {
                ("tcp", "0001"): arrivals(begin, end, *spans)
            }
            self.recent.take_sealed(self._stage.add(blocks, end))
            self._second += 1


def cells(part: RecentPart) -> list[tuple[int, int]]:
    """Return the failed cells: (ms, arrivals)."""
    chunks = [frame for frame in part.frames if isinstance(frame, FilmChunk)]
    return [
        (cell.ms, cell.counts[Outcome.REFUSED])
        for chunk in chunks
        for cell in chunk.cells()
        if cell.counts[Outcome.REFUSED]
    ]


def test_parts_add_up_to_the_whole() -> None:
    """What is told bit by bit is what is told at once, in the same order."""
    course, other = Course(), Course()
    dark = (2500, 3200), (6100, 6110)
    course.go(1, *dark)
    parts = [course.recent.whole()]
    for second in range(11):
        course.recent.take_event(MarkMade(second * S, f"mark {second}", "x"))
        course.go(1, *dark)
        parts.append(course.recent.news())
    other.go(12, *dark)
    whole = other.recent.whole()
    assert [s for part in parts for s in part.seconds] == whole.seconds
    assert [s for part in parts for s in part.latencies] == whole.latencies
    assert [s for part in parts for s in part.settled] == whole.settled
    assert [c for part in parts for c in cells(part)] == cells(whole)
    assert len(cells(whole)) == 71
    assert [part.since_s for part in parts[1:]] == [part.until_s for part in parts[:-1]]
    assert sum(len(part.events) for part in parts) == 11


def test_what_is_old_is_let_go() -> None:
    """No second and no cell is kept for longer than was said."""
    course = Course(kept_s=5)
    course.go(3, (1000, 1500))
    course.go(20, (20_500, 20_600))
    part = course.recent.whole()
    assert (part.since_s, part.until_s) == (18, 23)
    assert [row.second for row in part.seconds] == [18, 19, 20, 21, 22]
    assert {ms // 1000 for ms, _ in cells(part)} == {20}
    assert not course.recent.is_short


def test_much_film_is_cut_short_and_said_to_be() -> None:
    """With more cells than are kept the oldest go; their seconds still tell of them."""
    course = Course(most_cells=450)
    course.go(12, (1000, 9000))
    part = course.recent.whole()
    assert course.recent.is_short
    assert 0 < len(cells(part)) <= 450
    assert [row.second for row in part.settled] == list(range(1, 12 - LATER_S))


def test_nothing_is_gathered_for_nobody() -> None:
    """When the last page has gone, what is new is no longer kept apart."""
    course = Course()
    course.go(1)
    course.recent.whole()
    course.recent.leave()
    course.go(3)
    assert course.recent.news().seconds == []


def test_a_run_that_has_not_begun() -> None:
    """Before a second was judged there is nothing to tell."""
    recent = Recent(CLOCK)
    assert not recent.has_begun
