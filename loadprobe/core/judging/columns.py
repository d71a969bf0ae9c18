"""Decided arrivals of one scope as columns: the only thing probes and supervisor share.

Pure. A block is a multiset of arrivals, so merging is concatenation: whatever the
order of completion, the number of probe processes or the size of the blocks, the
merged whole is the same. All times are monotonic nanoseconds.
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import compress
from typing import NamedTuple

from loadprobe.core.judging.outcome import ErrorClass, OpKind, Outcome


class Scope(NamedTuple):
    """What is judged on its own: a lane, a shard and an op kind."""

    lane: str
    shard: str
    op: OpKind


class Failure(NamedTuple):
    """One arrival that was not served.

    ``evidence_start_ns`` and ``evidence_end_ns`` enclose an instant at which the
    target certainly did not serve (docs/measuring.md, "Error bars"); ``due_ns`` is
    what the schedule asked for and decides in which millisecond it is judged.
    For a failure by time alone they mean: the target can have spoken again at
    ``evidence_start_ns`` at the earliest (meaningful if it did), and the request had
    reached it by ``evidence_end_ns``.
    ``done_ns`` is when a late, refused or wrong reply was parsed, else -1.
    """

    due_ns: int
    sent_ns: int
    done_ns: int
    outcome: Outcome
    error: ErrorClass
    evidence_start_ns: int
    evidence_end_ns: int


FAILURE_WIDTH = 7


def _column() -> "array[int]":
    return array("q")


@dataclass(slots=True)
class Block:
    """Decided arrivals of one scope, in no particular order.

    Args:
        due: due times of the served arrivals.
        sent: when each of them was handed to its socket (same length).
        done: when the reply of each was parsed (same length).
        failures: flattened rows of ``Failure`` (7 integers each).
    """

    due: "array[int]" = field(default_factory=_column)
    sent: "array[int]" = field(default_factory=_column)
    done: "array[int]" = field(default_factory=_column)
    failures: "array[int]" = field(default_factory=_column)

    @property
    def served_count(self) -> int:
        """Return the number of served arrivals."""
        return len(self.due)

    @property
    def failed_count(self) -> int:
        """Return the number of arrivals that were not served."""
        return len(self.failures) // FAILURE_WIDTH

    def add_served(self, due_ns: int, sent_ns: int, done_ns: int) -> None:
        """Add one served arrival."""
        self.due.append(due_ns)
        self.sent.append(sent_ns)
        self.done.append(done_ns)

    def add_failure(self, failure: Failure) -> None:
        """Add one arrival that was not served."""
        self.failures.extend(failure)

    def iter_failures(self) -> Iterator[Failure]:
        """Yield the failures, in the order in which they were added."""
        row = self.failures
        for i in range(0, len(row), FAILURE_WIDTH):
            yield Failure(
                row[i],
                row[i + 1],
                row[i + 2],
                Outcome(row[i + 3]),
                ErrorClass(row[i + 4]),
                row[i + 5],
                row[i + 6],
            )

    def extend(self, other: "Block") -> None:
        """Add all arrivals of another block."""
        self.due.extend(other.due)
        self.sent.extend(other.sent)
        self.done.extend(other.done)
        self.failures.extend(other.failures)


_NEAR = 256
_FARTHER = 8

Columns = tuple["array[int]", "array[int]", "array[int]"]
"""Due, sent and done of served arrivals, of equal length."""


def split_served(columns: Columns, at_ns: int) -> tuple[Columns, Columns]:
    """Return the served arrivals due before ``at_ns`` and the others.

    They are nearly in due order: only those around ``at_ns`` are sorted one by one.
    """
    due, sent, done = columns
    middle = bisect_left(due, at_ns)  # somewhere near, as the order is nearly right
    reach = _NEAR
    while True:
        first, last = max(0, middle - reach), middle + reach
        is_right = max(due[:first], default=at_ns - 1) < at_ns
        if is_right and min(due[last:], default=at_ns) >= at_ns:
            break
        reach *= _FARTHER
    last = min(last, len(due))
    early = due[:first], sent[:first], done[:first]
    late = due[last:], sent[last:], done[last:]
    is_early = [due_ns < at_ns for due_ns in due[first:last]]
    is_late = [not flag for flag in is_early]
    for part, which in (early, is_early), (late, is_late):
        for column, values in zip(part, columns, strict=True):
            column.extend(compress(values[first:last], which))
    return early, late


def merge_blocks(blocks: Iterable[Block]) -> Block:
    """Return one block with the arrivals of all given blocks."""
    merged = Block()
    for block in blocks:
        merged.extend(block)
    return merged
