"""For any course of outages: people are told of the verdict's incidents, no more."""

from collections import Counter
from itertools import groupby

from hypothesis import given
from hypothesis import strategies as st

from loadprobe.core.judging.outages import Outage
from loadprobe.core.verdict.incident_tracker import MOST_WORSENINGS
from loadprobe.core.verdict.incidents import dark_time, group_incidents
from loadprobe.core.verdict.occasions import (
    OccasionKind,
    TellingRules,
)
from tests.support.examples import examples
from tests.support.outages import MS, outage
from tests.support.telling import play

RULES = TellingRules(
    quiet_ns=1005 * MS,
    min_dark_ns=200 * MS,
    worse_dark_ns=1000 * MS,
    pause_ns=500 * MS,
)


@st.composite
def courses(draw: st.DrawFn) -> list[Outage]:
    """Draw outages of a few scopes; those of one scope come one after the other."""
    rows: list[Outage] = []
    for lane, shard in draw(
        st.lists(
            st.tuples(st.sampled_from(["tcp", "tls"]), st.sampled_from(["1", "2"])),
            unique=True,
            max_size=4,
        )
    ):
        at = 0
        for gap, length in draw(
            st.lists(st.tuples(st.integers(30, 300), st.integers(1, 300)), max_size=6)
        ):
            rows.append(
                outage(at + 10 * gap, at + 10 * (gap + length), lane=lane, shard=shard)
            )
            at += 10 * (gap + length)
    return rows


@given(courses())
@examples(60)
def test_people_are_told_of_the_incidents_of_the_verdict(rows: list[Outage]) -> None:
    """Those that were dark long enough, each opened once and closed once."""
    told = play(RULES, rows, until=45_000).told
    incidents = group_incidents(rows, [], quiet_ns=RULES.quiet_ns)
    expected = [
        dark_time(incident.outages)
        for incident in incidents
        if dark_time(incident.outages).estimate_ns >= RULES.min_dark_ns
    ]
    closed = [o for o in told if o.kind is OccasionKind.CLOSED]
    assert [o.dark for o in closed] == expected
    for _, group in groupby(told, key=lambda occasion: occasion.incident):
        occasions = list(group)
        kinds = Counter(occasion.kind for occasion in occasions)
        assert kinds[OccasionKind.OPENED] == kinds[OccasionKind.CLOSED] == 1
        assert occasions[0].kind is OccasionKind.OPENED
        assert occasions[-1].kind is OccasionKind.CLOSED
        assert kinds[OccasionKind.WORSENED] <= MOST_WORSENINGS
        assert [o.number for o in occasions] == list(range(1, len(occasions) + 1))
        times = [o.at_ns for o in occasions]
        assert times == sorted(times)
