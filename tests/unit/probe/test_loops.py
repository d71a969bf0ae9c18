"""Open and closed loop in virtual time: what is made when, and what is outstanding."""

from collections.abc import Sequence

import pytest

from loadprobe.clock import NEVER_NS, mono_now_ns
from loadprobe.config.keys import Lane
from loadprobe.core.judging.outcome import Outcome
from loadprobe.drivers.base import Arrival
from loadprobe.probe.loops import ClosedLoop, Loop, OpenLoop, make_loop
from loadprobe.probe.orders import Share

MS = 1_000_000
STALL = 20 * MS


class Bench:
    """A loop of one process of two, with what it filled and sent."""

    def __init__(self, *, slice_index: int = 0, **lane: object) -> None:
        config = Lane(name="tcp", workers=3, rate_per_s=1000.0, **lane)  # type: ignore[arg-type]
        self.filled: list[int] = []
        self.sent: list[Arrival] = []
        self.loop: Loop = make_loop(
            Share(config, slice_index, 2, 3, 3), STALL, self.fill
        )
        self.loop.attach(self.submit)

    def fill(self, arrivals: Sequence[Arrival], index: int) -> None:
        """Note the indexes of the arrivals."""
        self.filled += range(index, index + 2 * len(arrivals), 2)
        for arrival in arrivals:
            arrival.decided = False

    def submit(self, arrivals: Sequence[Arrival]) -> None:
        """Note the arrivals."""
        self.sent += arrivals


def is_closed(bench: Bench) -> bool:
    """Tell which loop a bench has."""
    return isinstance(bench.loop, ClosedLoop)


@pytest.fixture(params=["open", "closed"])
def bench(request: pytest.FixtureRequest) -> Bench:
    """Return a bench of each loop, started at 0."""
    bench = Bench(loop=request.param)
    bench.loop.start(0, 0)
    return bench


def test_the_loop_is_the_one_of_the_lane() -> None:
    """A lane's key says which of the two it has."""
    assert isinstance(Bench(loop="open").loop, OpenLoop)
    assert isinstance(Bench(loop="closed").loop, ClosedLoop)


@pytest.mark.parametrize("slice_index", [0, 1])
def test_each_process_has_its_own_indexes(slice_index: int) -> None:
    """Both loops give their arrivals every second index, from that of the process."""
    for kind in ("open", "closed"):
        bench = Bench(loop=kind, slice_index=slice_index)
        bench.loop.start(0, 0)
        bench.loop.issue_due(3 * MS)
        assert bench.filled[:2] == [slice_index, slice_index + 2]


def test_nothing_is_made_without_a_driver() -> None:
    """A lane that is started before it can send is our defect, and ends the run."""
    config = Lane(name="tcp", workers=1, loop="closed")
    loop = make_loop(Share(config, 0, 1, 1, 1), STALL, lambda *_: None)
    loop.start(0, 0)
    with pytest.raises(AssertionError, match="no driver"):
        loop.issue_due(0)


def test_what_is_outstanding_is_given_up_once(bench: Bench) -> None:
    """What was due by a time is overdue unless it ended; of others nothing is said."""
    bench.loop.issue_due(0)
    bench.loop.issue_due(2 * MS)
    first, *others = bench.sent
    first.decided = True
    bench.loop.served([first])
    overdue = bench.loop.take_overdue(0)
    expected = [a for a in others if a.due == 0]
    assert overdue == expected
    for arrival in overdue:
        arrival.decided = True
        bench.loop.ended(arrival, 5 * MS)
    assert bench.loop.take_overdue(0) == []


def test_the_stop(bench: Bench) -> None:
    """After it nothing is made, whatever ends; drained is what has all ended."""
    bench.loop.issue_due(0)
    bench.loop.stop(MS)
    made = len(bench.sent)
    assert bench.loop.issue_due(5 * MS)[0] == NEVER_NS
    assert not bench.loop.is_drained
    assert bench.loop.watermark_ns(5 * MS) == 0
    for arrival in bench.sent:
        arrival.decided = True
        bench.loop.ended(arrival, 5 * MS)
    assert bench.loop.is_drained
    assert bench.loop.watermark_ns(5 * MS) == MS
    assert len(bench.sent) == made


@pytest.mark.parametrize("outcome", [Outcome.REFUSED, Outcome.UNSENT, Outcome.UNKNOWN])
def test_only_a_closed_loop_minds_how_an_arrival_failed(
    bench: Bench, outcome: Outcome
) -> None:
    """It goes on at once after a refusal, and after a pause if there was no answer."""
    start_ns = mono_now_ns()
    bench.loop.issue_due(0)
    made = len(bench.sent)
    bench.loop.failed(bench.sent[0], outcome)
    goes_on = is_closed(bench) and outcome is Outcome.REFUSED
    assert len(bench.sent) == made + goes_on
    if is_closed(bench):
        assert (bench.loop.issue_due(0)[0] != NEVER_NS) is not goes_on
        bench.loop.issue_due(start_ns + 3_600_000 * MS)
        assert len(bench.sent) == made + 1
        assert bench.sent[-1].worker == bench.sent[0].worker


def test_a_served_arrival_is_used_again_and_another_one_is_not() -> None:
    """What was given up may hear of a late reply, so its worker gets a new arrival."""
    bench = Bench(loop="closed")
    bench.loop.start(0, 0)
    bench.loop.issue_due(0)
    first, second, _ = bench.sent
    bench.loop.served([first])
    assert bench.sent[-1] is first
    bench.loop.ended(second, MS)
    assert bench.sent[-1] is not second
    assert bench.sent[-1].worker == second.worker


def test_only_an_open_loop_leaves_out(bench: Bench) -> None:
    """What is overdue by more than the stall counts; a closed loop has no due times."""
    _, first_skipped = bench.loop.issue_due(100 * MS)
    if is_closed(bench):
        assert first_skipped is None
        assert bench.loop.take_skipped() == 0
        assert len(bench.sent) == 3
    else:
        assert first_skipped == 0
        assert bench.loop.take_skipped() == 40
        assert [a.due for a in bench.sent] == [t * MS for t in range(80, 101, 2)]
    assert bench.loop.take_skipped() == 0
