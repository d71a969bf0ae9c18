"""Processes that are told of another rate, in virtual time: they change as one."""

from collections.abc import Sequence
from itertools import takewhile
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from loadprobe.clock import NS_PER_MS, NS_PER_S
from loadprobe.config.keys import Lane
from loadprobe.core.load.schedule import make_schedule
from loadprobe.drivers.base import Arrival
from loadprobe.probe.loops import OpenLoop
from loadprobe.probe.orders import (
    ChangeRate,
    Share,
)
from loadprobe.probe.rates import LEAD_NS, LaneRates
from tests.support.examples import examples

START_NS = 5 * NS_PER_S
STALL_NS = 20 * NS_PER_MS
relaxed = examples(25)


class Told(NamedTuple):
    """Another rate, and when which process hears of it."""

    at_ns: int
    to_per_s: float
    ramp_s: float
    delays_ns: tuple[int, ...]


class Process:
    """A process of a lane: what it sends, tick by tick."""

    def __init__(self, lane: Lane, number: int, processes: int) -> None:
        self.loop = OpenLoop(Share(lane, number, processes, 1, 1), STALL_NS, self._fill)
        self.loop.attach(self._submit)
        self.sent: list[tuple[int, int]] = []
        self.watermark_ns = 0
        self._step = processes

    def _fill(self, arrivals: Sequence[Arrival], index: int) -> None:
        for number, arrival in enumerate(arrivals):
            assert arrival.due >= self.watermark_ns, "judged before it was sent"
            arrival.decided = True
            self.sent.append((index + number * self._step, arrival.due))

    def _submit(self, arrivals: Sequence[Arrival]) -> None:
        """Let all be served at once."""

    def tick(self, now_ns: int) -> None:
        """Send what is due, and say until when all is decided."""
        self.loop.issue_due(now_ns)
        watermark_ns = self.loop.watermark_ns(now_ns)
        assert watermark_ns >= self.watermark_ns
        self.watermark_ns = watermark_ns


RATES = st.sampled_from([0.7, 20.0, 100.0, 333.3, 3000.0]) | st.floats(5, 3000)


@st.composite
def tellings(draw: st.DrawFn, *, most_delay_ns: int) -> list[Told]:
    """Draw what is told to up to four processes."""
    processes = draw(st.integers(1, 4))
    delays = st.tuples(*[st.integers(0, most_delay_ns)] * processes)
    told, at_ns = [], START_NS
    for _ in range(draw(st.integers(1, 4))):
        at_ns += draw(st.integers(0, NS_PER_S // 3))
        ramp_s = draw(st.sampled_from([0.0, 0.05, 0.4]))
        told.append(Told(at_ns, draw(RATES), ramp_s, draw(delays)))
    return told


def played(
    lane: Lane, told: Sequence[Told], tick_ns: int
) -> tuple[list[Process], LaneRates, int]:
    """Return processes that were told, and the end of the time in which they ran."""
    count = len(told[0].delays_ns)
    fleet = [Process(lane, number, count) for number in range(count)]
    rates = LaneRates([lane])
    rates.begin([lane.name], START_NS)
    for process in fleet:
        process.loop.start(START_NS, START_NS)
    mail: list[tuple[int, int, ChangeRate]] = []
    heard = [0] * count
    for at_ns, to_per_s, ramp_s, delays_ns in told:
        message, begins_ns = rates.change(
            lane.name, to_per_s, ramp_s=ramp_s, now_ns=at_ns
        )
        assert begins_ns >= at_ns + LEAD_NS
        for number, delay_ns in enumerate(delays_ns):
            # What comes through a pipe comes in its order.
            heard[number] = max(heard[number], at_ns + delay_ns)
            mail.append((heard[number], number, message))
    end_ns = max(at for at, _, _ in mail) + NS_PER_S // 2
    for now_ns in range(START_NS, end_ns, tick_ns):
        for at_ns, number, message in [m for m in mail if m[0] <= now_ns]:
            fleet[number].loop.change_rate(message.paces, at_ns)
            mail.remove((at_ns, number, message))
        for process in fleet:
            process.tick(now_ns)
    return fleet, rates, now_ns


KINDS = st.sampled_from(["constant", "poisson"])
TICKS = st.sampled_from([NS_PER_MS, 3 * NS_PER_MS, 5 * NS_PER_MS])


@relaxed
@given(tellings(most_delay_ns=LEAD_NS - STALL_NS), RATES, KINDS, TICKS)
def test_every_arrival_is_sent_once(
    told: list[Told], rate_per_s: float, kind: str, tick_ns: int
) -> None:
    """Told in time, the processes send what the changed schedule asks for: all of it.

    Each of its arrivals is sent by one process, when it is due, in the order of shards.
    """
    lane = Lane(name="tcp", rate_per_s=rate_per_s, schedule=kind)  # type: ignore[arg-type]
    fleet, rates, end_ns = played(lane, told, tick_ns)
    schedule = make_schedule(lane.schedule, rates.paces(["tcp"])["tcp"], seed="tcp")
    sent = sorted(arrival for process in fleet for arrival in process.sent)
    assert [index for index, _ in sent] == list(range(len(sent)))
    until = end_ns - START_NS
    arrivals = takewhile(lambda a: a[1] <= until, schedule.due_offsets(0, 1))
    assert sent == [(index, START_NS + due) for index, due in arrivals]


@relaxed
@given(tellings(most_delay_ns=NS_PER_S), RATES, TICKS)
def test_who_hears_late_goes_on_with_the_others(
    told: list[Told], rate_per_s: float, tick_ns: int
) -> None:
    """A process that heard too late sends what is due from then on, and nothing twice.

    What it says to be decided stays so: nothing is sent that was due before.
    """
    lane = Lane(name="tcp", rate_per_s=rate_per_s)
    fleet, rates, end_ns = played(lane, told, tick_ns)
    schedule = make_schedule("constant", rates.paces(["tcp"])["tcp"])
    for number, process in enumerate(fleet):
        dues = [due for _, due in process.sent]
        assert dues == sorted(set(dues))
        since = max(t.at_ns + t.delays_ns[number] for t in told) + LEAD_NS + tick_ns
        since = max(since, rates.paces(["tcp"])["tcp"][-1].from_ns + START_NS)
        arrivals = schedule.due_offsets(
            number, len(fleet), from_offset_ns=since - START_NS
        )
        expected = takewhile(lambda a: a[1] <= end_ns - START_NS, arrivals)
        assert [s for s in process.sent if s[1] >= since] == [
            (index, START_NS + due) for index, due in expected
        ]
