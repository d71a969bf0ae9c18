"""Splitting served arrivals by due time."""

from array import array
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from loadprobe.core.judging.columns import Columns, split_served
from tests.support.examples import examples

times = st.integers(0, 50)


def check(rows: list[tuple[int, int, int]], at_ns: int) -> None:
    """Split rows and check that every one is on its side."""
    due, sent, done = zip(*rows, strict=True) if rows else ((), (), ())
    columns: Columns = array("q", due), array("q", sent), array("q", done)
    early, late = split_served(columns, at_ns)
    assert sorted(zip(*early, strict=True)) == sorted(r for r in rows if r[0] < at_ns)
    assert sorted(zip(*late, strict=True)) == sorted(r for r in rows if r[0] >= at_ns)


@given(st.lists(st.tuples(times, times, times)), times)
def test_every_arrival_is_on_its_side_of_the_cut(
    rows: list[tuple[int, int, int]], at_ns: int
) -> None:
    """Nothing is lost, doubled or torn apart, whatever the order."""
    check(rows, at_ns)


@examples(25)
@given(
    random=st.randoms(use_true_random=False),
    count=st.integers(500, 4_000),
    disorder=st.sampled_from([0, 1, 200, 700, 100_000]),
    share=st.floats(-0.1, 1.1),
)
def test_many_arrivals(random: Random, count: int, disorder: int, share: float) -> None:
    """Also of thousands, however far out of order some are."""
    rows = [
        (i + random.randint(0, disorder), i, random.randint(0, 9)) for i in range(count)
    ]
    check(rows, int(share * count))
