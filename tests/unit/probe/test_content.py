"""What replies say about keys and sets of keys, and what is called wrong or stale."""

from typing import Any

import hiredis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadprobe.config.keys import Client, Lane
from loadprobe.core.judging.columns import Scope
from loadprobe.core.judging.outcome import OpKind
from loadprobe.core.load.key_record import KeyRecord
from loadprobe.core.load.keyspace import Keyspace
from loadprobe.core.load.recorder import ScopeRecorder
from loadprobe.core.topology.slots import READS
from loadprobe.drivers import resp
from loadprobe.drivers.base import Arrival
from loadprobe.probe.content import Content, is_right
from loadprobe.probe.keys import LaneKeys
from loadprobe.probe.plan import share_out
from tests.support.key_slots import key_slot

COUNT = 3
Values = list[bytes | None]


class Asked:
    """The content of a lane with one key or set, and what was asked about it."""

    def __init__(self, op: OpKind = OpKind.READ, **lane: Any) -> None:
        config = Lane(name="tcp", keys=8, **lane)
        self.keys = LaneKeys(config, Keyspace("tcp", 8, 0, 1), version_base=1)
        self.content: Content = self.keys.content
        self.key: KeyRecord = self.content.make_key(5)
        self.recorder = ScopeRecorder(Scope("tcp", "0001", op))

    def write(self, version: int) -> None:
        """Write a version, and let it be acknowledged."""
        value = self.content.encode(5, version)
        self.key.begin_write(version)
        self.key.acked(version, value)

    def command(self, version: int) -> list[bytes]:
        """Return the words of the command that writes a version."""
        value = self.content.encode(5, version) + self.content.end
        words = resp.parse(self.key.set_head + value)
        assert isinstance(words, list)
        return words

    def values(self, version: int) -> Values:
        """Return the values of a version."""
        words = [word for word in self.command(version) if word not in (b"EX", b"3600")]
        return list(words[2::2])

    def read(self) -> Arrival:
        """Return a read that is sent now."""
        return Arrival(
            0,
            self.recorder,
            0,
            OpKind.READ,
            self.key,
            self.key.read_slot,
            self.key.get,
            self.key.value,
            self.key.acked_version,
            self.key.value,
        )

    def is_right(self, arrival: Arrival, reply: object) -> bool:
        """Judge a reply."""
        return is_right(self.content, arrival, reply, self.keys)


def test_the_commands_of_a_set() -> None:
    """All keys of a set lie in its slot; MSET and MGET are about the same ones."""
    asked = Asked(multi_key=COUNT)
    verb, *words = asked.command(7)
    mget = resp.parse(asked.key.get)
    assert verb == b"MSET"
    assert mget == [b"MGET", *words[::2]]
    assert len(set(words[::2])) == len(set(words[1::2])) == COUNT
    assert {key_slot(name) for name in words[::2]} == {asked.key.slot}
    absent = resp.parse(asked.content.encode_absent(5))
    assert isinstance(absent, list)
    assert not {*absent[1:]} & {*words}
    assert resp.parse(asked.content.absent) == [None] * COUNT


def test_a_set_expects_its_last_acknowledged_values() -> None:
    """What is compared first is the whole reply, encoded."""
    asked = Asked(multi_key=COUNT)
    assert asked.key.value == asked.content.absent
    asked.write(1)
    asked.write(2)
    assert resp.parse(asked.key.value) == asked.values(2)


def test_a_set_on_its_way() -> None:
    """A write that was not acknowledged yet may be read, and counts from then on."""
    asked = Asked(multi_key=COUNT)
    asked.write(1)
    arrival = asked.read()
    asked.key.begin_write(2)
    assert asked.is_right(arrival, asked.values(2))
    assert resp.parse(asked.key.value) == asked.values(2)
    assert (asked.recorder.wrong, asked.recorder.stale) == (0, 0)


def test_an_old_set_is_stale() -> None:
    """A version older than an acknowledged one is served, and counted as stale."""
    asked = Asked(multi_key=COUNT)
    asked.write(1)
    asked.write(2)
    assert asked.is_right(asked.read(), asked.values(1))
    assert (asked.recorder.wrong, asked.recorder.stale) == (0, 1)


@pytest.mark.parametrize("torn", [0, 1, 2])
def test_a_torn_set_is_wrong(torn: int) -> None:
    """MSET is carried out as a whole, so no two versions may be read together."""
    asked = Asked(multi_key=COUNT)
    asked.write(1)
    arrival = asked.read()
    asked.key.begin_write(2)
    values = asked.values(1)
    values[torn] = asked.values(2)[torn]
    assert not asked.is_right(arrival, values)
    assert asked.recorder.wrong == 1


@given(st.integers(0, COUNT - 1), st.none() | st.binary(max_size=80))
def test_one_wrong_key_makes_a_set_wrong(at: int, other: bytes | None) -> None:
    """Whatever stands in the place of one value, the arrival is not served."""
    asked = Asked(multi_key=COUNT)
    asked.write(1)
    values = asked.values(1)
    values[at] = other
    assert not asked.is_right(asked.read(), values)
    assert asked.recorder.wrong == 1


@pytest.mark.parametrize(
    "reply", [None, b"", [], 1, hiredis.ReplyError("ERR"), [None] * (COUNT + 1)]
)
def test_what_is_no_set_at_all(reply: object) -> None:
    """A reply of another shape is wrong, also before anything was written."""
    asked = Asked(multi_key=COUNT)
    assert not asked.is_right(asked.read(), reply)
    assert asked.recorder.wrong == 1


@pytest.mark.parametrize("count", [1, COUNT])
def test_a_replica_that_knows_nothing_yet_is_stale(count: int) -> None:
    """The primary that lost a key is wrong; a replica without it is behind."""
    nothing = None if count == 1 else [None] * count
    lane = {"multi_key": count, "read_from": "replica"}
    primary = Asked(multi_key=count)
    replica = Asked(OpKind.REPLICA_READ, **lane)
    for asked in (primary, replica):
        asked.write(1)
    assert not primary.is_right(primary.read(), nothing)
    assert replica.is_right(replica.read(), nothing)
    assert (primary.recorder.wrong, primary.recorder.stale) == (1, 0)
    assert (replica.recorder.wrong, replica.recorder.stale) == (0, 1)


def test_a_wrong_value_of_a_replica_is_wrong() -> None:
    """Only what is behind is excused."""
    asked = Asked(OpKind.REPLICA_READ, read_from="any")
    asked.write(1)
    assert not asked.is_right(asked.read(), b"not ours")
    assert asked.recorder.wrong == 1


def test_reads_of_replicas_are_routed_apart() -> None:
    """Writes keep their slot; reads get one of the second half of the table."""
    plain, apart = Asked().key, Asked(read_from="any").key
    assert plain.read_slot == plain.slot == apart.slot
    assert apart.read_slot == apart.slot + READS


@pytest.mark.parametrize(
    ("read_from", "expected"),
    [(None, False), ("primary", False), ("random-replica", True), ("random", True)],
)
def test_clients_that_may_read_from_replicas(read_from: Any, expected: bool) -> None:
    """A client library's own setting decides for its lane."""
    client = Client(read_from=read_from)
    lane = Lane(name="app", driver="redis-py", client=client)
    assert lane.reads_replicas is expected


@pytest.mark.parametrize("count", [1, COUNT])
def test_a_lane_that_only_reads_takes_what_is_there(count: int) -> None:
    """Nil and any intact value are right, whoever wrote it; damage is wrong as ever."""
    asked = Asked(read_only=True, multi_key=count)
    other = Asked(multi_key=count)
    is_set = count > 1
    found = {n: other.values(n) if is_set else other.values(n)[0] for n in (7, 3)}
    nothing = [None] * count if is_set else None
    for reply in (nothing, found[7], nothing, found[3], found[7]):
        assert asked.is_right(asked.read(), reply)
    assert not asked.is_right(asked.read(), b"damaged")
    assert (asked.recorder.wrong, asked.recorder.stale) == (1, 0)


def test_a_lane_that_only_reads_writes_nothing() -> None:
    """Whatever its other keys say, its processes neither prefill nor write."""
    lane = Lane(name="tcp", read_only=True, read_ratio=0.2)
    ((share,),) = share_out([lane])
    assert (share.lane.read_ratio, share.lane.prefill) == (1.0, False)
