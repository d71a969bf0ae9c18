"""What a process that comes after this one has to know to find lost writes.

A few keys at a time are looked through, so that it costs next to nothing: their newest
acknowledged versions are told to the supervisor, which keeps them in the run folder,
and since when their TTL runs. Of a lane with more than ``MOST_KEYS`` keys a sample is
told, spread evenly.
"""

from array import array
from collections.abc import Mapping

from loadprobe.clock import boot_now_ns
from loadprobe.core.load.lifetimes import LONG_AGO
from loadprobe.core.load.remembered import Remembered
from loadprobe.drivers.base import Driver
from loadprobe.probe.keys import LaneKeys
from loadprobe.probe.lane import LaneRunner
from loadprobe.probe.messages import (
    Acknowledged,
    LookedUp,
)
from loadprobe.probe.prefill import read_keys

MOST_KEYS = 10_000
_AT_ONCE = 250


class Remembering:
    """Tells what was acknowledged under the keys of a share of a lane.

    Args:
        process: its index.
        lane: name of the lane.
        keys: of the share.
    """

    def __init__(self, process: int, lane: str, keys: LaneKeys) -> None:
        self._process = process
        self._lane = lane
        self._keys = keys
        owned = keys.space.owned()
        self._sample = owned[:: -(-len(owned) // MOST_KEYS) or 1]
        self._told = array("Q", bytes(8 * len(self._sample)))
        self._told_ns = array("q", [LONG_AGO]) * len(self._sample)
        self._next = 0

    def take(self) -> Acknowledged | None:
        """Return what is new of the next keys, if anything is."""
        begin = self._next
        end = min(begin + _AT_ONCE, len(self._sample))
        self._next = end if end < len(self._sample) else 0
        keys, versions, set_ns = array("Q"), array("Q"), array("q")
        has_grown = self._keys.lifetimes.has_grown
        for at in range(begin, end):
            key = self._sample[at]
            version, since_ns = self._keys.settled(key)
            if version and (
                version > self._told[at] or has_grown(since_ns, self._told_ns[at])
            ):
                self._told[at], self._told_ns[at] = version, since_ns
                keys.append(key)
                versions.append(version)
                set_ns.append(since_ns)
        if not keys:
            return None
        return Acknowledged(
            self._process,
            self._lane,
            keys.tobytes(),
            versions.tobytes(),
            set_ns.tobytes(),
        )


async def look_up(
    process: int, lane: LaneRunner, driver: Driver, remembered: Mapping[int, Remembered]
) -> LookedUp:
    """Read keys that were written by an earlier process, and find what is lost.

    It takes eight seconds at most. What could not be read counts as unread. A key that
    is not there and may have expired meanwhile is not lost.

    Args:
        process: its index.
        lane: whose keys.
        driver: must be connected.
        remembered: key -> what was acknowledged and settled.
    """
    owned = lane.keys.space.owned()
    wanted = [key for key in remembered if key in owned]
    lifetimes = lane.keys.lifetimes
    checked, expired, lost = 0, 0, array("Q")
    by_shard: dict[str, int] = {}
    async for key, reply in read_keys(lane, driver, wanted):
        checked += 1
        version = lane.keys.content.version_of(key, reply)
        written = remembered[key]
        if reply is None and not lifetimes.is_sure(written.set_ns, boot_now_ns()):
            expired += 1
        elif version is None or version < written.version:
            lost.append(key)
            shard = lane.shard_of(key)
            by_shard[shard] = by_shard.get(shard, 0) + 1
    return LookedUp(
        process,
        lane.name,
        checked,
        lost.tobytes(),
        len(wanted) - checked,
        by_shard,
        expired,
    )
