"""Served arrivals of one scope that wait to be judged."""

from collections.abc import Collection
from dataclasses import dataclass

from loadprobe.core.judging.columns import Block, split_served


@dataclass(frozen=True, slots=True)
class Pending:
    """Served arrivals that wait to be judged.

    Args:
        process: where they come from.
        block: the arrivals.
        due_times: of them, each once in a closed loop, where many are due at once.
        low_ns: the earliest of them.
        high_ns: the latest.
    """

    process: int
    block: Block
    due_times: Collection[int]
    low_ns: int
    high_ns: int

    @classmethod
    def of(cls, process: int, block: Block) -> "Pending":
        """Return the served arrivals of a block; there are some."""
        is_closed = block.sent == block.due
        dues = set(block.due) if is_closed else block.due
        return cls(process, block, dues, min(dues), max(dues))

    def split(self, at_ns: int) -> "tuple[Pending, Pending]":
        """Return the arrivals due before, and the others; there are some of each."""
        block = self.block
        parts = split_served((block.due, block.sent, block.done), at_ns)
        early, late = (Block(*part) for part in parts)
        early_dues: Collection[int] = early.due
        late_dues: Collection[int] = late.due
        if isinstance(self.due_times, set):
            early_dues = {due for due in self.due_times if due < at_ns}
            late_dues = self.due_times - early_dues
        return (
            Pending(self.process, early, early_dues, self.low_ns, max(early_dues)),
            Pending(self.process, late, late_dues, min(late_dues), self.high_ns),
        )
