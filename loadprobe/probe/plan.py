"""Which process runs which part of which lane. Pure."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from loadprobe.config.keys import Lane
from loadprobe.probe.orders import Share


def share_out(
    lanes: Sequence[Lane], dormant: Collection[str] = ()
) -> list[tuple[Share, ...]]:
    """Return the shares of every process; those that run from the start come first.

    There are as many processes as the lane with the most asks for; a lane that asks for
    n runs in the first n of them, its workers split as evenly as they can be. Lanes of
    client libraries have processes of their own, each: what one of them does to its
    event loop must not disturb the witness.

    Args:
        lanes: all lanes.
        dormant: names of lanes that begin later. Those of one transport begin
            together, so they have processes of their own.
    """
    lanes = [lane.as_run for lane in lanes]
    parts = _key_parts(lanes)
    later = [lane for lane in lanes if lane.name in dormant]
    groups = (
        [lane for lane in lanes if lane.name not in dormant],
        [lane for lane in later if not lane.tls],
        [lane for lane in later if lane.tls],
    )
    return [
        process
        for group in groups
        for part in _split(group)
        for process in _share_group(part, parts)
    ]


def _key_parts(lanes: Sequence[Lane]) -> dict[str, tuple[int, int | None]]:
    """Return for each lane how many parts of its keyspace come before, and are."""
    counts: Counter[str] = Counter()
    before: dict[str, int] = {}
    for lane in lanes:
        before[lane.name] = counts[lane.key_prefix]
        counts[lane.key_prefix] += lane.processes
    return {
        lane.name: (
            before[lane.name],
            total if (total := counts[lane.key_prefix]) > lane.processes else None,
        )
        for lane in lanes
    }


def _split(lanes: Sequence[Lane]) -> list[list[Lane]]:
    """Return what may share processes: all witnesses, and each other lane alone."""
    witnesses = [lane for lane in lanes if lane.is_witness]
    return [witnesses, *([lane] for lane in lanes if not lane.is_witness)]


def _share_group(
    lanes: Sequence[Lane], parts: Mapping[str, tuple[int, int | None]]
) -> list[tuple[Share, ...]]:
    shares: list[list[Share]] = [
        [] for _ in range(max((lane.processes for lane in lanes), default=0))
    ]
    for lane in lanes:
        count = lane.processes
        for index in range(count):
            workers, connections = (
                whole // count + (index < whole % count)
                for whole in (lane.workers, lane.connections or lane.workers)
            )
            shares[index].append(
                Share(lane, index, count, workers, connections, *parts[lane.name])
            )
    return [tuple(process) for process in shares]
