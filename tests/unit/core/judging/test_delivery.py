"""What is sent to a receiver, what is sent again, and what is dropped."""

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadprobe.core.judging.delivery import (
    LONGEST_ASKED_PAUSE_S,
    LONGEST_PAUSE_S,
    QUEUE_BYTES,
    RETRY_S,
    SPAN_MS,
    Answer,
    Delivery,
    DropReason,
    Part,
    answer_of,
)
from loadprobe.core.judging.ms_samples import MsKind, MsSamples, MsSeries

S = 1_000_000_000
Points = set[tuple[str, int]]


def series_of(shard: str) -> MsSeries:
    """Return the series of a shard."""
    return MsSeries(MsKind.ERRORS, ("tcp", shard, "read", "refused"))


def batch_of(shard: str, *points: int) -> MsSamples:
    """Return samples at some milliseconds."""
    batch = MsSamples(series_of(shard))
    for ms in points:
        batch.add(ms, 1)
    return batch


def points_of(batches: Sequence[MsSamples]) -> list[tuple[str, int]]:
    """Return (shard, ms) of samples, as they stand."""
    return [(batch.series.labels[1], ms) for batch in batches for ms in batch.ms]


class Receiver:
    """Answers as the test says; remembers what it took and how it was sent."""

    def __init__(self, delivery: Delivery, answer: Callable[[Part], Answer]) -> None:
        self._delivery = delivery
        self._answer = answer
        self.now_ns = 0
        self.taken: list[tuple[str, int]] = []
        self.requests = 0
        self.pauses: list[float] = []

    def drain(self, *, most: int = 1000) -> None:
        """Send until nothing waits."""
        delivery = self._delivery
        while (part := delivery.next(self.now_ns)) is not None and most:
            most -= 1
            self.requests += 1
            answer = self._answer(part)
            if answer is Answer.TAKEN:
                self.taken += points_of(part.batches)
            pause_s = delivery.take_answer(answer, now_ns=self.now_ns, jitter=1.0)
            self.pauses.append(pause_s)
            self.now_ns += int(pause_s * S)


def taker(bad: Points, answer: Answer = Answer.REJECTED) -> Callable[[Part], Answer]:
    """Return a receiver that takes no request with one of some samples in it."""
    return lambda part: answer if bad & {*points_of(part.batches)} else Answer.TAKEN


def test_batches_are_limited_by_number() -> None:
    """A request has as many samples as allowed; no order within a series is lost."""
    delivery = Delivery(1000, 7)
    delivery.offer([batch_of("1", *range(10)), batch_of("2", *range(10))])
    assert len(delivery) == 20
    receiver = Receiver(delivery, lambda _: Answer.TAKEN)
    receiver.drain()
    assert receiver.requests == 3
    assert receiver.taken == [(s, ms) for s in "12" for ms in range(10)]
    assert (delivery.sent, len(delivery), delivery.oldest_ms) == (20, 0, None)


def test_batches_are_limited_by_age() -> None:
    """What is old travels apart from what is new."""
    delivery = Delivery(1000, 1000)
    delivery.offer([batch_of("1", 0, SPAN_MS - 1, SPAN_MS), batch_of("2", 5, SPAN_MS)])
    first = delivery.next(0)
    assert first is not None
    assert points_of(first.batches) == [("1", 0), ("1", SPAN_MS - 1)]
    delivery.take_answer(Answer.TAKEN, now_ns=0, jitter=0)
    second = delivery.next(0)
    assert second is not None
    assert points_of(second.batches) == [("1", SPAN_MS), ("2", 5), ("2", SPAN_MS)]


def test_the_oldest_make_room() -> None:
    """A queue that is full drops its oldest samples, just as many as must go."""
    delivery = Delivery(25, 5)
    delivery.offer([batch_of("1", *range(start, start + 10)) for start in (0, 10, 20)])
    assert delivery.dropped == {DropReason.QUEUE_FULL: 5}
    assert (len(delivery), delivery.oldest_ms) == (25, 5)
    delivery.offer([batch_of("1", *range(30, 60))])
    assert (len(delivery), delivery.oldest_ms) == (25, 35)
    assert delivery.dropped.total() == 35


def test_many_small_batches_make_room_too() -> None:
    """The memory of the queue is bounded, also where its number allows more."""
    delivery = Delivery(10_000_000, 5)
    delivery.offer(batch_of("1", ms) for ms in range(60_000))
    size_bytes = batch_of("1", 0).size_bytes
    assert len(delivery) == QUEUE_BYTES // size_bytes
    assert delivery.dropped[DropReason.QUEUE_FULL] + len(delivery) == 60_000
    assert delivery.oldest_ms == 60_000 - len(delivery)


def test_the_queue_moves_on_while_the_receiver_is_away() -> None:
    """What is being tried stays, the queue behind it keeps the newest."""
    delivery = Delivery(20, 5)
    delivery.offer([batch_of("1", *range(10))])
    assert delivery.next(0) is not None
    delivery.offer([batch_of("1", *range(10, 100))])
    delivery.take_answer(Answer.BUSY, now_ns=0, jitter=0)
    again = delivery.next(0)
    assert again is not None
    assert points_of(again.batches) == [("1", ms) for ms in range(5)]
    delivery.take_answer(Answer.TAKEN, now_ns=0, jitter=0)
    following = delivery.next(0)
    assert following is not None
    assert following.batches[0].ms[0] == 80
    assert delivery.dropped == {DropReason.QUEUE_FULL: 75}


@pytest.mark.parametrize("answer", [Answer.REJECTED, Answer.BROKEN])
def test_one_series_that_is_rejected_stands_alone(answer: Answer) -> None:
    """The other series of the request are taken; the wrong one is dropped."""
    delivery = Delivery(1000, 1000)
    delivery.offer([batch_of(f"{n:02}", *range(20)) for n in range(12)])
    bad = {("07", ms) for ms in range(20)}
    receiver = Receiver(delivery, taker(bad, answer))
    receiver.drain()
    assert {*receiver.taken} == {
        (f"{n:02}", ms) for n in range(12) for ms in range(20)
    } - bad
    assert len(receiver.taken) == delivery.sent == 220
    assert delivery.dropped == {DropReason.REJECTED: 20}
    assert receiver.requests <= 30


def test_samples_that_are_too_old_stand_alone() -> None:
    """Of one series, the newer part is taken, within an eighth of it."""
    delivery = Delivery(1000, 1000)
    delivery.offer([batch_of("1", *range(64))])
    receiver = Receiver(delivery, taker({("1", ms) for ms in range(20)}))
    receiver.drain()
    assert receiver.taken == [("1", ms) for ms in range(24, 64)]
    assert delivery.dropped == {DropReason.REJECTED: 24}


def test_halves_are_cut_where_they_must() -> None:
    """Batches of a series are halved as a whole: one of them is cut, if any."""
    delivery = Delivery(1000, 1000)
    batches = [batch_of("1", *range(start, start + 4)) for start in range(0, 20, 4)]
    delivery.offer(batches)
    receiver = Receiver(delivery, taker({("1", 0)}))
    receiver.drain()
    assert receiver.taken == [("1", ms) for ms in range(2, 20)]
    assert delivery.dropped == {DropReason.REJECTED: 2}


def test_a_receiver_that_rejects_everything_is_not_asked_for_ever() -> None:
    """The number of requests about one part is bounded."""
    delivery = Delivery(10_000, 10_000)
    delivery.offer([batch_of(f"{n:03}", *range(10)) for n in range(500)])
    receiver = Receiver(delivery, lambda _: Answer.REJECTED)
    receiver.drain()
    assert receiver.requests <= 65
    assert delivery.dropped == {DropReason.REJECTED: 5000}


def test_what_was_sent_before_without_an_answer_is_told_apart() -> None:
    """A rejection after a timeout says that it is stored already, most likely."""
    delivery = Delivery(1000, 1000)
    delivery.offer([batch_of("1", 0), batch_of("2", 0)])
    answers = iter([Answer.NONE, Answer.REJECTED, Answer.TAKEN, Answer.REJECTED])
    receiver = Receiver(delivery, lambda _: next(answers))
    receiver.drain()
    assert delivery.dropped == {DropReason.REPEATED: 1}
    assert delivery.sent == 1


def test_who_is_stopped_while_sending_does_not_know() -> None:
    """A request that nobody waited for counts as one without an answer."""
    delivery = Delivery(1000, 1000)
    delivery.offer([batch_of("1", 0)])
    delivery.next(0)
    receiver = Receiver(delivery, lambda _: Answer.REJECTED)
    receiver.drain()
    assert delivery.dropped == {DropReason.REPEATED: 1}


def test_pauses_grow_and_end() -> None:
    """A busy receiver is asked ever more rarely, and for no longer than ten minutes."""
    delivery = Delivery(1000, 1000)
    delivery.offer([batch_of("1", 0)])
    receiver = Receiver(delivery, lambda _: Answer.BUSY)
    receiver.drain()
    assert receiver.pauses[:4] == [0.5, 1.0, 2.0, 4.0]
    assert max(receiver.pauses) == LONGEST_PAUSE_S
    assert delivery.dropped == {DropReason.GAVE_UP: 1}
    assert RETRY_S < receiver.now_ns / S < RETRY_S + 2 * LONGEST_PAUSE_S
    assert delivery.retries == receiver.requests - 1


def test_pauses_are_jittered_and_the_receiver_may_ask_for_more() -> None:
    """Half of a pause is chance; Retry-After is the least, up to a bound."""
    delivery = Delivery(1000, 1000)
    delivery.offer([batch_of("1", 0)])

    def pause_s(jitter: float, asked_s: float | None) -> float:
        delivery.next(0)
        return delivery.take_answer(
            Answer.BUSY, now_ns=0, jitter=jitter, asked_s=asked_s
        )

    assert pause_s(0.0, None) == 0.25
    assert pause_s(0.5, None) == 0.75
    assert pause_s(1.0, 45.0) == 45.0
    assert pause_s(1.0, 1e9) == LONGEST_ASKED_PAUSE_S
    assert pause_s(1.0, 0.0) == 8.0
    delivery.next(0)
    assert delivery.take_answer(Answer.TAKEN, now_ns=0, jitter=1.0) == 0.0
    delivery.offer([batch_of("1", 1)])
    assert pause_s(1.0, None) == 0.5


def test_a_refusal_is_not_repeated_and_slows_down() -> None:
    """A request that is refused is dropped; the next waits, and the queue stays."""
    delivery = Delivery(1000, 1)
    delivery.offer([batch_of("1", 0, 1, 2)])
    receiver = Receiver(delivery, lambda _: Answer.REFUSED)
    receiver.drain(most=2)
    assert receiver.pauses == [0.5, 1.0]
    assert delivery.dropped == {DropReason.REFUSED: 2}
    assert delivery.retries == 0


def test_the_end() -> None:
    """What is left when there is no time left is counted."""
    delivery = Delivery(1000, 2)
    delivery.offer([batch_of("1", *range(5))])
    delivery.next(0)
    delivery.miss(3)
    delivery.give_up()
    assert delivery.dropped == {DropReason.ENDED: 5, DropReason.QUEUE_FULL: 3}
    assert delivery.next(0) is None


@pytest.mark.parametrize(
    ("answer", "statuses"),
    [
        (Answer.TAKEN, [200, 204]),
        (Answer.REJECTED, [400, 413, 422]),
        (Answer.REFUSED, [301, 307, 401, 403, 404, 405, 415]),
        (Answer.BROKEN, [500]),
        (Answer.BUSY, [408, 425, 429, 501, 502, 503, 504, 529]),
    ],
)
def test_statuses(answer: Answer, statuses: list[int]) -> None:
    """Every status has one meaning."""
    assert {answer_of(status) for status in statuses} == {answer}


@given(
    st.lists(st.tuples(st.sampled_from("123"), st.integers(1, 40)), max_size=12),
    st.lists(st.sampled_from(list(Answer)), max_size=60),
    st.integers(1, 60),
    st.integers(60, 200),
)
def test_every_sample_is_accounted_for_and_by_time(
    steps: list[tuple[str, int]], answers: list[Answer], batch: int, queue: int
) -> None:
    """Whatever is answered: what was offered was sent, is dropped or waits."""
    delivery = Delivery(queue, batch)
    replies = iter(answers)
    receiver = Receiver(delivery, lambda _: next(replies, Answer.TAKEN))
    clocks: Counter[str] = Counter()
    offered = 0
    for shard, count in steps:
        first = clocks[shard]
        clocks[shard] += count
        offered += count
        delivery.offer([batch_of(shard, *range(first, first + count))])
        receiver.drain(most=2)
        assert delivery.sent + delivery.dropped.total() + len(delivery) == offered
    receiver.drain()
    assert delivery.sent + delivery.dropped.total() == offered
    assert delivery.sent == len(receiver.taken) == len({*receiver.taken})
    for shard in clocks:
        times = [ms for one, ms in receiver.taken if one == shard]
        assert all(a < b for a, b in pairwise(times))
