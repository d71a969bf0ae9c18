"""Makes arrivals: which shard, which operation, which key."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter

from loadprobe.core.judging.columns import Scope
from loadprobe.core.judging.outcome import OpKind
from loadprobe.core.load.key_record import KeyRecord
from loadprobe.core.load.keyspace import ArrivalPlan, Choice
from loadprobe.core.load.recorder import ScopeRecorder
from loadprobe.core.load.values import NIL
from loadprobe.core.topology.topology import Topology
from loadprobe.drivers import resp
from loadprobe.drivers.base import Arrival
from loadprobe.probe.content import SingleKeys
from loadprobe.probe.keys import LaneKeys
from loadprobe.probe.orders import Share

Fill = Callable[[Sequence[Arrival], int], None]

_LAYOUT_STRIDE = 977
# Arrivals of a turn are looked up at once: a period may be as short as six.
_LEAST_TABLE = 1_000
# Names of this module are found faster than members of an enum.
_READ, _WRITE = OpKind.READ, OpKind.WRITE


@dataclass(frozen=True, slots=True)
class _Load:
    """What is needed to make an arrival of one kind for one shard.

    Args:
        ordinal: of the shard.
        op: read or write.
        is_miss: whether its key shall be absent.
        next_key: gives a key of the shard.
        recorder: where it is recorded.
    """

    ordinal: int
    op: OpKind
    is_miss: bool
    next_key: Callable[[], KeyRecord]
    recorder: ScopeRecorder


_ordinal = attrgetter("ordinal")


def _rounds(
    numbers: Sequence[int], first: int, record: Callable[[int], KeyRecord]
) -> Iterator[Iterable[KeyRecord]]:
    """Yield all keys again and again. Each round begins one later: no pattern repeats.

    Args:
        numbers: of the keys, at least one.
        first: where the first round begins.
        record: returns the record of a key; asked when it is used first.
    """
    assert numbers, "arrivals were planned for a shard without slots"
    at = first % len(numbers)
    ring: deque[KeyRecord] = deque()
    yield _collected(map(record, chain(numbers[at:], numbers[:at])), ring)
    while True:
        ring.rotate(-1)
        yield ring


def _collected(
    records: Iterable[KeyRecord], ring: deque[KeyRecord]
) -> Iterator[KeyRecord]:
    """Yield records and add them to a ring."""
    for key in records:
        ring.append(key)
        yield key


def _complete(arrivals: Sequence[Arrival], tail: bytes) -> None:
    """Add to expected values what all values end with."""
    for arrival in arrivals:
        if arrival.op is not _WRITE and arrival.expect is not NIL:
            arrival.expect += tail


class Maker:
    """Makes the arrivals of a share of a lane.

    Args:
        share: which lane, and which part of it.
        keys: the keys of the share.

    Attributes:
        fill: sets everything of arrivals but worker and due (cheaper than a
            constructor), given those that follow each other in the schedule of this
            process, and the index of the first of them.
        recorders: where the arrivals of each scope are recorded.
    """

    def __init__(self, share: Share, keys: LaneKeys) -> None:
        self._share = share
        self._keys = keys
        self._step = share.slice_count
        self._keeps_together = share.lane.pipeline > 1
        self._read = OpKind.REPLICA_READ if share.lane.reads_replicas else _READ
        self.fill: Fill = self._fill if share.lane.is_witness else self._fill_plainly
        self._plan: ArrivalPlan | None = None
        self._loads: dict[Choice, _Load] = {}
        self._table: list[_Load] = []
        self._layout: list[tuple[str, tuple[tuple[int, int], ...]]] = []
        self._layouts = 0
        self._holds_writes = False
        self.recorders: dict[Scope, ScopeRecorder] = {}

    def on_topology(self, topology: Topology) -> None:
        """Choose keys anew, so that every shard of the topology is probed evenly.

        Takes about 0.1 us per key, and nothing if slots stayed where they are: a
        failover moves none.
        """
        layout = [(shard.name, shard.ranges) for shard in topology.shards]
        if layout == self._layout:
            return
        self._layout = layout
        ranges = [shard.ranges for shard in topology.shards]
        assigned = self._keys.space.assign(ranges)
        # Lanes that share their keys read what the others write.
        is_shared = self._share.is_shared
        read = self._keys.space.assign(ranges, of_all=True) if is_shared else assigned
        self._loads = {}
        for ordinal, (shard, keys, read_keys) in enumerate(
            zip(topology.shards, assigned, read, strict=True)
        ):
            # While slots move, layouts follow each other: not all from the first key.
            first = self._layouts * _LAYOUT_STRIDE
            rounds = _rounds(keys, first, self._keys.record)
            next_key = next_read = chain.from_iterable(rounds).__next__
            if is_shared:
                rounds = _rounds(read_keys, first, self._keys.record)
                next_read = chain.from_iterable(rounds).__next__
            reads = self._recorder(Scope(self._share.lane.name, shard.name, self._read))
            writes = self._recorder(Scope(self._share.lane.name, shard.name, _WRITE))
            self._loads |= {
                (ordinal, _READ, False): _Load(
                    ordinal, self._read, False, next_read, reads
                ),
                (ordinal, _READ, True): _Load(
                    ordinal, self._read, True, next_key, reads
                ),
                (ordinal, _WRITE, False): _Load(
                    ordinal, _WRITE, False, next_key, writes
                ),
            }
        self._layouts += 1
        if self._plan is None or len(assigned) != self._plan.shards:
            self._plan = self._make_plan(len(assigned))
        self._make_table()

    def hold_writes(self, *, is_held: bool) -> None:
        """Read where the schedule says write, or do as it says again."""
        self._holds_writes = is_held
        if self._plan is not None:
            self._plan = self._make_plan(self._plan.shards)
            self._make_table()

    def _make_plan(self, shards: int) -> ArrivalPlan:
        lane = self._share.lane
        return ArrivalPlan(
            shards,
            slice_index=self._share.slice_index,
            slice_count=self._share.slice_count,
            read_ratio=1.0 if self._holds_writes else lane.read_ratio,
            miss_ratio=lane.miss_ratio,
        )

    def _make_table(self) -> None:
        assert self._plan is not None
        # A period is a whole number of turns of all processes.
        own = self._plan.table[self._share.slice_index :: self._step]
        table = [self._loads[choice] for choice in own]
        self._table = table * (_LEAST_TABLE // len(table) + 1) if table else []

    def _recorder(self, scope: Scope) -> ScopeRecorder:
        recorder = self.recorders.get(scope)
        if recorder is None:
            recorder = self.recorders[scope] = ScopeRecorder(scope)
        return recorder

    def _fill(self, arrivals: Sequence[Arrival], index: int) -> None:
        """Fill for the wire driver, which sends commands as they are made here."""
        keys = self._keys
        encode, end = keys.content.encode, keys.content.end
        version, write, written = keys.version, _WRITE, resp.OK_REPLY
        loads = self._find_loads(index, len(arrivals))
        if self._keeps_together:
            loads.sort(key=_ordinal)
        for arrival, load in zip(arrivals, loads, strict=True):
            key = load.next_key()
            arrival.recorder = load.recorder
            arrival.op = op = load.op
            arrival.sent = 0
            arrival.redirects = 0
            arrival.decided = False
            if op is write:
                value = encode(key.index, version)
                key.begin_write(version)
                arrival.key = key
                arrival.slot = key.slot
                arrival.command = key.set_head + value + end
                arrival.expect = written
                arrival.version = version
                arrival.value = value
                version += 1
            elif load.is_miss:
                arrival.key = None
                arrival.slot = key.read_slot
                arrival.expect = arrival.value = keys.content.absent
                arrival.command = keys.content.encode_absent(key.index)
                load.recorder.absent += 1
                arrival.version = 0
            else:
                arrival.key = key
                arrival.slot = key.read_slot
                arrival.command = key.get
                arrival.expect = arrival.value = key.value
                arrival.version = key.acked_version
        keys.version = version
        if keys.content.tail:
            _complete(arrivals, keys.content.tail)

    def _fill_plainly(self, arrivals: Sequence[Arrival], index: int) -> None:
        """Fill for a client library, which is told what to do and encodes it."""
        keys, content = self._keys, self._keys.content
        assert isinstance(content, SingleKeys), "libraries are asked for one key each"
        loads = self._find_loads(index, len(arrivals))
        for arrival, load in zip(arrivals, loads, strict=True):
            key = load.next_key()
            arrival.recorder = load.recorder
            arrival.op = load.op
            arrival.key = key
            arrival.slot = key.slot
            arrival.sent = 0
            arrival.redirects = 0
            arrival.decided = False
            if load.op is _WRITE:
                version = keys.version
                keys.version = version + 1
                key.begin_write(version)
                arrival.version = version
                arrival.value = content.encode(key.index, version)
                arrival.asked = content.ask_write(key.index, version)
            elif load.is_miss:
                load.recorder.absent += 1
                arrival.key = None
                arrival.version = 0
                arrival.value = content.absent
                arrival.asked = content.ask_absent(key.index)
            else:
                arrival.version = key.acked_version
                arrival.value = key.value
                arrival.asked = content.ask_read(key.index)

    def _find_loads(self, index: int, count: int) -> list[_Load]:
        """Return what to make of arrivals that follow each other in our schedule."""
        table, step = self._table, self._step
        if not table:
            assert self._plan is not None
            indexes = range(index, index + count * step, step)
            return [self._loads[self._plan.lookup(i)] for i in indexes]
        at = index // step % len(table)
        loads = table[at : at + count]
        while len(loads) < count:
            loads += table[: count - len(loads)]
        return loads

    def shard_of(self, key: int) -> str:
        """Return the shard that a key belongs to."""
        slot = self._keys.space.slot(key)
        return next(
            name
            for name, ranges in self._layout
            if any(first <= slot <= last for first, last in ranges)
        )
