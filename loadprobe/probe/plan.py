"""Which process runs which part of which lane. Pure."""

from collections.abc import Sequence

from loadprobe.config import Lane
from loadprobe.probe.messages import Share


def share_out(lanes: Sequence[Lane]) -> list[tuple[Share, ...]]:
    """Return the shares of every process.

    There are as many processes as the lane with the most asks for; a lane that asks for
    n runs in the first n of them, its workers split as evenly as they can be.
    """
    shares: list[list[Share]] = [
        [] for _ in range(max(lane.processes for lane in lanes))
    ]
    for lane in lanes:
        count = lane.processes
        for index in range(count):
            workers = lane.workers // count + (index < lane.workers % count)
            shares[index].append(Share(lane, index, count, workers))
    return [tuple(process) for process in shares]
