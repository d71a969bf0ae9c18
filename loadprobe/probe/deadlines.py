"""By when arrivals have to be answered: another deadline holds from a due time on.

Pure. Which deadline an arrival has, its due time says alone: so it does not matter when
a process hears of another one, as long as that is before it.
"""

from loadprobe.clock import NEVER_NS


class Deadlines:
    """The deadlines of a lane's arrivals.

    Args:
        deadline_ns: of all arrivals, at first.
        settle_ns: so much longer an arrival is waited for before it is given up.
    """

    def __init__(self, deadline_ns: int, settle_ns: int) -> None:
        self._settle_ns = settle_ns
        self._steps = [(-NEVER_NS, deadline_ns)]

    def of(self, due_ns: int) -> int:
        """Return the deadline of an arrival, in ns after it was due."""
        for from_ns, deadline_ns in reversed(self._steps):
            if from_ns <= due_ns:
                return deadline_ns
        raise AssertionError("the first deadline is that of all before")

    @property
    def least_ns(self) -> int:
        """Return the shortest of those that arrivals under way may have."""
        return min(deadline_ns for _, deadline_ns in self._steps)

    @property
    def give_up_ns(self) -> int:
        """Return how long after its due time any of them is given up."""
        return max(deadline_ns for _, deadline_ns in self._steps) + self._settle_ns

    @property
    def is_changing(self) -> bool:
        """Tell whether arrivals under way may have different ones."""
        return len(self._steps) > 1

    def change(self, from_ns: int, deadline_ns: int) -> None:
        """Let arrivals that are due from a time on have another deadline."""
        self._steps.append((max(from_ns, self._steps[-1][0]), deadline_ns))

    def forget(self, now_ns: int) -> None:
        """Let go of deadlines whose arrivals have all been given up."""
        given_up_ns = now_ns - self.give_up_ns
        while len(self._steps) > 1 and self._steps[1][0] <= given_up_ns:
            del self._steps[0]
