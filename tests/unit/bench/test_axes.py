"""The matrix of a bench and the order in which it is run."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadprobe.bench.axes import Axis, labels_in_order, order_cells, parse_axis
from loadprobe.errors import UsageError

SHARDS = Axis("shards", ["2", "3", "4"])
TLS = Axis("tls", ["on", "off"])


@given(seed=st.integers(0, 1_000_000), repeats=st.integers(1, 8))
def test_every_cell_is_run_once_in_each_block(seed: int, repeats: int) -> None:
    """All points come once before any comes again, whatever the order."""
    cells = order_cells([SHARDS, TLS], repeats=repeats, seed=seed)
    assert len(cells) == 6 * repeats
    for block in range(repeats):
        of_block = cells[6 * block : 6 * block + 6]
        assert {cell.repeat for cell in of_block} == {block + 1}
        assert len({cell.label for cell in of_block}) == 6


def test_the_order_is_that_of_the_seed() -> None:
    """The same seed gives the same order; blocks differ from each other."""
    one = order_cells([SHARDS, TLS], repeats=6, seed=4)
    assert one == order_cells([SHARDS, TLS], repeats=6, seed=4)
    assert one != order_cells([SHARDS, TLS], repeats=6, seed=5)
    blocks = {tuple(c.label for c in one[at : at + 6]) for at in range(0, 36, 6)}
    assert len(blocks) > 1


def test_no_place_in_the_order_is_favoured() -> None:
    """Over 600 seeds each of three points is first about a third of the time."""
    first = Counter(
        order_cells([SHARDS], repeats=1, seed=s)[0].label for s in range(600)
    )
    assert all(150 < count < 250 for count in first.values())


def test_labels_name_what_is_varied() -> None:
    """What has one value is no part of a label; without any it is ``all``."""
    fixed = Axis("replicas", ["2"])
    assert labels_in_order([SHARDS, fixed, TLS])[:3] == [
        "shards=2,tls=on",
        "shards=2,tls=off",
        "shards=3,tls=on",
    ]
    (cell,) = order_cells([fixed], repeats=1, seed=1)
    assert cell.label == "all"
    assert cell.values == {"replicas": "2"}


@pytest.mark.parametrize("text", ["", "2,,3", "2,2", "a/b", "../x", ".", "a=b"])
def test_values_that_cannot_be(text: str) -> None:
    """What is empty, twice there, or could leave the folder is refused."""
    with pytest.raises(UsageError, match="axis shards: "):
        parse_axis("shards", text)


def test_too_many_cells() -> None:
    """A matrix of more than a thousand runs is refused before it begins."""
    axis = Axis("shards", [str(n) for n in range(300)])
    with pytest.raises(UsageError, match="1200"):
        order_cells([axis], repeats=4, seed=1)


def test_an_axis_twice() -> None:
    """One axis cannot be given in two ways."""
    with pytest.raises(UsageError, match="twice"):
        order_cells([SHARDS, SHARDS], repeats=1, seed=1)


def test_far_too_many_points() -> None:
    """They are counted before they are made."""
    axes = [Axis(f"var.{n}", [str(value) for value in range(100)]) for n in range(20)]
    with pytest.raises(UsageError, match="at most 1000"):
        order_cells(axes, repeats=1, seed=0)
