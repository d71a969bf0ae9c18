"""What arrivals are made: by the plan, however many at once, and key after key."""

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadprobe.config.keys import Lane
from loadprobe.core.judging.outcome import OpKind
from loadprobe.core.load.keyspace import ArrivalPlan, Choice, Keyspace
from loadprobe.core.load.values import NIL, ValueCodec
from loadprobe.core.topology.topology import Node, Shard, Topology
from loadprobe.drivers import resp
from loadprobe.drivers.base import Arrival
from loadprobe.probe.content import is_right
from loadprobe.probe.keys import LaneKeys
from loadprobe.probe.making import Maker
from loadprobe.probe.orders import Share


def topology_of(shards: int) -> Topology:
    """Return a topology with slots dealt out evenly."""
    ends = [16384 * i // shards for i in range(shards + 1)]
    return Topology(
        tuple(
            Shard(f"{i + 1:04d}", ((first, last - 1),), Node(f"n{i}", "h", i), (), 1)
            for i, (first, last) in enumerate(pairwise(ends))
        ),
        shards,
    )


class Bench:
    """A maker of one process of a lane."""

    def __init__(
        self, shards: int, *, index: int = 0, count: int = 1, **lane: object
    ) -> None:
        config = Lane(name="tcp", **lane)  # type: ignore[arg-type]
        share = Share(config, index, count, 1, 1)
        keyspace = Keyspace("tcp", config.keys, index, count)
        self.keys = LaneKeys(config, keyspace, version_base=1)
        self.maker = Maker(share, self.keys)
        self.maker.on_topology(topology_of(shards))
        self.next = index
        self.step = count

    def make(self, count: int) -> list[Arrival]:
        """Return the next arrivals of the process."""
        arrivals = [Arrival.__new__(Arrival) for _ in range(count)]
        self.maker.fill(arrivals, self.next)
        self.next += count * self.step
        return arrivals


def choices(arrivals: Sequence[Arrival]) -> list[Choice]:
    """Return what arrivals are."""
    return [
        (int(a.recorder.scope.shard) - 1, a.op, a.op is OpKind.READ and a.key is None)
        for a in arrivals
    ]


@given(
    shards=st.integers(1, 7),
    processes=st.integers(1, 5),
    data=st.data(),
    read_ratio=st.sampled_from([0.0, 0.5, 0.8, 0.33, 0.123, 1.0]),
    miss_ratio=st.sampled_from([0.0, 0.25, 0.007]),
    batches=st.lists(st.integers(1, 2_500), min_size=1, max_size=4),
)
def test_arrivals_are_what_the_plan_says(
    *,
    shards: int,
    processes: int,
    data: st.DataObject,
    read_ratio: float,
    miss_ratio: float,
    batches: list[int],
) -> None:
    """Whatever the number made at once, with a table of any length and without one."""
    index = data.draw(st.integers(0, processes - 1))
    bench = Bench(
        shards,
        index=index,
        count=processes,
        read_ratio=read_ratio,
        miss_ratio=miss_ratio,
        keys=100,
    )
    plan = ArrivalPlan(
        shards,
        slice_index=index,
        slice_count=processes,
        read_ratio=read_ratio,
        miss_ratio=miss_ratio,
    )
    made = [choice for count in batches for choice in choices(bench.make(count))]
    indexes = range(index, index + sum(batches) * processes, processes)
    assert made == [plan.lookup(i) for i in indexes]


@given(shards=st.integers(1, 5), batches=st.lists(st.integers(1, 90), max_size=4))
def test_what_is_pipelined_keeps_together(shards: int, batches: list[int]) -> None:
    """Of what is sent at once each shard gets its share in one piece.

    Neighbours are mostly of one worker: what it sends goes out on one connection.
    """
    bench = Bench(shards, loop="closed", pipeline=16, read_ratio=0.5)
    plain = Bench(shards, loop="closed", read_ratio=0.5)
    for count in batches:
        made, planned = choices(bench.make(count)), choices(plain.make(count))
        assert made == sorted(planned, key=lambda choice: choice[0])


def test_every_round_of_keys_begins_one_later() -> None:
    """Keys are used in turn; no pattern of the schedule meets the same ones always."""
    bench = Bench(1, read_ratio=1.0, keys=5)
    order = [a.slot for a in bench.make(20)]
    first = order[:5]
    assert len(set(first)) == 5
    for turn in range(1, 4):
        part = order[5 * turn : 5 * turn + 5]
        assert part == first[turn:] + first[:turn]


@pytest.mark.parametrize("value_bytes", [32, 255, 256, 1024])
@pytest.mark.parametrize("multi_key", [1, 3])
def test_commands_and_expected_replies_are_whole(
    value_bytes: int, multi_key: int
) -> None:
    """What all long values end with is sent and compared, but not kept for each."""
    bench = Bench(1, keys=4, value_bytes=value_bytes, multi_key=multi_key)
    absent = b"*3\r\n" + NIL * 3 if multi_key == 3 else NIL
    codec = ValueCodec("tcp", value_bytes)
    known: dict[int, list[bytes]] = {}
    for _ in range(60):
        (arrival,) = bench.make(1)
        key = arrival.key
        assert key is not None
        if arrival.op is OpKind.WRITE:
            words = resp.parse(arrival.command)
            assert isinstance(words, list)
            values = words[2::2][:multi_key]  # a TTL comes after them
            indexes = range(key.index * multi_key, (key.index + 1) * multi_key)
            assert values == [codec.encode(i, arrival.version) for i in indexes]
            assert is_right(bench.keys.content, arrival, resp.OK, bench.keys)
            known[key.index] = values
        elif key.index in known:
            expected, values = resp.parse(arrival.expect), known[key.index]
            assert expected == (values if multi_key > 1 else values[0])
            assert is_right(bench.keys.content, arrival, expected, bench.keys)
        else:
            assert arrival.expect == absent
    assert len(known) == 4
    assert sum(scope.wrong for scope in bench.maker.recorders.values()) == 0


@given(
    index=st.integers(0, 2),
    read_ratio=st.sampled_from([0.0, 0.5, 1.0]),
    value_bytes=st.sampled_from([24, 300]),
    batches=st.lists(st.integers(1, 60), min_size=1, max_size=3),
)
def test_a_client_library_is_asked_for_the_same(
    *, index: int, read_ratio: float, value_bytes: int, batches: list[int]
) -> None:
    """It is told in plain values what the wire driver is given as a command."""
    lane = {
        "read_ratio": read_ratio,
        "miss_ratio": 0.25,
        "keys": 20,
        "value_bytes": value_bytes,
    }
    wire = Bench(3, index=index, count=3, **lane)
    plain = Bench(3, index=index, count=3, driver="redis-py", **lane)
    for count in batches:
        for sent, told in zip(wire.make(count), plain.make(count), strict=True):
            asked = told.asked
            assert asked is not None
            words = [asked.key]
            if asked.value is not None:
                words += [asked.value, b"EX", b"%d" % asked.ttl_s]
            verb = b"GET" if asked.value is None else b"SET"
            assert resp.parse(sent.command) == [verb, *words]
            assert (sent.op, sent.slot, sent.version) == (
                told.op,
                told.slot,
                told.version,
            )
            assert sent.recorder.scope == told.recorder.scope
            assert (sent.key is None) is (told.key is None)
            reply = b"OK" if asked.value else None
            assert is_right(wire.keys.content, sent, reply, wire.keys) is is_right(
                plain.keys.content, told, reply, plain.keys
            )
    for own, other in zip(
        wire.maker.recorders.values(), plain.maker.recorders.values(), strict=True
    ):
        assert own.absent == other.absent
