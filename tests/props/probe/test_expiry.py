"""With keys that expire: nothing is called lost that is not, and what is, is found."""

from collections.abc import Callable
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from loadprobe.clock import NS_PER_S
from loadprobe.drivers.base import Arrival
from tests.support.expiring import MS, TTL_S, Rig, rig

SURE_NS = (TTL_S * NS_PER_S * 19 // 20) - TTL_S * NS_PER_S // 64 - NS_PER_S
"""A write that is younger when its absence is read has to be found lost."""


@dataclass(slots=True)
class Course:
    """What goes on, and what was found of it.

    Attributes:
        lost_ns: key -> when its value was taken away.
        made_ns: key -> when its last version was made.
        failover_ns: when the last one was.
    """

    rig: Rig
    lost_ns: dict[int, int] = field(default_factory=dict)
    made_ns: dict[int, int] = field(default_factory=dict)
    failover_ns: int = -(1 << 62)

    def write(self, number: int) -> None:
        """Write a key."""
        self.made_ns[number] = self.rig.now_ns
        self.lost_ns.pop(number, None)
        self.rig.write(number)

    def read(self, number: int) -> None:
        """Read a key, and hold what is said against what is so."""
        rig = self.rig

        def judge(arrival: Arrival, reply: object, was_lost: bool) -> None:
            is_right = rig.is_right(arrival, reply)
            sent_ns = arrival.sent
            self.compare(number, reply, sent_ns, was_lost=was_lost, is_right=is_right)

        rig.read(number, judge)

    def compare(
        self,
        number: int,
        reply: object,
        sent_ns: int,
        *,
        was_lost: bool,
        is_right: bool,
    ) -> None:
        """Compare: only what was lost is accused, and what surely was is."""
        if not is_right:
            assert was_lost, "a key that expired is called lost"
        if reply is not None or number not in self.lost_ns:
            return
        was_before = self.lost_ns[number] < sent_ns
        if was_before and self.rig.now_ns - self.made_ns[number] < SURE_NS:
            assert not is_right, "a lost write is taken for expired"

    def lose(self, number: int) -> None:
        """Have the server lose a key whose last write is acknowledged."""
        record = self.rig.keys.record(number)
        is_settled = record.settled_version and number in self.made_ns
        if is_settled and self.rig.server.lose(self.rig.name(number), self.rig.now_ns):
            self.lost_ns[number] = self.rig.now_ns


NUMBERS = st.integers(0, 1)
SPANS_MS = st.sampled_from([1, 5, 300, 2_000, 12_000, 25_000, 37_000, 39_000, 41_000])


def step(
    name: str, argument: st.SearchStrategy[int]
) -> st.SearchStrategy[tuple[str, int]]:
    """Return a kind of step."""
    return st.tuples(st.just(name), argument)


STEPS = st.lists(
    st.one_of(
        step("wait", SPANS_MS),
        step("write", NUMBERS),
        step("read", NUMBERS),
        step("read", NUMBERS),
        step("lose", NUMBERS),
        step("stop", SPANS_MS),
        step("outage", SPANS_MS),
        step("failover", st.integers(0, 500)),
        step("delay", st.sampled_from([1, 400])),
    ),
    max_size=25,
)


def carry_out(course: Course, name: str, argument: int) -> None:
    """Carry out a step."""
    rig = course.rig
    by_number: dict[str, Callable[[int], None]] = {
        "write": course.write,
        "read": course.read,
        "lose": course.lose,
    }
    if name in by_number:
        by_number[name](argument)
    elif name == "wait":
        rig.run(argument * MS)
    elif name == "stop":
        rig.stop(argument * MS)
    elif name == "delay":
        rig.delay_ns = argument * MS
    elif name == "failover":
        # Two that lose renewals of a key that follow each other are beyond the rule.
        if rig.now_ns - course.failover_ns > TTL_S * NS_PER_S:
            course.failover_ns = rig.now_ns
            rig.server.go_back(argument * MS, rig.now_ns)
    else:
        rig.is_reachable = False
        rig.run(argument * MS)
        rig.is_reachable = True


@given(steps=STEPS, is_filled=st.booleans())
def test_expired_is_not_lost_and_lost_is_found(
    steps: list[tuple[str, int]], *, is_filled: bool
) -> None:
    """Through outages, stops, failovers that lose renewals, replies out of order."""
    with rig(prefill=is_filled) as made:
        if is_filled:
            made.fill()
        course = Course(made)
        for name, argument in steps:
            carry_out(course, name, argument)
        made.run(3 * NS_PER_S)
        made.renewing.stop()
        read_back(course)


def read_back(course: Course) -> None:
    """Read all keys with an acknowledged write once more, after the load."""
    rig = course.rig
    for number, acked in rig.keys.acknowledged_keys().items():
        record = rig.keys.record(number)
        was_lost = rig.name(number) in rig.server.lost
        reply = rig.server.carry_out(record.get, rig.now_ns)
        is_lost = rig.keys.is_lost(number, reply, acked=acked)
        course.compare(
            number, reply, rig.now_ns, was_lost=was_lost, is_right=is_lost is not True
        )


@given(
    gaps_ms=st.lists(st.integers(0, 30_000), min_size=1, max_size=8),
    delay_ms=st.integers(1, 400),
    keys=st.integers(1, 40),
    failover_at=st.integers(0, 7),
)
def test_no_key_expires_while_it_can_be_renewed(
    gaps_ms: list[int], delay_ms: int, keys: int, failover_at: int
) -> None:
    """However seldom keys are written, and if a failover loses the last renewals."""
    with rig(keys=keys, ttl_s=TTL_S) as made:
        made.fill()
        made.delay_ns = delay_ms * MS
        made.run(NS_PER_S)
        for at, gap_ms in enumerate(gaps_ms):
            made.run(gap_ms * MS)
            if at == failover_at:
                made.server.go_back(500 * MS, made.now_ns)
            for number in range(keys):
                assert made.server.get(made.name(number), made.now_ns) is not None
        assert made.server.asked[b"SET"] == keys
