"""Times and lengths in words."""

from dataclasses import replace

import pytest

from loadprobe.core.intervals import Interval
from loadprobe.core.verdict.incidents import DarkTime
from loadprobe.core.verdict.texts import dark_text, outages_text
from tests.support.outages import MS, outage


def test_a_dark_time_has_its_bars() -> None:
    """The estimate comes first, with fewer digits the longer it is."""
    assert dark_text(DarkTime(408 * MS, 410 * MS, 412 * MS)) == "410 ms [408, 412]"
    assert dark_text(DarkTime(6 * MS, 7 * MS, 9 * MS)) == "7.0 ms [6.0, 9.0]"


def test_a_little_unseen_is_in_the_bars() -> None:
    """Up to a twentieth of it unseen, an estimate still says something."""
    assert (
        dark_text(DarkTime(390 * MS, 410 * MS, 412 * MS, 20 * MS))
        == "410 ms [390, 412]"
    )


@pytest.mark.parametrize(
    ("unseen", "where"),
    [
        ([(900, 1_900)], "at its start"),
        ([(2_000, 3_000)], "at its end"),
        ([(1_200, 2_200)], "in its midst"),
        ([(900, 1_400), (2_900, 3_400)], "of it"),
    ],
)
def test_much_unseen_is_told(unseen: list[Interval], where: str) -> None:
    """No estimate is told, but what is certain, what is possible, and why."""
    spans = tuple((start * MS, end * MS) for start, end in unseen)
    whole = replace(
        outage(1_000, 2_500),
        hull_start_ns=900 * MS,
        core_start_ns=1_150 * MS,
        core_end_ns=2_300 * MS,
        hull_end_ns=3_400 * MS,
        gaps=spans,
        unseen=spans,
    )
    lower_ms = whole.lower_ns // MS
    assert outages_text([whole]).startswith(
        f"at least {lower_ms:,} ms, at most 2,500 ms"
    )
    assert outages_text([whole]).endswith(f" ms {where}")
