"""What waits for a receiver, without a clock or a socket."""

from itertools import pairwise

import pytest

from loadprobe.clock import NS_PER_S
from loadprobe.core.verdict import notice_queue
from loadprobe.core.verdict.notice_queue import Drop, Fate, NoticeQueue, fate_of
from tests.support.notices import a_notice

HOUR_NS = 3600 * NS_PER_S


def queue_of(count: int, *, limit: int = 200) -> NoticeQueue:
    """Return a queue of notices 1, 2, ..."""
    queue = NoticeQueue(limit)
    queue.offer(a_notice(number) for number in range(1, count + 1))
    return queue


def numbers(queue: NoticeQueue) -> list[int]:
    """Return what waits."""
    return [notice.number for notice in queue.waiting]


def after(queue: NoticeQueue, fate: Fate, now_ns: int = 0, **more: float) -> float:
    """Send the next notice; return the pause in s that is made then."""
    assert queue.next(now_ns, unix_ns=0) is not None
    queue.take_answer(fate, now_ns, **({"jitter": 1.0} | more))
    pause_s = queue.pause_s(now_ns)
    return -1.0 if pause_s is None else pause_s


def pauses_of(queue: NoticeQueue, count: int, now_ns: int = 0) -> list[float]:
    """Return the pauses between so many requests that all fail."""
    pauses: list[float] = []
    for _ in range(count):
        pauses.append(after(queue, Fate.LATER, now_ns))
        now_ns += round(pauses[-1] * NS_PER_S)
    return pauses


def test_notices_are_sent_in_their_order() -> None:
    """One at a time, each until it is taken."""
    queue = queue_of(3)
    sent = []
    while (notice := queue.next(0, unix_ns=0)) is not None:
        sent.append(notice.number)
        queue.take_answer(Fate.TAKEN, 0, jitter=0.5)
    assert sent == [1, 2, 3]
    assert queue.pause_s(0) is None
    assert (queue.sent, queue.failed, queue.dropped.total()) == (3, 0, 0)


def test_a_receiver_that_is_away_is_asked_ever_more_rarely() -> None:
    """Pauses double up to five minutes, with jitter; a success begins anew."""
    queue = queue_of(2)
    pauses = pauses_of(queue, 12)
    assert pauses[:4] == [1.0, 2.0, 4.0, 8.0]
    assert pauses[-1] == notice_queue.LONGEST_PAUSE_S
    assert all(a <= b for a, b in pairwise(pauses))
    now_ns = round(sum(pauses) * NS_PER_S)
    assert queue.next(now_ns - 1, unix_ns=0) is None
    assert after(queue, Fate.LATER, now_ns, jitter=0.0) == 150.0
    now_ns += 150 * NS_PER_S
    assert queue.is_held_up
    assert after(queue, Fate.TAKEN, now_ns) == 0.0
    assert not queue.is_held_up
    assert after(queue, Fate.LATER, now_ns) == 1.0


def test_a_notice_that_is_never_taken_holds_up_only_its_incident() -> None:
    """Others pass it at once, and later ones of its own incident do not."""
    queue = queue_of(2)
    pauses_of(queue, 12)
    now_ns = HOUR_NS
    assert after(queue, Fate.LATER, now_ns) == notice_queue.LONGEST_PAUSE_S
    for number in (1, 2):
        queue.offer([a_notice(number, incident="another")])
        sent = queue.next(now_ns, unix_ns=0)
        assert sent is not None
        assert (sent.incident, sent.number) == ("another", number)
        queue.take_answer(Fate.TAKEN, now_ns, jitter=1.0)
    assert numbers(queue) == [1, 2]
    assert queue.is_held_up
    assert queue.pause_s(now_ns) == notice_queue.LONGEST_PAUSE_S


def test_many_incidents_do_not_ask_a_receiver_that_is_away_more_often() -> None:
    """All of them fail, so all wait; each has its turn."""
    queue = NoticeQueue(200)
    queue.offer(a_notice(incident=f"night-{n}") for n in range(20))
    now_ns, tried = 0, []
    while now_ns < HOUR_NS:
        notice = queue.next(now_ns, unix_ns=0)
        assert notice is not None
        tried.append(notice.incident)
        queue.take_answer(Fate.LATER, now_ns, jitter=1.0)
        now_ns += round((queue.pause_s(now_ns) or 0.0) * NS_PER_S)
    assert len(tried) < 30
    assert len(set(tried)) == 20


def test_the_receiver_may_ask_for_a_longer_pause() -> None:
    """It is waited for, by all, but not for ever."""
    queue = queue_of(1)
    queue.offer([a_notice(incident="another")])
    assert after(queue, Fate.LATER, asked_s=42.0) == 42.0
    assert queue.next(41 * NS_PER_S, unix_ns=0) is None
    longest = notice_queue.LONGEST_ASKED_PAUSE_S
    assert after(queue, Fate.LATER, 42 * NS_PER_S, asked_s=1e9) == longest


def test_the_end_of_a_run_waits_for_no_pause() -> None:
    """What rests is tried once more at once."""
    queue = queue_of(1)
    after(queue, Fate.LATER, asked_s=42.0)
    queue.hurry()
    assert queue.next(0, unix_ns=0) is not None


def test_what_is_rejected_holds_up_nobody() -> None:
    """It is dropped and counted, and the next one is sent."""
    queue = queue_of(2)
    assert after(queue, Fate.REJECTED) == 0.0
    assert numbers(queue) == [2]
    assert queue.dropped == {Drop.REJECTED: 1}
    assert queue.failed == 1


def test_the_oldest_make_room() -> None:
    """But not the one that is being sent; all are counted."""
    queue = queue_of(5, limit=3)
    assert numbers(queue) == [3, 4, 5]
    assert queue.next(0, unix_ns=0) is not None
    queue.offer([a_notice(6)])
    assert numbers(queue) == [3, 5, 6]
    queue.take_answer(Fate.TAKEN, 0, jitter=1.0)
    assert numbers(queue) == [5, 6]
    assert queue.dropped == {Drop.QUEUE_FULL: 3}


def test_old_news_are_dropped() -> None:
    """After a day nobody is woken for it any more."""
    queue = queue_of(2)
    at_ns = a_notice(1).at_unix_ns
    later_ns = at_ns + (notice_queue.KEEP_S + 1) * NS_PER_S
    assert queue.next(0, unix_ns=later_ns) is None
    assert queue.dropped == {Drop.GAVE_UP: 2}
    queue.offer([a_notice(3)])
    assert queue.next(0, unix_ns=at_ns) is not None


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


def test_a_wall_clock_that_is_set_makes_nothing_old() -> None:
    """What came in a moment ago is news, however far the clock of the run is behind."""
    queue = NoticeQueue(200)
    queue.offer([a_notice(1)], now_ns=5 * HOUR_NS)
    unix_ns = a_notice(1).at_unix_ns + 30 * 24 * HOUR_NS
    assert queue.next(6 * HOUR_NS, unix_ns=unix_ns) is not None
    queue.take_answer(Fate.LATER, 6 * HOUR_NS, jitter=0.0)
    assert queue.next(29 * HOUR_NS, unix_ns=0) is not None
    queue.take_answer(Fate.LATER, 29 * HOUR_NS, jitter=0.0)
    assert queue.next(30 * HOUR_NS, unix_ns=0) is None
    assert queue.dropped == {Drop.GAVE_UP: 1}
