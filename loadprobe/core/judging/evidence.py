"""What the failures of an outage prove: from when and until when the target was down.

Pure. A failure proves one instant at which the target did not serve. Where that instant
lies depends on how the arrival failed:

1. By an answer or by the lack of a connection: inside the failure's evidence interval.
   So the outage began before the *end* of every evidence interval and ended after the
   *start* of every one.
2. By time (late, or no answer): an arrival sent at ``sent`` reached the target within
   one usual round trip, so the outage began before ``sent + round trip``; it was down
   for arrivals due at ``due``. Arrivals that queued up while the target was silent may
   miss their deadline only because the backlog is worked off after its return; they
   do not prove anything beyond ``first reply after the silence - deadline``.

Between two failures with nothing served in between the target was down, if the probe
was looking all the time. So evidence is kept apart for each stretch between two blind
times, and what lies across a blind time proves nothing of the stretch after it.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from loadprobe.clock import NEVER_NS, NS_PER_S
from loadprobe.core.intervals import Interval, overlaps
from loadprobe.core.judging.columns import Failure
from loadprobe.core.judging.outcome import ErrorClass, Outcome


def is_timed(failure: Failure) -> bool:
    """Tell whether only the passing of time made the arrival fail."""
    return failure.outcome is Outcome.LATE or failure.error is ErrorClass.TIMEOUT


AFTERMATH_NS = 2 * NS_PER_S
"""So long after a blind time something may still fail for what was lost in it."""


def is_unseen(
    failure: Failure,
    blind: Iterable[Interval],
    *,
    deadline_ns: int,
    is_attempt: bool = False,
) -> bool:
    """Tell whether a failure may be the doing of its own process alone.

    1. It was due while the process was blind.
    2. It failed by time, and the process was blind within its deadline: the reply may
       have waited to be read.
    3. What it failed with is older than the end of a blind time before it: a connection
       that was lost meanwhile, and no attempt to make a new one yet.
    4. It was an attempt to connect that took too long, and the process was blind
       meanwhile: the answer may have waited, and the time was not there to be used.

    Args:
        failure: the failed arrival.
        blind: when its process did not get to run, the last AFTERMATH_NS included.
        deadline_ns: deadline of its lane.
        is_attempt: the arrival is a new connection.
    """
    due = failure.due_ns
    if is_attempt and failure.error is ErrorClass.UNREACHABLE:
        return overlaps(blind, due, failure.evidence_end_ns)
    if is_timed(failure):
        return overlaps(blind, due, due + deadline_ns + 1)
    return any(
        start <= due < end
        or failure.evidence_start_ns < end <= due < end + AFTERMATH_NS
        for start, end in blind
    )


@dataclass(slots=True)
class Evidence:
    """What failures prove that were due without a blind time in between.

    Args:
        deadline_ns: deadline of the lane.
        since_ns: end of the blind time before; evidence that begins earlier may be
            about something that was over when the probe looked again.
    """

    deadline_ns: int
    since_ns: int = -1
    first_due_ns: int = -1
    last_due_ns: int = -1
    answer_start_ns: int | None = None
    answer_end_ns: int | None = None
    timed_sent_ns: int | None = None
    timed_due_ns: int | None = None
    silent_due_ns: int | None = None
    resumed_ns: int | None = None
    renewed: tuple[int, int] = (-NEVER_NS, -NEVER_NS)

    def add(self, failure: Failure) -> None:
        """Take a failure, due after those taken before."""
        due = failure.due_ns
        if is_timed(failure):
            self.timed_sent_ns = _least(self.timed_sent_ns, failure.sent_ns)
            self.timed_due_ns = due
            if failure.done_ns >= 0:
                self._add_late(due, failure.evidence_start_ns)
            else:
                self.silent_due_ns = due
        elif failure.evidence_start_ns >= self.since_ns:
            self.answer_start_ns = _greatest(
                self.answer_start_ns, failure.evidence_start_ns
            )
            self.answer_end_ns = _least(self.answer_end_ns, failure.evidence_end_ns)
        else:
            return
        if self.first_due_ns < 0:
            self.first_due_ns = due
        self.last_due_ns = due

    def _add_late(self, due_ns: int, resumed_ns: int) -> None:
        """Take a late arrival, and when the first reply came after its silence."""
        self.resumed_ns = _least(self.resumed_ns, resumed_ns)
        if due_ns >= self.resumed_ns:
            self.renewed = max(
                self.renewed,
                (due_ns, resumed_ns),
                key=lambda one: min(one[0], one[1] - self.deadline_ns),
            )

    def proves_before(self, done_ns: int) -> bool:
        """Tell whether a reply read at a time certainly came before the outage."""
        return self.answer_start_ns is None or done_ns <= self.answer_start_ns

    def proves_after(self, sent_ns: int) -> bool:
        """Tell whether what was sent at a time was certainly sent after it began."""
        return self.answer_end_ns is None or sent_ns >= self.answer_end_ns

    def core(self, round_trip_ns: int) -> Interval | None:
        """Return (down from here at the latest, down until here at the earliest).

        The first is greater than the second if not even an instant is known for
        certain. None if nothing was proven at all.
        """
        starts: list[int] = []
        ends: list[int] = []
        if self.answer_start_ns is not None and self.answer_end_ns is not None:
            starts.append(self.answer_end_ns)
            ends.append(self.answer_start_ns)
        if self.timed_sent_ns is not None:
            starts.append(self.timed_sent_ns + round_trip_ns)
            ends.append(self._timed_end(round_trip_ns))
        if not starts:
            return None
        return max(self.first_due_ns, min(starts)), min(self.last_due_ns, max(ends))

    def _timed_end(self, round_trip_ns: int) -> int:
        """Return until when failures by time prove that nothing could be served."""
        assert self.timed_due_ns is not None
        if self.resumed_ns is None:
            return self.timed_due_ns
        # The target was silent, then answered what had queued up. An arrival whose
        # deadline fell into that backlog may have been due after the silence mattered.
        # One that was due later waited in a silence of its own, or the target is slow.
        # (Or the first silence is that of a process that was blind at its end: then
        # nothing but this one tells when the target was back.)
        unheard_ns = round_trip_ns + self.deadline_ns
        bound = min(self.timed_due_ns, self.resumed_ns - unheard_ns)
        renewed_due_ns, renewed_until_ns = self.renewed
        bound = max(bound, min(renewed_due_ns, renewed_until_ns - unheard_ns))
        if self.silent_due_ns is None:
            return bound
        # An unanswered arrival itself waited far longer than any backlog.
        return max(self.silent_due_ns, bound)


def _least(known: int | None, value: int) -> int:
    return value if known is None or value < known else known


def _greatest(known: int | None, value: int) -> int:
    return value if known is None or value > known else known
