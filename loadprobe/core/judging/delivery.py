"""Samples on their way to a receiver: what waits, what is sent next, what is given up.

Pure; ``outputs.remote_write.sender`` does the sending. What waits is bounded: the
oldest make room. One part is under way at a time, so the samples of a series arrive by
time. What a receiver will never take is told apart from the rest by halving, and
dropped; whatever may only be a matter of time is tried again. Every sample that was
taken in is sent or counted with a reason.
"""

from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, StrEnum, auto

from loadprobe.clock import NS_PER_S
from loadprobe.core.judging.ms_samples import MsSamples

QUEUE_BYTES = 24_000_000
"""Memory of what waits, beside its number: batches of one sample take more each."""

SPAN_MS = 10_000
"""A receiver that refuses what is too old refuses all of a request with it."""

RETRY_S = 600
"""A part that is not taken for so long is dropped."""

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
LONGEST_ASKED_PAUSE_S = 120.0
_MOST_REQUESTS = 64
"""Requests for the pieces of one part; what has no final answer then is dropped."""

_MOST_TIME_HALVINGS = 3
_MOST_BREAKDOWNS = 3


class DropReason(StrEnum):
    """Why samples were dropped."""

    QUEUE_FULL = "queue_full"
    REJECTED = "rejected"
    REPEATED = "repeated"
    REFUSED = "refused"
    GAVE_UP = "gave_up"
    ENDED = "ended"


class Answer(Enum):
    """What became of a request.

    TAKEN: all of it was stored. REJECTED: something in it will never be. REFUSED: no
    request of ours is, whatever is in it. BROKEN: an error of the receiver, which may
    be about something in it (Prometheus 2.42 answers so to what is too old). BUSY:
    not now. NONE: it may have been stored.
    """

    TAKEN = auto()
    REJECTED = auto()
    REFUSED = auto()
    BROKEN = auto()
    BUSY = auto()
    NONE = auto()


def answer_of(status: int) -> Answer:
    """Return what an HTTP status says."""
    if 200 <= status < 300:
        return Answer.TAKEN
    if status in (400, 413, 422):
        return Answer.REJECTED
    if status == 500:
        return Answer.BROKEN
    if status in (408, 425, 429) or status > 500:
        return Answer.BUSY
    return Answer.REFUSED


@dataclass(frozen=True, slots=True)
class Part:
    """What one request carries.

    Args:
        batches: those of a series come by time.
        since_ns: when it was tried first, monotonic.
        time_halvings: how often it was halved by time.
        breakdowns: how often the receiver broke down over it.
        unanswered: how often it was sent without an answer: it may be stored.
    """

    batches: Sequence[MsSamples]
    since_ns: int | None = None
    time_halvings: int = 0
    breakdowns: int = 0
    unanswered: int = 0

    def __len__(self) -> int:
        return sum(map(len, self.batches))

    def halves(self) -> "tuple[Part, Part] | None":
        """Return two parts, by series or else by time; None if it is small enough."""
        series = list(dict.fromkeys(batch.series for batch in self.batches))
        if len(series) > 1:
            first = set(series[: len(series) // 2])
            return (
                replace(self, batches=[b for b in self.batches if b.series in first]),
                replace(
                    self, batches=[b for b in self.batches if b.series not in first]
                ),
            )
        count = len(self)
        if count == 1 or self.time_halvings == _MOST_TIME_HALVINGS:
            return None
        older, newer = _halve(self.batches, count // 2)
        halvings = self.time_halvings + 1
        return (
            replace(self, batches=older, time_halvings=halvings),
            replace(self, batches=newer, time_halvings=halvings),
        )


@dataclass(slots=True)
class Delivery:
    """What waits and what is under way (see the module).

    Args:
        queue_samples: samples that may wait.
        batch_samples: samples of one part at most.

    Attributes:
        sent: samples that were taken.
        dropped: samples that were not, by reason.
        retries: how often something was sent again.
    """

    queue_samples: int
    batch_samples: int
    sent: int = 0
    dropped: Counter[DropReason] = field(default_factory=Counter)
    retries: int = 0
    _queue: deque[MsSamples] = field(default_factory=deque)
    _count: int = 0
    _size_bytes: int = 0
    _parts: deque[Part] = field(default_factory=deque)
    _requests_left: int = 0
    _failures: int = 0

    def __len__(self) -> int:
        """Return how many samples wait or are under way."""
        return self._count + sum(map(len, self._parts))

    @property
    def oldest_ms(self) -> int | None:
        """Return the time of the oldest sample, monotonic; None if there is none."""
        first = [batch.ms[0] for part in self._parts for batch in part.batches]
        if self._queue:
            first.append(self._queue[0].ms[0])
        return min(first, default=None)

    @property
    def lost(self) -> int:
        """Return how many samples were dropped for another reason than room."""
        return self.dropped.total() - self.dropped[DropReason.QUEUE_FULL]

    def offer(self, batches: Iterable[MsSamples]) -> None:
        """Take batches in; those of a series come by time."""
        for batch in batches:
            self._queue.append(batch)
            self._grow(batch, 1)
        while self._count > self.queue_samples or self._size_bytes > QUEUE_BYTES:
            oldest = self._queue.popleft()
            self._grow(oldest, -1)
            excess = self._count + len(oldest) - self.queue_samples
            if 0 < excess < len(oldest):
                _, rest = _cut(oldest, excess)
                self._queue.appendleft(rest)
                self._grow(rest, 1)
                self._drop(excess, DropReason.QUEUE_FULL)
            else:
                self._drop(len(oldest), DropReason.QUEUE_FULL)

    def miss(self, count: int) -> None:
        """Count samples that were gone before they could be taken in."""
        self._drop(count, DropReason.QUEUE_FULL)

    def next(self, now_ns: int) -> Part | None:
        """Return what is to be sent, and then answered for; None if nothing waits."""
        if not self._parts:
            batches = self._take()
            if not batches:
                return None
            self._parts.append(Part(batches))
            self._requests_left = _MOST_REQUESTS
        part = self._parts[0]
        # Until there is an answer there is none: whoever is stopped now never gets it.
        part = self._parts[0] = replace(
            part,
            since_ns=now_ns if part.since_ns is None else part.since_ns,
            unanswered=part.unanswered + 1,
        )
        return part

    def take_answer(
        self,
        answer: Answer,
        *,
        now_ns: int,
        jitter: float,
        asked_s: float | None = None,
    ) -> float:
        """Take the answer to what ``next`` returned last.

        Args:
            answer: to it.
            now_ns: the time, monotonic.
            jitter: a random number from 0 to 1.
            asked_s: the pause that the receiver asks for.

        Returns:
            Seconds to wait before the next request.
        """
        part = self._parts.popleft()
        if answer is not Answer.NONE:
            part = replace(part, unanswered=part.unanswered - 1)
        if answer in (Answer.TAKEN, Answer.REJECTED):
            self._failures = 0
            if answer is Answer.TAKEN:
                self.sent += len(part)
            else:
                self._isolate(part)
            return 0.0
        self._failures += 1
        if answer is Answer.REFUSED:
            self._drop(len(part), DropReason.REFUSED)
        elif answer is Answer.BROKEN and part.breakdowns + 1 >= _MOST_BREAKDOWNS:
            # Its halves have one try each: they are about to tell which it is.
            self._isolate(replace(part, breakdowns=_MOST_BREAKDOWNS - 1))
        else:
            self._try_again(part, answer, now_ns)
        return self._pause_s(jitter, asked_s)

    def give_up(self) -> None:
        """Drop all that waits: there is no time left."""
        self._drop(len(self), DropReason.ENDED)
        self._parts.clear()
        self._queue.clear()
        self._count = self._size_bytes = 0

    def _try_again(self, part: Part, answer: Answer, now_ns: int) -> None:
        assert part.since_ns is not None, "it was sent"
        if now_ns - part.since_ns > RETRY_S * NS_PER_S:
            self._drop(len(part), DropReason.GAVE_UP)
            return
        self.retries += 1
        is_broken = answer is Answer.BROKEN
        part = replace(part, breakdowns=part.breakdowns + is_broken)
        self._parts.appendleft(part)

    def _isolate(self, part: Part) -> None:
        halves = part.halves()
        if halves is None or self._requests_left < 2:
            # Receivers reject what they have, and this may have reached them.
            is_repeated = part.unanswered > 0
            self._drop(
                len(part), DropReason.REPEATED if is_repeated else DropReason.REJECTED
            )
            return
        self._requests_left -= 2
        self.retries += 2
        self._parts.extendleft(reversed(halves))

    def _pause_s(self, jitter: float, asked_s: float | None) -> float:
        doublings = min(self._failures - 1, 16)
        pause_s = min(FIRST_PAUSE_S * 2.0**doublings, LONGEST_PAUSE_S)
        return max(
            pause_s * (0.5 + jitter / 2), min(asked_s or 0.0, LONGEST_ASKED_PAUSE_S)
        )

    def _take(self) -> list[MsSamples]:
        """Take the oldest batches from the queue, of a limited number and age."""
        taken: list[MsSamples] = []
        room = self.batch_samples
        until_ms = self._queue[0].ms[0] + SPAN_MS if self._queue else 0
        while self._queue and room:
            batch = self._queue[0]
            count = min(room, bisect_left(batch.ms, until_ms))
            if not count:
                break
            self._queue.popleft()
            self._grow(batch, -1)
            if count < len(batch):
                batch, rest = _cut(batch, count)
                self._queue.appendleft(rest)
                self._grow(rest, 1)
            taken.append(batch)
            room -= len(batch)
        return taken

    def _grow(self, batch: MsSamples, sign: int) -> None:
        self._count += sign * len(batch)
        self._size_bytes += sign * batch.size_bytes

    def _drop(self, count: int, reason: DropReason) -> None:
        self.dropped[reason] += count


def _cut(batch: MsSamples, count: int) -> tuple[MsSamples, MsSamples]:
    """Return the first samples of a batch, and the others."""
    return (
        MsSamples(batch.series, batch.ms[:count], batch.values[:count]),
        MsSamples(batch.series, batch.ms[count:], batch.values[count:]),
    )


def _halve(
    batches: Sequence[MsSamples], count: int
) -> tuple[list[MsSamples], list[MsSamples]]:
    """Return the first samples of batches of one series, and the others."""
    older: list[MsSamples] = []
    newer: list[MsSamples] = []
    for batch in batches:
        if count >= len(batch):
            older.append(batch)
        elif count:
            head, tail = _cut(batch, count)
            older.append(head)
            newer.append(tail)
        else:
            newer.append(batch)
        count = max(count - len(batch), 0)
    return older, newer
