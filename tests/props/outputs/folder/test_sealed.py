"""What is written while arrivals are judged is at any time what was judged by then."""

import copy
from collections.abc import Collection
from dataclasses import replace

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from loadprobe.core.judging.aggregate import Aggregate
from loadprobe.core.judging.lanes import LaneInfo
from loadprobe.core.judging.results import Results, Sealed
from loadprobe.outputs.folder.sealed_changes import SealedChanges
from loadprobe.outputs.folder.sealed_lines import (
    Beginning,
    Rules,
    decode_line,
    encode_line,
)
from loadprobe.outputs.folder.sealed_replay import SealedReplay
from tests.support.disturbed import Disturbed, disturbed
from tests.support.judged import essence, relaxed
from tests.support.simulation import MS

BEGINNING = Beginning((LaneInfo("tcp", False, (0,), MS),), Rules(1000 * MS, MS))


class Scribe:
    """Writes a line with every so many seals, and compares one of them.

    Args:
        every: a line is written with so many seals.
        compared: number of the line with which what was written is compared.
        turns: numbers of the seals after which a segment begins; then the lines before
            are gone.
    """

    def __init__(self, every: int, compared: int, turns: Collection[int] = ()) -> None:
        self._every = every
        self._compared = compared
        self._turns = turns
        self._seals = 0
        self.changes: SealedChanges | None = None
        self.lines: list[bytes] = []

    def look(self, aggregate: Aggregate, sealed: Sealed) -> None:
        """Take what was sealed."""
        self.changes = self.changes or SealedChanges(aggregate)
        self.changes.take(sealed)
        self._seals += 1
        if self._seals % self._every == 0 and aggregate.sealed_until_ns:
            self.write()
            if len(self.lines) == self._compared:
                assert told(replayed(self.lines)) == told(ended_now(aggregate))
        if self._seals in self._turns and aggregate.sealed_until_ns:
            self.changes = SealedChanges(aggregate, is_first=False)
            self.lines.clear()
            self.write()
            assert told(replayed(self.lines)) == told(ended_now(aggregate))

    def write(self, end_ns: int | None = None) -> None:
        """Write a line with all there is."""
        assert self.changes is not None
        line = msgspec.structs.replace(
            self.changes.make_line(),
            latencies=self.changes.make_latencies(
                ["tcp"], series_bytes=0, histograms_bytes=0
            ),
            end_ns=end_ns,
        )
        self.lines.append(encode_line(line))


def ended_now(aggregate: Aggregate) -> Results:
    """Return what the aggregate would say if nothing came after what it has judged."""
    other = copy.deepcopy(aggregate)
    for state in other._scopes.values():
        state._served, state._failed = [], []
    return other.finish(other.sealed_until_ns)


def replayed(lines: list[bytes]) -> Results:
    """Return what lines add up to."""
    replay = SealedReplay(BEGINNING)
    for line in lines:
        replay.add(decode_line(line))
    return replay.results()


def told(results: Results) -> object:
    """Return what lines say of results at any time: latencies wait for their second."""
    lane = results.lane_totals["tcp"]
    waiting = replace(lane, response={}, service={})
    return (
        essence(replace(results, lane_totals={"tcp": waiting})),
        results.start_ns,
        results.end_ns,
        lane.blind_ns,
        [totals.outages for totals in results.scope_totals.values()],
    )


@relaxed
@given(
    run=disturbed(),
    batch_ms=st.integers(5, 80),
    every=st.integers(1, 3),
    compared=st.integers(1, 60),
)
def test_lines_add_up(run: Disturbed, batch_ms: int, every: int, compared: int) -> None:
    """After any line, and after the last one, they say what the aggregate says.

    Whatever failed, was blind, or waited for its error bars then.
    """
    scribe = Scribe(every, compared)
    results = run.judge(batch_ms * MS, on_seal=scribe.look)
    scribe.write(results.end_ns)
    again = replayed(scribe.lines)
    assert essence(again) == essence(results)
    assert told(again) == told(results)


@relaxed
@given(
    run=disturbed(),
    batch_ms=st.integers(5, 80),
    every=st.integers(1, 3),
    turns=st.sets(st.integers(1, 60), min_size=1),
)
def test_the_last_segment_says_it_all(
    run: Disturbed, batch_ms: int, every: int, turns: set[int]
) -> None:
    """Wherever segments begin, the last one alone says what all lines would have."""
    scribe = Scribe(every, 0, turns)
    results = run.judge(batch_ms * MS, on_seal=scribe.look)
    scribe.write(results.end_ns)
    again = replayed(scribe.lines)
    assert essence(again) == essence(results)
    assert told(again) == told(results)
    for mine, theirs in zip(
        again.scope_totals.values(), results.scope_totals.values(), strict=True
    ):
        assert mine.outage_ns == theirs.outage_ns
        assert mine.outage_unseen_ns == theirs.outage_unseen_ns
        assert mine.last_outage == theirs.last_outage
    assert again.dropped_outages == results.dropped_outages
