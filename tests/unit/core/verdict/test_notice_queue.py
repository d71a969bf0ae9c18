"""What waits for a receiver, without a clock or a socket."""

from itertools import pairwise

import pytest

from loadprobe.clock import NS_PER_S
from loadprobe.core.verdict import notice_queue
from loadprobe.core.verdict.notice_queue import Drop, Fate, NoticeQueue, fate_of
from tests.support.notices import a_notice


def queue_of(count: int, *, limit: int = 200) -> NoticeQueue:
    """Return a queue of notices 1, 2, ..."""
    queue = NoticeQueue(limit)
    queue.offer(a_notice(number) for number in range(1, count + 1))
    return queue


def numbers(queue: NoticeQueue) -> list[int]:
    """Return what waits."""
    return [notice.number for notice in queue.waiting]


def test_notices_are_sent_in_their_order() -> None:
    """One at a time, each until it is taken."""
    queue = queue_of(3)
    sent = []
    while (notice := queue.next(0)) is not None:
        sent.append(notice.number)
        assert queue.take_answer(Fate.TAKEN, jitter=0.5) == 0.0
    assert sent == [1, 2, 3]
    assert (queue.sent, queue.failed, queue.dropped.total()) == (3, 0, 0)


def test_a_receiver_that_is_away_is_asked_ever_more_rarely() -> None:
    """Pauses double up to five minutes, with jitter; a success begins anew."""
    queue = queue_of(2)
    pauses = []
    for _ in range(12):
        assert queue.next(0) is not None
        pauses.append(queue.take_answer(Fate.LATER, jitter=1.0))
    assert pauses[:4] == [1.0, 2.0, 4.0, 8.0]
    assert pauses[-1] == notice_queue.LONGEST_PAUSE_S
    assert all(a <= b for a, b in pairwise(pauses))
    queue.next(0)
    assert queue.take_answer(Fate.LATER, jitter=0.0) == 150.0
    queue.next(0)
    queue.take_answer(Fate.TAKEN, jitter=1.0)
    queue.next(0)
    assert queue.take_answer(Fate.LATER, jitter=1.0) == 1.0


def test_the_receiver_may_ask_for_a_longer_pause() -> None:
    """It is waited for, but not for ever."""
    queue = queue_of(1)
    queue.next(0)
    assert queue.take_answer(Fate.LATER, jitter=1.0, asked_s=42.0) == 42.0
    queue.next(0)
    longest = notice_queue.LONGEST_ASKED_PAUSE_S
    assert queue.take_answer(Fate.LATER, jitter=1.0, asked_s=1e9) == longest
    queue.next(0)
    assert queue.take_answer(Fate.LATER, jitter=1.0, asked_s=0.0) == 4.0


def test_what_is_rejected_holds_up_nobody() -> None:
    """It is dropped and counted, and the next one is sent."""
    queue = queue_of(2)
    queue.next(0)
    assert queue.take_answer(Fate.REJECTED, jitter=1.0) == 0.0
    assert numbers(queue) == [2]
    assert queue.dropped == {Drop.REJECTED: 1}
    assert queue.failed == 1


def test_the_oldest_make_room() -> None:
    """But not the one that is being sent; all are counted."""
    queue = queue_of(5, limit=3)
    assert numbers(queue) == [3, 4, 5]
    assert queue.next(0) is not None
    queue.offer([a_notice(6)])
    assert numbers(queue) == [3, 5, 6]
    queue.take_answer(Fate.TAKEN, jitter=1.0)
    assert numbers(queue) == [5, 6]
    assert queue.dropped == {Drop.QUEUE_FULL: 3}


def test_old_news_are_dropped() -> None:
    """After a day nobody is woken for it any more."""
    queue = queue_of(2)
    at_ns = a_notice(1).at_unix_ns
    later_ns = at_ns + (notice_queue.KEEP_S + 1) * NS_PER_S
    assert queue.next(later_ns) is None
    assert queue.dropped == {Drop.GAVE_UP: 2}
    queue.offer([a_notice(3)])
    assert queue.next(at_ns) is not None


@pytest.mark.parametrize(
    ("status", "fate"),
    [
        (200, Fate.TAKEN),
        (202, Fate.TAKEN),
        (204, Fate.TAKEN),
        (302, Fate.LATER),
        (400, Fate.REJECTED),
        (401, Fate.LATER),
        (404, Fate.LATER),
        (408, Fate.LATER),
        (413, Fate.REJECTED),
        (422, Fate.REJECTED),
        (429, Fate.LATER),
        (500, Fate.LATER),
        (503, Fate.LATER),
    ],
)
def test_what_a_status_says(status: int, fate: Fate) -> None:
    """What is about this notice alone is given up; what can be put right is not."""
    assert fate_of(status) is fate
