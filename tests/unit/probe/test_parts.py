"""The small parts of a probe process: recorder, frames, shares of the load, lag."""

import asyncio
from array import array

import msgspec
import pytest

from loadprobe.config.keys import Lane, Probe, Target
from loadprobe.core.judging.columns import Failure, Scope
from loadprobe.core.judging.outcome import ErrorClass, OpKind, Outcome
from loadprobe.core.load.recorder import ScopeRecorder
from loadprobe.core.topology.topology import single
from loadprobe.probe.beat import Beat
from loadprobe.probe.frames import (
    HEADER_BYTES,
    MAX_FRAME_BYTES,
    decode_from_probe,
    decode_to_probe,
    encode_frame,
    frame_length,
)
from loadprobe.probe.lag import Lag
from loadprobe.probe.messages import (
    Acknowledged,
    Finished,
    FromProbe,
    LaneHealth,
    LookedUp,
    PrefillProgress,
    ProbeFailed,
    ProbeSnapshot,
    ReadBack,
    Ready,
    ScopeBlock,
    TopologySeen,
)
from loadprobe.probe.orders import (
    Plan,
    Share,
    Start,
    Stop,
    ToProbe,
    UseEndpoint,
    UseLogin,
)
from loadprobe.probe.plan import share_out

MS = 1_000_000
SCOPE = Scope("tcp", "0001", OpKind.WRITE)
FAILURE = Failure(1, 2, -1, Outcome.UNKNOWN, ErrorClass.TIMEOUT, 3, 4)


def test_recorders_give_what_they_took_and_forget_it() -> None:
    """A block holds the columns in order; one that holds nothing is left out."""
    recorder = ScopeRecorder(SCOPE)
    recorders = [recorder, ScopeRecorder(Scope("tcp", "0002", OpKind.READ))]
    assert ScopeBlock.take(recorders) == []
    for number in (10, 20):
        recorder.add_served(number, number + 1, number + 5)
    recorder.add_failure(FAILURE)
    assert ScopeBlock.take(recorders) == [
        ScopeBlock(
            "tcp",
            "0001",
            int(OpKind.WRITE),
            array("q", [10, 20]).tobytes(),
            array("q", [11, 21]).tobytes(),
            array("q", [15, 25]).tobytes(),
            array("q", FAILURE).tobytes(),
        )
    ]
    assert ScopeBlock.take(recorders) == []
    recorder.add_served(30, 30, 30)
    (again,) = ScopeBlock.take(recorders)
    assert again.due == array("q", [30]).tobytes()
    assert again.failures == b""


def test_failures_alone_make_a_block() -> None:
    """A scope in which nothing was served is heard of, too."""
    recorder = ScopeRecorder(SCOPE)
    recorder.add_failure(FAILURE)
    (block,) = ScopeBlock.take([recorder])
    assert (block.due, len(block.failures)) == (b"", 7 * 8)


_LANE = Lane(name="tcp", workers=3)
_TO_PROBE: list[ToProbe] = [
    Plan(0, {"tcp": Target("h")}, "p", Probe(), (Share(_LANE, 0, 1, 3, 3),), 7, True),
    Plan(0, {}, None, Probe(), (), 7, False, {"tcp": single("h", 1)}, {"tcp": 2}),
    UseEndpoint(True, "h", 6380, None),
    UseEndpoint(False, "h", 6379, 3),
    UseLogin("user", "secret", 0.5),
    UseLogin(None, None),
    Start(1, 2),
    Stop(3),
]
_FROM_PROBE: list[FromProbe] = [
    PrefillProgress(0, "tcp", 1, 2, 3),
    Ready(1, 4711, {"tcp": ("0001", "0002")}),
    TopologySeen(1, "tcp", single("h", 1)),
    TopologySeen(1, "tcp", single("h", 1), 2),
    ProbeSnapshot(
        0,
        1,
        2,
        3,
        [ScopeBlock("tcp", "0001", 0, b"a" * 8, b"b" * 8, b"c" * 8, b"")],
        [LaneHealth("tcp", {}, {"moved": 1}, {}, [5], 0, 0, 0, 0, 0, 0, {}, {}, {})],
        [(1, 2)],
        b"",
        [],
        4,
        5,
    ),
    ReadBack(0, "tcp", 1, 0, 0),
    Acknowledged(0, "tcp", b"k" * 8, b"v" * 8, b"s" * 8),
    LookedUp(0, "tcp", 2, b"k" * 8, 0, {"0001": 1}),
    Finished(1),
    ProbeFailed(1, True, "nothing listens there"),
]


def payload_of(message: ToProbe | FromProbe) -> bytes:
    """Return the payload of a frame after checking its header."""
    frame = encode_frame(message)
    assert frame_length(frame[:HEADER_BYTES]) == len(frame) - HEADER_BYTES
    return frame[HEADER_BYTES:]


@pytest.mark.parametrize("message", _TO_PROBE, ids=lambda m: type(m).__name__)
def test_what_a_probe_is_told_arrives(message: ToProbe) -> None:
    """A frame to a probe gives the same message on the other side."""
    assert decode_to_probe(payload_of(message)) == message


@pytest.mark.parametrize("message", _FROM_PROBE, ids=lambda m: type(m).__name__)
def test_what_a_probe_says_arrives(message: FromProbe) -> None:
    """A frame from a probe gives the same message on the other side."""
    assert decode_from_probe(payload_of(message)) == message


def test_a_corrupt_header_is_refused() -> None:
    """A length that no message has ends the conversation instead of the memory."""
    assert frame_length(MAX_FRAME_BYTES.to_bytes(4, "big")) == MAX_FRAME_BYTES
    with pytest.raises(ValueError, match="the pipe is corrupt"):
        frame_length((MAX_FRAME_BYTES + 1).to_bytes(4, "big"))


def test_a_message_of_the_other_direction_is_refused() -> None:
    """A probe does not take what only a supervisor may be told."""
    with pytest.raises(msgspec.ValidationError):
        decode_to_probe(payload_of(Finished(0)))


@pytest.mark.parametrize(("workers", "processes"), [(1, 1), (10, 3), (5, 5), (200, 7)])
def test_workers_are_shared_out_evenly(workers: int, processes: int) -> None:
    """All workers are given away, and no process has two more than another."""
    lane = Lane(name="a", workers=workers, processes=processes)
    shares = [share for (share,) in share_out([lane])]
    assert sum(share.workers for share in shares) == workers
    counts = [share.workers for share in shares]
    assert max(counts) - min(counts) <= 1
    assert [share.slice_index for share in shares] == list(range(processes))
    assert {share.slice_count for share in shares} == {processes}


def test_lanes_with_different_numbers_of_processes() -> None:
    """There are as many processes as the greatest lane asks for; each has a share."""
    one, three = Lane(name="one"), Lane(name="three", processes=3)
    plans = share_out([one, three])
    assert [[share.lane.name for share in shares] for shares in plans] == [
        ["one", "three"],
        ["three"],
        ["three"],
    ]


def test_dormant_lanes_have_processes_of_their_own() -> None:
    """Those that begin at the start come first; those of a transport are together."""
    lanes = [
        Lane(name="tcp"),
        Lane(name="tls", tls=True, processes=2),
        Lane(name="tls2", tls=True),
        Lane(name="old"),
    ]
    plans = share_out(lanes, {"tls", "tls2", "old"})
    assert [[share.lane.name for share in shares] for shares in plans] == [
        ["tcp"],
        ["old"],
        ["tls", "tls2"],
        ["tls"],
    ]
    assert share_out(lanes, {lane.name for lane in lanes})[0][0].lane.name == "tcp"


def test_client_libraries_have_processes_of_their_own() -> None:
    """What a library does to its event loop is no business of the witness."""
    lanes = [
        Lane(name="wire"),
        Lane(name="app", driver="redis-py", processes=2),
        Lane(name="wire2"),
        Lane(name="app2", driver="redis-py"),
        Lane(name="late", driver="redis-py", tls=True),
    ]
    plans = share_out(lanes, {"late"})
    assert [[share.lane.name for share in shares] for shares in plans] == [
        ["wire", "wire2"],
        ["app"],
        ["app"],
        ["app2"],
        ["late"],
    ]


def test_what_has_a_password_does_not_show_it() -> None:
    """Neither a plan nor a new password is ever shown with it."""
    plan = Plan(0, {"tcp": Target("h")}, "s3cret", Probe(), (), 7, True)
    assert "s3cret" not in f"{plan!r} {plan} {UseLogin(None, 's3cret')!r}"


def test_lag_of_a_loop_that_looks() -> None:
    """While the loop is on time, what is read now came now."""
    lag = Lag()
    assert lag.unread_since(5 * MS) == 5 * MS
    lag.woke(10 * MS, 10 * MS)
    lag.plan(15 * MS)
    assert lag.unread_since(11 * MS) == 11 * MS


def test_lag_of_a_loop_that_did_not_look() -> None:
    """What is read after a missed wake-up may be there since it was planned."""
    lag = Lag()
    lag.woke(10 * MS, 10 * MS)
    lag.plan(15 * MS)
    assert lag.unread_since(90 * MS) == 15 * MS
    lag.woke(15 * MS, 90 * MS)
    lag.plan(95 * MS)
    assert lag.unread_since(94 * MS) == 15 * MS  # the same turn of the loop
    lag.turned(94 * MS)
    assert lag.unread_since(94 * MS) == 15 * MS
    assert lag.unread_since(94 * MS + 1) == 94 * MS + 1


def test_being_stopped_does_not_say_that_requests_travel_slowly() -> None:
    """A stall that is told as blind time makes later requests no more uncertain."""
    lag = Lag(20 * MS)
    lag.woke(10 * MS, 12 * MS)
    assert lag.recent_ns(50 * MS) == 2 * MS
    lag.woke(15 * MS, 415 * MS)
    assert lag.recent_ns(420 * MS) == 20 * MS


def test_what_is_noticed_came_since_the_loop_last_looked() -> None:
    """A few turns of the loop ago it was not there; nothing is known without them."""
    lag = Lag()
    assert lag.looked_since(5 * MS) == 0
    for at in range(10, 30):
        lag.woke(at * MS, at * MS)
    assert lag.looked_since(30 * MS) == 22 * MS
    lag.woke(30 * MS, 900 * MS)
    assert lag.looked_since(900 * MS) == 23 * MS


async def test_a_late_wake_up_reads_first() -> None:
    """What came before a late wake-up is read while it is known to have waited."""
    plan = Plan(0, {}, None, Probe(), (), 7, False)
    lag = Lag()
    since: list[int] = []

    class Poller:
        def serve_ready(self) -> None:
            """Read something at 9 ms."""
            since.append(lag.unread_since(9 * MS))

    beat = Beat(
        plan,
        (),
        lag=lag,
        poller=Poller(),  # type: ignore[arg-type]
        send=lambda snapshot: None,
    )
    beat._reports.due_ns = 1_000 * MS
    lag.plan(5 * MS)
    assert beat._tick(5 * MS, 9 * MS) > 9 * MS
    assert since == [5 * MS]
    beat._tick(12 * MS, 12 * MS)
    beat._ticker.stop()
    assert len(since) == 1, "it was on time"


def test_the_end_of_a_turn_matters_only_after_a_late_wake_up() -> None:
    """What is read says the same whether or not a turn in time was told to be over."""

    def told(lag_ns: int, *, is_noted: bool) -> list[int]:
        lag = Lag()
        found: list[int] = []
        for planned in range(10 * MS, 60 * MS, 5 * MS):
            lag.woke(planned, planned + lag_ns)
            lag.plan(planned + 5 * MS)
            if is_noted:
                lag.turned(planned + MS)
            found += [lag.unread_since(planned + part * MS // 8) for part in range(60)]
        return found

    assert told(MS // 4, is_noted=True) == told(MS // 4, is_noted=False)
    assert told(MS // 2, is_noted=True) != told(MS // 2, is_noted=False)


async def test_only_turns_of_late_wake_ups_are_noted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Hundreds of wake-ups a second that are in time leave nothing to do after them."""
    lag = Lag()
    noted: list[int] = []
    monkeypatch.setattr(Lag, "turned", lambda _, now_ns: noted.append(now_ns))
    beat = Beat(
        Plan(0, {}, None, Probe(), (), 7, False),
        (),
        lag=lag,
        poller=None,
        send=lambda _: None,
    )
    try:
        beat._reports.due_ns = beat._next_give_up_ns = 1_000 * MS
        beat._tick(10 * MS, 10 * MS + MS // 4)
        await asyncio.sleep(0)
        assert not noted
        beat._tick(15 * MS, 16 * MS)
        await asyncio.sleep(0)
        assert len(noted) == 1
    finally:
        beat._ticker.stop()
