"""How a copy goes, by a clock that is given."""

from loadprobe.clock import NS_PER_S
from loadprobe.control.programs.course import CopyCourse, CopyStatus, together

COPYING = CopyStatus("syncing rdb", is_begun=True, done_bytes=5, all_bytes=10, moved=5)
FOLLOWING = CopyStatus(
    "syncing aof", is_begun=True, is_copied=True, lag_bytes=100, moved=20
)
IN_STEP = CopyStatus(
    "syncing aof", is_begun=True, is_copied=True, is_in_step=True, lag_bytes=0, moved=30
)


def course() -> CopyCourse:
    """Return a course that is impatient."""
    return CopyCourse(stall_s=10.0, most_lag_bytes=1_000)


def lagging(lag: int, moved: int) -> CopyStatus:
    """Return a copy that is behind."""
    return CopyStatus("x", is_begun=True, is_copied=True, lag_bytes=lag, moved=moved)


def test_the_phases_come_in_their_order() -> None:
    """It begins, is done, and has caught up once two looks in a row found it so."""
    it = course()
    seen = []
    for at, status in enumerate((CopyStatus("starting"), COPYING, FOLLOWING, IN_STEP)):
        assert it.take(status, at) == []
        seen.append((it.has_begun, it.is_copied, it.has_caught_up))
    it.take(FOLLOWING, 4)
    it.take(IN_STEP, 5)
    assert not it.has_caught_up
    it.take(IN_STEP, 6)
    assert it.has_caught_up
    assert seen == [
        (False, False, False),
        (True, False, False),
        (True, True, False),
        (True, True, False),
    ]


def test_in_step_since_a_time() -> None:
    """What was found before writes were held does not count."""
    it = course()
    it.take(IN_STEP, 1)
    it.take(IN_STEP, 2)
    assert it.is_in_step_since(1)
    it.look_anew()
    assert not it.is_in_step_since(1)
    it.take(IN_STEP, 11)
    assert not it.is_in_step_since(10)
    it.take(IN_STEP, 12)
    assert it.is_in_step_since(10)
    assert not it.is_in_step_since(12)


def test_a_stall_is_told_once() -> None:
    """And again only after something has moved."""
    it = course()
    told = [it.take(COPYING, at * NS_PER_S) for at in (0, 9, 10, 20)]
    assert told == [[], [], ["the copy has not moved for 10 s (syncing rdb)"], []]
    assert it.take(FOLLOWING, 21 * NS_PER_S) == []
    assert len(it.take(FOLLOWING, 31 * NS_PER_S)) == 1


def test_nothing_stalls_that_has_nothing_to_do() -> None:
    """A source that nobody writes to moves nothing."""
    it = course()
    assert [it.take(IN_STEP, at * NS_PER_S) for at in (0, 100, 1000)] == [[], [], []]


def test_falling_behind_is_told_once() -> None:
    """And again only after the half was made up for."""
    it = course()
    lags = (900, 1_001, 5_000, 600, 1_500, 400, 1_001)
    told = [len(it.take(lagging(lag, at), at)) for at, lag in enumerate(lags)]
    assert told == [0, 1, 0, 0, 0, 0, 1]


def test_several_processes_are_one_copy() -> None:
    """It is as far as the one that is behind; bytes add up if all tell them."""
    both = together([FOLLOWING, COPYING])
    assert both == CopyStatus("syncing rdb", is_begun=True, moved=25)
    twice = together([FOLLOWING, FOLLOWING])
    assert twice.is_copied
    assert twice.lag_bytes == 200
