"""Which keys are renewed, when, and what of it is relied on."""

from typing import Any

import pytest

from loadprobe.clock import NS_PER_S, boot_now_ns
from loadprobe.config.keys import Lane
from loadprobe.core.judging.columns import Scope
from loadprobe.core.judging.outcome import OpKind
from loadprobe.core.load.foreign_key import ForeignKey
from loadprobe.core.load.lifetimes import LONG_AGO, Lifetimes
from loadprobe.core.load.recorder import ScopeRecorder
from loadprobe.core.load.values import NIL
from loadprobe.drivers.base import Arrival
from loadprobe.probe import lane as lane_module
from tests.support.expiring import MS, START_NS, TTL_S, Answer, Rig, rig
from tests.support.probe_bench import START, Bench, Store

S = NS_PER_S


def judged(made: Rig, number: int, *, wait_ns: int = 10 * MS) -> bool:
    """Read a key now, and return whether the reply was right."""
    found: list[bool] = []

    def judge(arrival: Arrival, reply: object, _: bool) -> None:
        found.append(made.is_right(arrival, reply))

    made.read(number, judge)
    made.run(wait_ns)
    return found[0]


def asked(made: Rig, name: bytes) -> int:
    """Return how often the server was asked for something."""
    return made.server.asked.get(name, 0)


def test_keys_that_are_written_often_are_not_renewed() -> None:
    """What the load writes anyway costs nothing beside it."""
    with rig() as made:
        made.fill()
        for _ in range(12):
            for number in range(4):
                made.write(number)
            made.run(10 * S)
        assert asked(made, b"EXPIRE") == 0
        assert made.renewing.take_renewed() == 0


def test_keys_that_are_not_written_are_renewed() -> None:
    """Each about every third of the TTL, and it is told how many."""
    with rig(keys=40) as made:
        made.fill()
        made.run(10 * TTL_S * S)
        renewed = made.renewing.take_renewed()
        assert renewed == asked(made, b"EXPIRE")
        assert 40 * 10 * 2 <= renewed <= 40 * 10 * 3
        assert asked(made, b"SET") == 40
        assert made.renewing.take_renewed() == 0


def test_renewals_are_spread() -> None:
    """Keys that were all written at once are not all renewed at once."""
    with rig(keys=400, ttl_s=TTL_S) as made:
        made.fill()
        most = before = 0
        for _ in range(60 * 20):
            made.run(50 * MS)
            now = asked(made, b"EXPIRE")
            most, before = max(most, now - before), now
        assert before >= 400
        # 400 keys in an eighth of 40 s are four in 50 ms.
        assert most <= 6


def test_nothing_is_renewed_without_a_ttl() -> None:
    """Then nothing expires, and a key that is gone is lost after any time."""
    with rig(ttl_s=0) as made:
        made.fill()
        made.write(1)
        made.run(100 * TTL_S * S)
        assert asked(made, b"EXPIRE") == asked(made, b"PERSIST") == 0
        assert judged(made, 1)
        made.server.lose(made.name(1), made.now_ns)
        made.server.lose(made.name(2), made.now_ns)
        assert not judged(made, 1)
        assert not judged(made, 2)
        assert made.keys.is_lost(1, None, acked=made.keys.record(1).acked_version)


def test_a_stopped_probe_accuses_nobody() -> None:
    """Keys that expired meanwhile are neither lost nor wrong, and are written anew."""
    with rig() as made:
        made.fill()
        made.write(0)
        made.run(S)
        made.stop(2 * TTL_S * S)
        assert all(made.server.get(made.name(n), made.now_ns) is None for n in range(4))
        assert judged(made, 0)
        assert judged(made, 1)
        made.run(TTL_S * S)
        assert all(made.server.get(made.name(n), made.now_ns) for n in range(4))
        assert judged(made, 0)
        made.server.lose(made.name(0), made.now_ns)
        assert not judged(made, 0)


def test_without_a_prefill_expired_keys_stay_away() -> None:
    """What nobody wrote before the load is not written beside it."""
    with rig(prefill=False) as made:
        made.write(0)
        made.run(S)
        made.stop(2 * TTL_S * S)
        assert judged(made, 0)
        made.run(TTL_S * S)
        assert asked(made, b"SET") == 1
        assert made.keys.is_lost(0, None, acked=1) is None


def test_an_expired_key_that_cannot_be_written_yet() -> None:
    """It is tried again until it works, and the ledger knows each try."""
    with rig(keys=1) as made:
        made.fill()
        made.stop(2 * TTL_S * S)
        made.is_reachable = False
        assert judged(made, 0)
        record = made.keys.record(0)
        made.run(S)
        assert record.value is NIL
        made.is_reachable = True
        made.run(S)
        assert record.settled_version > 1
        assert judged(made, 0)


def test_an_expired_key_that_the_load_writes() -> None:
    """It is not written once more."""
    with rig(keys=1) as made:
        made.fill()
        made.stop(2 * TTL_S * S)
        made.write(0, there_ns=10 * MS, back_ns=10 * MS)
        assert judged(made, 0, wait_ns=S)
        assert asked(made, b"SET") == 2
        assert made.keys.gone == set()


def test_a_failover_may_lose_the_last_renewal() -> None:
    """The key ends with the renewal before; nobody could renew it: it is not lost."""
    with rig(keys=1) as made:
        made.fill()
        made.run(S)
        while not asked(made, b"EXPIRE"):
            made.run(50 * MS)
        made.run(50 * MS)
        first_ns = made.keys.record(0).renewed_ns
        made.server.go_back(500 * MS, made.now_ns)
        made.is_reachable = False
        made.run(START_NS + TTL_S * S - made.now_ns)
        assert made.server.get(made.name(0), made.now_ns) is None
        assert made.now_ns - first_ns < 0.8 * TTL_S * S
        assert judged(made, 0)


def test_a_renewal_that_comes_after_a_read() -> None:
    """A read finds nothing, a write follows, and a renewal finds that: all is well."""
    with rig(keys=1) as made:
        made.fill()
        record = made.keys.record(0)
        made.stop(TTL_S * S + S)
        found: list[bool] = []

        def judge(arrival: Arrival, reply: object, _: bool) -> None:
            assert reply is None
            record.renewed(arrival.sent - MS, made.now_ns)
            record.renewed(arrival.sent - MS, made.now_ns)
            found.append(made.is_right(arrival, reply))

        made.read(0, judge)
        made.write(0, there_ns=2 * MS)
        made.run(10 * MS)
        assert found == [True]


def test_a_write_that_comes_after_a_read() -> None:
    """A read finds nothing, a write that was sent later is acknowledged first."""
    with rig(keys=1, prefill=False) as made:
        made.write(0)
        made.run(S)
        made.is_reachable = False
        made.run(TTL_S * S)
        made.delay_ns = 5 * MS
        found: list[bool] = []

        def judge(arrival: Arrival, reply: object, _: bool) -> None:
            assert reply is None
            assert made.keys.record(0).acked_version == 2
            found.append(made.is_right(arrival, reply))
            assert made.keys.record(0).value is not NIL, "what was written later is"

        made.read(0, judge)
        made.write(0, there_ns=6 * MS, back_ns=MS)
        made.run(20 * MS)
        assert found == [True]
        assert judged(made, 0)


def test_a_write_that_comes_after_a_renewal() -> None:
    """A renewal finds nothing, but what was written later is there, and may be lost."""
    with rig(keys=1) as made:
        made.fill()
        asked_for: list[bytes] = []
        answer = Answer()

        def request(_slot: int, command: bytes) -> Any:
            asked_for.append(command.split(b"\r\n")[2])
            return answer

        made.renewing.attach(request)
        made.stop(2 * TTL_S * S)
        made.run(TTL_S * S // 8)
        assert asked_for == [b"EXPIRE"]
        made.write(0)
        made.run(10 * MS)
        answer.set(0)
        assert made.keys.gone == set()
        made.server.lose(made.name(0), made.now_ns)
        assert not judged(made, 0)


def test_another_cluster_knows_no_renewals() -> None:
    """There only writes count; from then on all keys are renewed, and count again."""
    with rig(keys=2) as made:
        made.fill()
        version = made.write(0)
        made.run(5 * TTL_S * S)
        assert made.keys.is_lost(0, None, acked=version) is True
        assert made.keys.is_lost(0, None, acked=version, by_renewals=False) is None
        made.keys.lifetimes.move(made.now_ns)
        assert made.keys.is_lost(0, None, acked=version) is None
        before = asked(made, b"EXPIRE")
        made.run(TTL_S * S // 7)
        assert asked(made, b"EXPIRE") >= before + 2
        made.run(TTL_S * S)
        assert made.keys.is_lost(0, None, acked=version) is True


def test_while_writes_are_held_nothing_is_sent() -> None:
    """Neither renewals nor keys that have expired; later all goes on."""
    with rig() as made:
        made.fill()
        made.renewing.hold(is_held=True)
        made.run(TTL_S * S // 2)
        assert asked(made, b"EXPIRE") == 0
        made.renewing.hold(is_held=False)
        made.run(TTL_S * S // 4)
        assert asked(made, b"EXPIRE") >= 4


def test_a_silent_shard_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is outstanding there is bounded, and the keys of others are renewed."""
    with rig(keys=200, ttl_s=TTL_S) as made:
        made.fill()
        silent = {number for number in range(200) if number % 2}
        shards = {True: "0001", False: "0002"}
        monkeypatch.setattr(made.renewing, "_shard_of", lambda n: shards[n in silent])
        real = made.request
        names = {made.keys.record(n).slot: n for n in range(200)}

        def request(slot: int, command: bytes) -> Any:
            if names[slot] in silent:
                return _Never()
            return real(slot, command)

        made.renewing.attach(request)
        made.run(3 * TTL_S * S)
        assert made.renewing.out["0001"] == 32
        assert made.renewing.out["0002"] <= 2
        there = [made.server.get(made.name(n), made.now_ns) for n in range(200)]
        assert all(there[n] for n in range(200) if n not in silent)
        assert not any(there[n] for n in silent)


class _Never:
    """An answer that does not come."""

    def add_done_callback(self, call: object) -> None:
        """Keep nothing."""


@pytest.mark.parametrize(
    ("lane", "is_renewed"),
    [
        ({"read_only": True, "prefill": False, "read_ratio": 1.0}, False),
        ({"read_only": True}, False),
        ({"prefill": False, "read_ratio": 1.0}, False),
        ({"read_ratio": 1.0}, True),
        ({"prefill": False, "read_ratio": 0.5}, True),
        ({"ttl_s": 0}, False),
        ({"multi_key": 2}, False),
    ],
)
def test_lanes_that_write_nothing_renew_nothing(
    lane: dict[str, Any], is_renewed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither those that only read, nor those whose keys have no TTL."""
    sent: list[bytes] = []

    def request(_store: Store, _slot: int, command: bytes) -> Any:
        sent.append(command)
        return _Never()

    monkeypatch.setattr(Store, "request", request)
    bench = Bench(**lane)
    for number in range(40):
        bench.lane.keys.remember(number, 1)
    now = boot_now_ns()
    monkeypatch.setattr(lane_module, "boot_now_ns", lambda: now)
    for _ in range(30_000):
        now += 100 * MS
        bench.lane.give_up(START)
    assert bool(sent) is is_renewed
    assert all(b"EXPIRE" in command for command in sent)


@pytest.mark.parametrize(
    ("lane", "ttl_s"),
    [
        ({}, 3600),
        ({"keys": 450_000}, 3600),
        ({"keys": 10_000_000}, 80_000),
        ({"keys": 10_000_000, "ttl_s": 7}, 7),
        ({"ttl_s": 0}, 0),
        ({"multi_key": 2}, 0),
    ],
)
def test_the_ttl_of_a_lane(lane: dict[str, Any], ttl_s: int) -> None:
    """An hour, or as long as it takes to renew very many keys, or what was asked."""
    assert Lane("tcp", **lane).key_ttl_s == ttl_s


def test_versions_tell_when_they_were_made() -> None:
    """Never too late a time, and never earlier than it has to be."""
    lifetimes = Lifetimes(64, now_ns=0, version=100)
    assert lifetimes.made_ns(99) == LONG_AGO
    assert lifetimes.made_ns(100) == 0
    for second in range(1, 200):
        lifetimes.note(second * S, 100 + second)  # one each second
    for version in range(270, 298):
        made_s = version - 100
        assert made_s - 1 <= lifetimes.made_ns(version) // S <= made_s
    assert lifetimes.made_ns(110) == LONG_AGO, "older than any TTL"
    lifetimes.note(1_000 * S, 299)
    assert lifetimes.made_ns(299) == 1_000 * S, "nothing was made in between"


def test_what_another_lane_wrote() -> None:
    """A value that followed another was written after that one had been read."""
    with rig(keys=1) as made:
        key = _foreign_key(made)

        def read(version: int | None, at_s: int) -> bool:
            return _is_right_of(made, key, version, at_s)

        assert read(7, 1_000)
        assert read(None, 1_001), "nobody knows when it was written"
        assert key.value is NIL
        assert read(7, 1_002)
        assert key.value is not NIL, "it is there after all"
        assert read(8, 1_010)
        assert not read(None, 1_000 + TTL_S - 5), "it was written after 1,000 s"
        assert read(8, 1_011)
        assert read(None, 1_001 + TTL_S)


def test_another_cluster_may_have_an_older_copy_of_what_another_lane_wrote() -> None:
    """A value that is found after a cut-over may be older than one that was before."""
    with rig(keys=1) as made:
        key = _foreign_key(made)
        assert _is_right_of(made, key, 7, 1_000)
        assert _is_right_of(made, key, 8, 1_010)
        made.keys.lifetimes.move(1_011 * S)
        assert _is_right_of(made, key, 6, 1_012), "an older one: a copy may lag behind"
        assert _is_right_of(made, key, None, 1_013), "it has the end of the older one"


def _foreign_key(made: Rig) -> ForeignKey:
    slot = made.keys.space.slot(0)
    return ForeignKey(0, slot=slot, read_slot=slot, get=b"", set_head=b"")


def _is_right_of(made: Rig, key: ForeignKey, version: int | None, at_s: int) -> bool:
    """Tell whether it is right to read a version of a key, or nothing, at a time."""
    made.now_ns = at_s * S
    arrival = _arrival_of(key, made.now_ns)
    reply = made.keys.content.encode(0, version) if version else None
    value = None if reply is None else reply[reply.index(b"\r\n") + 2 : -2]
    return made.is_right(arrival, value)


def _arrival_of(key: ForeignKey, sent_ns: int) -> Arrival:
    recorder = ScopeRecorder(Scope("tcp", "0001", OpKind.READ))
    return Arrival(
        sent_ns,
        recorder,
        0,
        OpKind.READ,
        key,
        key.slot,
        b"",
        key.value,
        key.acked_version,
        key.value,
        sent=sent_ns,
    )
