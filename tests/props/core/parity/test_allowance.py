"""The rate of looks, what a sample says, and which keys are chosen."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadprobe.core.parity.allowance import Allowance, most_that_differ, seconds_left
from loadprobe.core.parity.selection import Selection
from tests.support.examples import examples

S = 1_000_000_000


@given(
    st.lists(st.tuples(st.integers(1, 500), st.integers(0, S)), max_size=50),
    st.integers(1, 100_000),
)
@examples(100)
def test_no_more_than_the_rate(takes: list[tuple[int, int]], rate: int) -> None:
    """Keys begun until any time fit the rate, but for the last batch and 0.1 s."""
    allowance = Allowance(rate)
    now_ns, keys = 5 * S, 0
    for count, idle_ns in takes:
        now_ns += idle_ns
        now_ns += allowance.take(count, now_ns)
        fit = rate * (now_ns - 5 * S + S // 10) / S
        assert keys <= fit + 1
        keys += count


def test_without_a_rate_nobody_waits() -> None:
    """0 stands for as many as can be."""
    assert Allowance(0).take(10**9, 0) == 0


def test_time_left_is_of_both_directions() -> None:
    """What is left of this one, and all of the next."""
    assert seconds_left(done=40, total=100, later=90, keys_per_s=10) == 15
    assert seconds_left(done=120, total=100, later=0, keys_per_s=10) == 0
    assert seconds_left(done=0, total=100, later=0, keys_per_s=0) is None


def test_a_sample_without_a_difference_bounds_their_share() -> None:
    """The share at which such a sample comes up once in twenty times."""
    assert most_that_differ(1000) == pytest.approx(1 - 0.05 ** (1 / 1000))
    assert most_that_differ(0) == 1.0


@given(st.lists(st.binary(max_size=8)), st.binary(max_size=3), st.floats(0.01, 1.0))
@examples(100)
def test_the_choice_is_of_the_name_alone(
    keys: list[bytes], prefix: bytes, share: float
) -> None:
    """It is the same in any batch, and a larger sample has all of a smaller one."""
    selection = Selection(prefix, share)
    chosen = selection.of(keys)
    assert chosen == [key for key in keys if selection.of([key])]
    assert all(key.startswith(prefix) for key in chosen)
    assert set(chosen) <= set(Selection(prefix).of(keys))


def test_a_sample_has_its_share() -> None:
    """A hundredth of many names is about a hundredth."""
    keys = [b"user:%d" % number for number in range(50_000)]
    assert 400 < len(Selection(share=0.01).of(keys)) < 600
    assert len(Selection().of(keys)) == 50_000


@pytest.mark.parametrize("prefix", [b"a*[b]?\\-^", b"user:", b"[x"])
def test_patterns_mean_the_prefix_literally(prefix: bytes) -> None:
    """What has a meaning in patterns has none in a prefix."""
    pattern = Selection(prefix).pattern
    assert pattern is not None
    plain = re.sub(rb"\\(.)", rb"\1", pattern.removesuffix(b"*"), flags=re.DOTALL)
    assert plain == prefix
    assert Selection().pattern is None
