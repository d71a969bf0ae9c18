"""What is kept of the last minutes takes as much room as it has to, for ever."""

from loadprobe.core.judging.columns import Scope
from loadprobe.core.judging.counts import SecondCounts
from loadprobe.core.judging.outcome import OpKind, Outcome
from loadprobe.outputs.page.kept import KeptSeconds

SCOPE = Scope("tcp", "0001", OpKind.READ)
KEPT_S = 900


def test_seconds_that_are_let_go_leave_little_behind() -> None:
    """At most a seventh of what is kept, at any time; copies have all of that."""
    kept, most = KeptSeconds(), 0
    for second in range(5 * KEPT_S):
        counts = [second] + [0] * (len(Outcome) - 1)
        kept.add([SecondCounts(SCOPE, second, counts, 1000, 0, 0)])
        kept.forget(second + 1 - KEPT_S)
        if second >= KEPT_S:
            most = max(most, len(kept._rows))
    copy = kept.copy()
    assert [row.second for row in copy] == list(range(4 * KEPT_S, 5 * KEPT_S))
    assert most <= len(copy.rows) * 8 / 7 + 2 * len(copy.rows) / KEPT_S
