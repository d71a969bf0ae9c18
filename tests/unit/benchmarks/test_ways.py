"""What a NAT and a tunnel add: differences within rounds, and how sure they are."""

import pytest

from benchmarks import ways
from benchmarks.ways import Block, interval, medians_us, table


@pytest.mark.parametrize(
    ("count", "skipped"), [(1, 0), (5, 0), (6, 0), (9, 1), (20, 5), (40, 13)]
)
def test_the_interval_of_a_median(count: int, skipped: int) -> None:
    """By order statistics; the ranks of 95 % are those of published tables."""
    values = [float(number) for number in reversed(range(count))]
    assert interval(values) == (skipped, count - 1 - skipped)


def block(base_ns: int) -> Block:
    """Return a block whose rounds differ much, and whose ways differ little."""
    rounds = [base_ns, 20 * base_ns, 3 * base_ns]
    return {
        "direct": rounds,
        "NAT": [each + 2_000 for each in rounds],
        "SSH tunnel": [each + 90_000 for each in reversed(rounds)],
    }


def test_differences_are_those_within_a_round() -> None:
    """What a whole round met is in none of them."""
    blocks = [block(30_000), block(50_000)]
    assert medians_us(blocks, "direct") == [90.0, 150.0]
    assert medians_us(blocks, "NAT") == [2.0, 2.0]
    assert "| NAT | +2.0 us | +2.0 to +2.0 us |\n" in table(blocks)


def test_the_page_has_all_ways() -> None:
    """Its table was written by the command."""
    page = ways.PAGE.read_text()
    written = page.partition(ways.BEGIN)[2].partition(ways.END)[0]
    rows = [line.split(" | ")[0].strip("| ") for line in written.splitlines()]
    assert set(ways.WAYS) <= set(rows)
