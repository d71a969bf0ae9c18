"""What holds for a load that goes down for others, whatever they suffer."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from loadprobe.clock import NS_PER_S
from loadprobe.core.load.restraint import LOWEST_SHARE, Restraint, Strain

STRETCHES = st.lists(
    st.tuples(st.integers(1, 90), st.sets(st.sampled_from(list(Strain)), max_size=2)),
    max_size=25,
)
Stretches = list[tuple[int, set[Strain]]]
LEAST_S, LONGEST_CALM_S = 5, 240


def played(stretches: Stretches) -> tuple[Restraint, list[tuple[int, float]], int]:
    """Return a restraint after some stretches, its changes, and the second it is."""
    restraint, second = Restraint(), 100
    changes = [(second - 1_000, 1.0)]
    for length, strains in stretches:
        for _ in range(length):
            second += 1
            before = restraint.share
            has_changed = restraint.take(strains, second * NS_PER_S)
            assert has_changed == (restraint.share != before)
            if has_changed:
                changes.append((second, restraint.share))
    return restraint, changes, second


@given(STRETCHES)
def test_it_is_bounded_and_does_not_flap(stretches: Stretches) -> None:
    """Steps are halves and doubles within bounds, and never soon after each other."""
    _, changes, _ = played(stretches)
    for (before_s, before), (after_s, after) in pairwise(changes):
        assert LOWEST_SHARE <= after <= 1
        assert after in (before / 2, before * 2)
        assert after_s - before_s >= LEAST_S


@given(STRETCHES)
def test_it_always_comes_back(stretches: Stretches) -> None:
    """Once nothing suffers any more, the whole rate is back in a bounded time."""
    restraint, _, second = played(stretches)
    for _ in range(3 * LONGEST_CALM_S + LEAST_S):
        second += 1
        restraint.take((), second * NS_PER_S)
    assert restraint.share == 1
    assert restraint.strains == frozenset()


@given(st.integers(20, 300))
def test_what_suffers_is_spared(length: int) -> None:
    """It goes down to the lowest share within 15 s, and stays there."""
    restraint, changes, _ = played([(length, {Strain.STEAL})])
    assert restraint.share == LOWEST_SHARE
    assert [share for _, share in changes] == [1, 1 / 2, 1 / 4, 1 / 8]
    assert restraint.strains == {Strain.STEAL}


def test_a_moment_is_no_strain() -> None:
    """What lasts for less than five seconds changes nothing."""
    _, changes, _ = played([(4, {Strain.LATENCY}), (10, set())] * 20)
    assert len(changes) == 1


def test_who_suffers_again_is_given_longer() -> None:
    """The pauses before the load goes up double while it goes down again each time."""
    restraint, raised = Restraint(), []
    last_change = 0
    for second in range(3_000):
        strains = {Strain.CPU} if restraint.share == 1 else ()
        before = restraint.share
        if restraint.take(strains, second * NS_PER_S):
            if restraint.share > before:
                raised.append(second - last_change)
            last_change = second
    assert raised[:4] == sorted(set(raised[:4]))
    assert max(raised) == LONGEST_CALM_S + 1
