"""What holds for every schedule."""

from itertools import islice, takewhile

from hypothesis import given
from hypothesis import strategies as st

from loadprobe.core.load.pace import UNIT, Pace
from loadprobe.core.load.schedule import Kind, Schedule, make_schedule
from tests.support.examples import examples

NS_PER_S = 1_000_000_000
RATES = st.floats(0.5, 20_000)
SLICES = st.integers(1, 9)
relaxed = examples(50)
_ROUNDING_NS = 10
RAMPS = st.just(0.0) | st.floats(0.01, 3)


@st.composite
def paces(draw: st.DrawFn, *, most: int = 4) -> list[Pace]:
    """Draw how a rate goes: from a first pace on, changed in steps and by ramps."""
    rate_per_s = draw(RATES)
    first = Pace(0, 0, draw(st.just(0.0) | RATES), rate_per_s, draw(RAMPS))
    drawn = [first]
    for _ in range(draw(st.integers(0, most))):
        at_ns = drawn[-1].from_ns + draw(st.integers(0, NS_PER_S // 20))
        drawn.append(drawn[-1].changed(at_ns, draw(RATES), draw(RAMPS)))
    return drawn


KINDS: st.SearchStrategy[Kind] = st.sampled_from(["constant", "poisson"])
SCHEDULES = st.builds(make_schedule, KINDS, paces(), seed=st.integers(0, 9))


@relaxed
@given(SCHEDULES, SLICES)
def test_union_of_slices_is_the_whole(schedule: Schedule, count: int) -> None:
    """All slices together yield every arrival exactly once, at the same due time."""
    whole = list(islice(schedule.due_offsets(0, 1), count * 150))
    parts = [
        arrival
        for index in range(count)
        for arrival in islice(schedule.due_offsets(index, count), 150)
    ]
    assert sorted(parts) == whole
    assert [index for index, _ in whole] == list(range(len(whole)))


@relaxed
@given(SCHEDULES)
def test_due_times_do_not_go_back(schedule: Schedule) -> None:
    """A later arrival is never due before an earlier one."""
    dues = [due for _, due in islice(schedule.due_offsets(0, 1), 1500)]
    assert dues == sorted(dues)
    assert dues[0] >= 0


@relaxed
@given(SCHEDULES, st.integers(0, 800), st.integers(-1, 1), SLICES)
def test_joining_late_leaves_out_what_was_before(
    schedule: Schedule, at: int, shift_ns: int, count: int
) -> None:
    """From an offset on, exactly the arrivals due at it or later are yielded."""
    whole = list(islice(schedule.due_offsets(0, count), 1000))
    from_ns = max(whole[at][1] + shift_ns, 0)
    expected = [arrival for arrival in whole if arrival[1] >= from_ns]
    late = schedule.due_offsets(0, count, from_offset_ns=from_ns)
    assert list(islice(late, len(expected))) == expected


@relaxed
@given(RATES, st.integers(0, 10**10))
def test_no_drift(rate_per_s: float, index: int) -> None:
    """Due times are index x period, however many arrivals came before."""
    due = make_schedule("constant", [Pace.steady(rate_per_s)]).due_ns(index)
    period_ns = NS_PER_S / rate_per_s
    assert abs(due - index * period_ns) <= 1 + 1e-9 * due


@examples(30)
@given(st.floats(200, 5000), st.integers(0, 9), st.integers(1, 5))
def test_poisson_average_is_exact(rate_per_s: float, seed: int, blocks: int) -> None:
    """A whole number of blocks holds exactly the arrivals of the rate."""
    pace = Pace.steady(rate_per_s)
    end_ns = make_schedule("constant", [pace]).due_ns(512 * blocks)
    arrivals = make_schedule("poisson", [pace], seed=seed).due_offsets(0, 1)
    assert len(list(takewhile(lambda a: a[1] < end_ns, arrivals))) == 512 * blocks


@examples(50)
@given(st.just(0.0) | RATES, RATES, st.floats(0.05, 3), st.floats(0, 1))
def test_ramp_counts_the_integral(
    start: float, end: float, ramp_s: float, part: float
) -> None:
    """At any moment of a ramp as many arrivals were due as the rate's integral says."""
    at_s = part * ramp_s
    integral = start * at_s + (end - start) * at_s * at_s / (2 * ramp_s)
    ramp = make_schedule("ramp", [Pace(0, 0, start, end, ramp_s)])
    due = next(ramp.due_offsets(0, 1, from_offset_ns=int(at_s * NS_PER_S)))
    assert abs(due[0] - integral) <= 1.01


@relaxed
@given(paces(), KINDS)
def test_a_change_touches_nothing_before_it(drawn: list[Pace], kind: Kind) -> None:
    """What is due before a pace begins is due at the same time with and without it."""
    at_ns = drawn[-1].from_ns
    changed, before = (make_schedule(kind, each) for each in (drawn, drawn[:-1]))
    if len(drawn) == 1:
        return
    early, same = (
        list(takewhile(lambda a: a[1] < at_ns - _ROUNDING_NS, each.due_offsets(0, 1)))
        for each in (changed, before)
    )
    if drawn[-2].from_ns != at_ns:  # otherwise it never held
        assert early == same
    assert changed.due_ns(changed.first_index(at_ns)) >= at_ns


@relaxed
@given(paces(), st.integers(0, 2 * NS_PER_S))
def test_as_many_arrivals_as_the_rates_say(drawn: list[Pace], at_ns: int) -> None:
    """At any moment the number of arrivals is the integral of the rate, to one."""
    pace = [p for p in drawn if p.from_ns <= at_ns][-1]
    expected = pace.count_at(at_ns) / UNIT
    due = make_schedule("constant", drawn).first_index(at_ns)
    assert abs(due - expected) <= 1.01


@relaxed
@given(paces(), st.integers(0, 2 * NS_PER_S))
def test_who_forgot_what_is_over_agrees(drawn: list[Pace], from_ns: int) -> None:
    """From a time on, only the pace that holds then and those after it are needed."""
    since = [n for n, p in enumerate(drawn) if p.from_ns <= from_ns][-1]
    whole, known = (make_schedule("constant", p) for p in (drawn, drawn[since:]))
    arrivals = (s.due_offsets(0, 1, from_offset_ns=from_ns) for s in (whole, known))
    first, second = (list(islice(each, 200)) for each in arrivals)
    assert first == second
