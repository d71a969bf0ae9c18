"""The matrix of a bench: its axes, its cells, and the order they are run in. Pure.

Repeats are blocks: every cell is run once before any is run again, in an order that is
drawn for each block. So what drifts with time, as a machine that warms up, meets all.
"""

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from itertools import product

import msgspec

from loadprobe.errors import UsageError

CLUSTER_AXES = ("shards", "replicas", "engine")
"""What a cluster is made of."""

LANE_AXES = ("driver", "tls")
"""What all lanes are set to."""

MOST_CELLS = 1_000
_SEPARATORS = ("=", ",", "/")


class Axis(msgspec.Struct, frozen=True):
    """What is varied.

    Args:
        name: one of the axes above, ``var.NAME`` of the scenario, or the dotted path of
            a key of the configuration (``lanes.read_ratio``: of all lanes).
        values: as they were given.
    """

    name: str
    values: list[str]


class BenchCell(msgspec.Struct, frozen=True):
    """One point of the matrix, and one of its repeats.

    Args:
        label: its point, and the name of its folder: ``shards=2,engine=redis-7.0``;
            ``all`` if nothing is varied.
        values: a value for each axis.
        repeat: counted from 1.
    """

    label: str
    values: dict[str, str]
    repeat: int

    @property
    def name(self) -> str:
        """The cell for people: ``shards=2, repeat 1``."""
        return f"{self.label}, repeat {self.repeat}"


def parse_axis(name: str, text: str) -> Axis:
    """Return an axis from its values, separated by commas.

    Raises:
        UsageError: a value is missing, given twice, or cannot name a folder.
    """
    values = [value.strip() for value in text.split(",")]
    for value in values:
        if not value or any(mark in value for mark in _SEPARATORS) or value[0] == ".":
            raise UsageError(
                f"axis {name}: {text!r} holds a value that is empty, or has one of "
                f"{' '.join(_SEPARATORS)} in it; write values separated by commas"
            )
    if len(set(values)) < len(values):
        raise UsageError(f"axis {name}: {text!r} names a value twice")
    return Axis(name, values)


def order_cells(axes: Sequence[Axis], *, repeats: int, seed: int) -> list[BenchCell]:
    """Return all cells in the order in which they are run.

    Raises:
        UsageError: there are too many of them, or two axes have one name.
    """
    names = [axis.name for axis in axes]
    if len(set(names)) < len(names):
        raise UsageError(f"the axes {', '.join(names)} name one of them twice")
    count = math.prod(len(axis.values) for axis in axes)
    if count * repeats > MOST_CELLS:
        raise UsageError(
            f"{count} points x {repeats} repeats are {count * repeats} cells; at most "
            f"{MOST_CELLS}"
        )
    points = list(_points(axes))
    varied = [axis.name for axis in axes if len(axis.values) > 1]
    draw = random.Random(seed)  # noqa: S311 - an order that can be told again
    cells: list[BenchCell] = []
    for repeat in range(1, repeats + 1):
        block = list(points)
        draw.shuffle(block)
        cells += (BenchCell(_label(point, varied), point, repeat) for point in block)
    return cells


def labels_in_order(axes: Sequence[Axis]) -> list[str]:
    """Return the labels of all points, by the values as they were given."""
    return list(dict.fromkeys(c.label for c in _unshuffled(axes)))


def _unshuffled(axes: Sequence[Axis]) -> Iterator[BenchCell]:
    varied = [axis.name for axis in axes if len(axis.values) > 1]
    for point in _points(axes):
        yield BenchCell(_label(point, varied), point, 1)


def _label(point: Mapping[str, str], varied: Sequence[str]) -> str:
    return ",".join(f"{name}={point[name]}" for name in varied) or "all"


def _points(axes: Sequence[Axis]) -> Iterator[dict[str, str]]:
    names = [axis.name for axis in axes]
    for values in product(*(axis.values for axis in axes)):
        yield dict(zip(names, values, strict=True))
