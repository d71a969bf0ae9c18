"""Splitting served arrivals by due time."""

from array import array

from hypothesis import given
from hypothesis import strategies as st

from loadprobe.core.columns import Columns, split_served

times = st.integers(0, 50)


@given(st.lists(st.tuples(times, times, times)), times)
def test_every_arrival_is_on_its_side_of_the_cut(
    rows: list[tuple[int, int, int]], at_ns: int
) -> None:
    """Nothing is lost, doubled or torn apart, whatever the order."""
    due, sent, done = zip(*rows, strict=True) if rows else ((), (), ())
    columns: Columns = array("q", due), array("q", sent), array("q", done)
    early, late = split_served(columns, at_ns)
    assert sorted(zip(*early, strict=True)) == sorted(r for r in rows if r[0] < at_ns)
    assert sorted(zip(*late, strict=True)) == sorted(r for r in rows if r[0] >= at_ns)
