"""The arrivals that wait for the film: those of a scope that has none take no room."""

import gc
from array import array

from loadprobe.core.judging.columns import Scope
from loadprobe.core.judging.outcome import OpKind
from loadprobe.core.judging.ring import Ring, Slab

MS = 1_000_000


def slab(start_ns: int, *due: int) -> Slab:
    """Return 250 ms with arrivals served at once."""
    column = array("q", due)
    ends = (due[0], due[-1]) if due else (0, 0)
    return Slab(
        start_ns, start_ns + 250 * MS, column, column, column, (), *ends, column
    )


def kept() -> int:
    """Return how many slabs there are."""
    return sum(isinstance(each, Slab) for each in gc.get_objects())


def test_a_shard_that_is_gone_takes_no_room() -> None:
    """Nothing is kept of a scope without arrivals, and others are as ever."""
    ring = Ring(margin_ns=1_000 * MS)
    live = Scope("tcp", "0001", OpKind.READ)
    gone = [Scope("tcp", f"{n:04d}", OpKind.READ) for n in range(2, 100)]
    before = kept()
    for start_ns in range(0, 1_000 * MS, 250 * MS):
        ring.push(live, slab(start_ns, start_ns + 7))
        for scope in gone:
            ring.push(scope, slab(start_ns))
        assert ring.leave(start_ns + 250 * MS, going_on=[], closed=[]) == []
    assert kept() - before == 4
    at = 500 * MS + 7
    assert ring.served(live, 500 * MS) == [(at, at, at), (750 * MS + 7,) * 3]
    assert ring.served(gone[0], 0) == []
