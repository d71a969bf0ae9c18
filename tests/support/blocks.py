"""Settled arrivals as a probe sends them, read again."""

from array import array

from loadprobe.core.judging.columns import Block
from loadprobe.probe.messages import ScopeBlock


def read_block(row: ScopeBlock) -> Block:
    """Return the arrivals of one scope that a lane gave away."""
    columns = []
    for data in (row.due, row.sent, row.done, row.failures):
        column: array[int] = array("q")
        column.frombytes(data)
        columns.append(column)
    return Block(*columns)
