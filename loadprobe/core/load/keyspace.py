"""The keys of a lane, and which key an arrival asks for.

Pure. Every key belongs to exactly one probe process, which alone writes it. Key k of a
lane lies in the same slot in every run, whatever the number of processes.

Memory: names of up to ``KEPT_NAMES`` keys per process are kept (some 80 bytes each, so
8 MB at most); the names of further keys are made when they are asked for.
"""

import math
from collections.abc import Sequence
from fractions import Fraction

from loadprobe.core.judging.outcome import OpKind
from loadprobe.core.topology.slots import SLOTS, tag_for_slot

KEPT_NAMES = 100_000

_STRIDE = 12575
"""Odd, so that 16384 keys reach all slots. Chosen by search: a contiguous range of
slots gets its share of the keys to within 7 keys, and of the keys of one process of up
to 12 to within 9."""

_LONGEST_TABLE = 4096
"""Arrivals; such a table takes 1 ms to make, and a plan is made while load runs."""

_MASK = SLOTS - 1


def prefix_of(keyspace: str) -> bytes:
    """Return what the names of all keys of a keyspace begin with."""
    return f"lp:{keyspace}:".encode()


class Keyspace:
    """A process's keys of a lane, spread evenly over the slots.

    Keys are named ``lp:<lane>:{<tag>}:<k in hex>``, absent keys
    ``lp:<lane>:{<tag>}:absent:<k in hex>``, both in the slot of the tag. Indexes from
    ``keys`` on are spare keys, one per slot and process: ``assign`` uses one for a
    shard that has no other key of this process.

    Args:
        lane: name of the keyspace, which is that of the lane unless lanes share one;
            without braces.
        keys: keys of the whole lane, at least 1.
        slice_index: this process owns the keys that are ``slice_index`` modulo
            ``slice_count``.
        slice_count: processes that share the lane.

    Raises:
        ValueError: there is no such slice, or the name has a brace.
    """

    def __init__(
        self, lane: str, keys: int, slice_index: int, slice_count: int
    ) -> None:
        if not 0 <= slice_index < slice_count:
            raise ValueError(f"there is no slice {slice_index} of {slice_count}")
        if keys < 1 or "{" in lane or "}" in lane:
            raise ValueError(
                f"a keyspace of {keys} keys for lane {lane!r} cannot be made: it needs "
                "a key, and a name without braces (they mark the hash tag)"
            )
        self._prefix = prefix_of(lane)
        self._keys = keys
        self._slice_index = slice_index
        self._slice_count = slice_count
        self._names: list[bytes] = []
        self._names = [self._name(k) for k in self.owned()[:KEPT_NAMES]]
        self._kept_below = min(keys, KEPT_NAMES * slice_count)

    @property
    def owned_count(self) -> int:
        """Return the number of keys of this process, spare keys left out."""
        return len(self.owned())

    def owned(self) -> range:
        """Return the indexes of the keys of this process, spare keys left out."""
        return range(self._slice_index, self._keys, self._slice_count)

    def key(self, k: int) -> bytes:
        """Return the name of one of this process's keys."""
        if k < self._kept_below:
            return self._names[k // self._slice_count]
        return self._name(k)

    def foreign_key(self, k: int) -> bytes:
        """Return the name of a key, whoever owns it."""
        return self._name(k)

    def owns(self, k: int) -> bool:
        """Tell whether a key, spare or not, belongs to this process."""
        at = k if k < self._keys else k - self._keys
        return at % self._slice_count == self._slice_index

    def absent_key(self, k: int) -> bytes:
        """Return a name in the slot of key k under which nothing is ever written."""
        return b"%b{%b}:absent:%x" % (self._prefix, tag_for_slot(self.slot(k)), k)

    def slot(self, k: int) -> int:
        """Return the hash slot of a key."""
        if k < self._keys:
            return k * _STRIDE & _MASK
        return (k - self._keys) // self._slice_count

    def assign(
        self, shards: Sequence[Sequence[tuple[int, int]]], *, of_all: bool = False
    ) -> list[list[int]]:
        """Return this process's keys in each shard, by index.

        Neighbours in a list are in slots far from each other, so using a list in order
        probes the whole shard all the time. A shard with slots but none of our keys
        gets the spare key of its first slot. Takes about 0.1 us per key.

        Args:
            shards: for each, its ranges of slots (first, last), last included.
            of_all: the keys of all processes, and the spare keys of this one.

        Returns:
            For each shard a list, empty only for a shard without slots.
        """
        owner = [len(shards)] * SLOTS
        for ordinal, ranges in enumerate(shards):
            for first, last in ranges:
                owner[first : last + 1] = [ordinal] * (last + 1 - first)
        assigned: list[list[int]] = [[] for _ in range(len(shards) + 1)]
        for k in range(self._keys) if of_all else self.owned():
            assigned[owner[k * _STRIDE & _MASK]].append(k)
        assigned.pop()  # keys in slots that no shard serves
        for own, ranges in zip(assigned, shards, strict=True):
            if not own and ranges:
                own.append(self._spare(min(ranges)[0]))
        return assigned

    def _spare(self, slot: int) -> int:
        return self._keys + slot * self._slice_count + self._slice_index

    def _name(self, k: int) -> bytes:
        return b"%b{%b}:%x" % (self._prefix, tag_for_slot(self.slot(k)), k)


Choice = tuple[int, OpKind, bool]
"""What an arrival is: shard ordinal, op, whether its key shall be absent."""


class ArrivalPlan:
    """Which shard an arrival goes to, and what it does: computed from its index.

    Shards take turns: arrival i goes to shard ``i % S``. If S and the number of
    processes N have a common factor, every process would meet some of the shards only;
    then the turn goes back by one after each ``lcm(S, N)`` arrivals, so that the
    distance between two arrivals for a shard is at most S + 1.

    In either case ``S * N`` arrivals hold every (shard, process) exactly once, so
    ``i // (S * N)`` counts the arrivals of a process for a shard. Of these, number m is
    a read iff ``floor((m + 1) r) > floor(m r)`` (Bresenham), with ratio r exact as
    written; misses are chosen among the reads in the same way. Each shard and process
    begins at another place of the pattern, so writes of all are not at one time.

    Args:
        shards: number of shards S, at least 1.
        slice_index: this process.
        slice_count: processes that share the lane, N.
        read_ratio: share of reads, 0 to 1.
        miss_ratio: share of misses among the reads, 0 to 1.

    Attributes:
        shards: number of shards.
        table: all choices of one period, after which they repeat; empty if the period
            is too long to be kept.
    """

    def __init__(
        self,
        shards: int,
        *,
        slice_index: int = 0,
        slice_count: int = 1,
        read_ratio: float,
        miss_ratio: float = 0.0,
    ) -> None:
        if shards < 1 or not 0 <= slice_index < slice_count:
            raise ValueError(
                f"no plan for {shards} shards, slice {slice_index} of {slice_count}"
            )
        if not (0 <= read_ratio <= 1 and 0 <= miss_ratio <= 1):
            raise ValueError(
                f"read ratio {read_ratio} and miss ratio {miss_ratio} must be 0 to 1"
            )
        reads, misses = Fraction(str(read_ratio)), Fraction(str(miss_ratio))
        self.shards = shards
        self._round = shards * slice_count
        self._shift_every = (
            math.lcm(shards, slice_count) if math.gcd(shards, slice_count) > 1 else 0
        )
        self._reads, self._of = reads.numerator, reads.denominator
        self._write_below = self._of - self._reads
        self._misses, self._of_reads = misses.numerator, misses.denominator
        self._hit_below = self._of_reads - self._misses
        self._phases = [
            (slice_index * shards + shard) * self._of // self._round
            for shard in range(shards)
        ]
        self._writes_of = [(s, OpKind.WRITE, False) for s in range(shards)]
        self._hits_of = [(s, OpKind.READ, False) for s in range(shards)]
        self._misses_of = [(s, OpKind.READ, True) for s in range(shards)]
        self._period = self._find_period()
        self.table: list[Choice] = (
            [self._compute(i) for i in range(self._period)]
            if self._period <= _LONGEST_TABLE
            else []
        )

    def lookup(self, i: int) -> Choice:
        """Return what arrival i is."""
        if self.table:
            return self.table[i % self._period]
        return self._compute(i)

    def _find_period(self) -> int:
        """Return after how many arrivals everything repeats."""
        arrivals = self._of
        if self._misses:
            arrivals *= self._of_reads // math.gcd(self._of_reads, self._reads)
        turns = self._shift_every * self.shards or self.shards
        return math.lcm(turns, self._round * arrivals)

    def _compute(self, i: int) -> Choice:
        every = self._shift_every
        shard = (i - i // every if every else i) % self.shards
        scaled = (i // self._round + self._phases[shard]) * self._reads
        if scaled % self._of < self._write_below:
            return self._writes_of[shard]
        if (
            self._misses
            and scaled // self._of * self._misses % self._of_reads >= self._hit_below
        ):
            return self._misses_of[shard]
        return self._hits_of[shard]
