"""Tally and state: nothing counts twice, and all of it survives the process."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from loadprobe.core.parity.coverage import Coverage, Walk
from loadprobe.core.parity.glimpse import DIFFERENCES, NO_KEY, Finding, Glimpse
from loadprobe.core.parity.report import ParityFigures, parity_document, parity_lines
from loadprobe.core.parity.state import (
    ParityState,
    ParityTerms,
    coverages_of,
    make_state,
    tally_of,
)
from loadprobe.core.parity.suspects import BothSeen, SuspectFate
from loadprobe.core.parity.tally import MOST_EXAMPLES, ParityTally
from tests.support.examples import examples

TERMS = ParityTerms("a:1", "b:2", b"\xff:", 0.5, 2.0)
KINDS = st.sampled_from([*DIFFERENCES, Finding.NOT_COMPARABLE])
FATES = st.sampled_from(
    [SuspectFate.DIFFERENT, SuspectFate.CHANGING, SuspectFate.AGAIN]
)
NOTES = st.lists(st.tuples(st.binary(max_size=2), FATES, KINDS), max_size=80)


def seen(finding: Finding) -> BothSeen:
    """Return a look that shows something."""
    here, gone = Glimpse(b"string", b"", None, 0), Glimpse(NO_KEY, b"", None, 0)
    match finding:
        case Finding.MISSING_IN_TARGET:
            return BothSeen(finding, here, gone)
        case Finding.MISSING_IN_SOURCE:
            return BothSeen(finding, gone, here)
        case Finding.TYPE:
            return BothSeen(finding, here, Glimpse(b"list", b"", None, 0))
        case Finding.TTL:
            return BothSeen(finding, here, Glimpse(b"string", b"", (0, 5 * 10**9), 0))
    return BothSeen(finding, here, here)


def tally_of_notes(notes: list[tuple[bytes, SuspectFate, Finding]]) -> ParityTally:
    """Return the tally of what was decided, in order."""
    tally = ParityTally()
    for key, fate, finding in notes:
        tally.note(key, fate, seen(finding))
    return tally


@given(NOTES)
@examples(100)
def test_no_key_counts_twice(notes: list[tuple[bytes, SuspectFate, Finding]]) -> None:
    """What was counted once is not again, by whatever name; examples are few."""
    tally = tally_of_notes(notes)
    decided = {key for key, fate, _ in notes if fate is not SuspectFate.AGAIN}
    counted = sum(tally.counts.values()) + tally.changing
    assert counted == len(decided)
    assert {each.key for each in tally.examples} <= decided
    for kind in {each.kind for each in tally.examples}:
        assert sum(e.kind == kind for e in tally.examples) <= MOST_EXAMPLES


SETS = st.sampled_from([0, 1, 1 << 16383, (1 << 16384) - 1, 0xF0F0 << 9000])
WALKS = st.builds(
    Walk,
    st.text(max_size=5),
    st.text(max_size=5),
    SETS,
    st.integers(0, 2**64 - 1).map(lambda number: b"%d" % number),
    st.integers(0, 10**12),
)
COVERAGES = st.builds(
    Coverage,
    SETS,
    st.lists(WALKS, max_size=3).map(lambda walks: {w.address: w for w in walks}),
    st.integers(0, 10**12),
    st.integers(0, 99),
)


@given(COVERAGES, COVERAGES, st.lists(st.binary(max_size=9), max_size=9), NOTES)
@examples(40)
def test_a_state_goes_through_its_file(
    one: Coverage,
    other: Coverage,
    suspects: list[bytes],
    notes: list[tuple[bytes, SuspectFate, Finding]],
) -> None:
    """Coverage, suspects, counts and what was counted are the same afterwards."""
    tally = tally_of_notes(notes)
    state = make_state(
        TERMS, (one, other), suspects, tally, elapsed_s=1.5, is_over=False
    )
    again = msgspec.json.decode(msgspec.json.encode(state), type=ParityState)
    assert again == state
    assert coverages_of(again) == (one, other)
    restored = tally_of(again)
    assert restored == tally
    for key, fate, finding in notes:
        if fate is not SuspectFate.AGAIN:
            restored.note(key, fate, seen(finding))
    assert restored == tally, "what had counted counts again"


@given(NOTES, st.booleans(), st.sampled_from([0, 1 << 7]))
@examples(40)
def test_reports_say_what_was_counted(
    notes: list[tuple[bytes, SuspectFate, Finding]], is_over: bool, unseen: int
) -> None:
    """The report for machines adds up, and no line for people steers a terminal."""
    tally = tally_of_notes(notes)
    figures = ParityFigures(TERMS, tally, 1000, 900, unseen, 3, 60.0, is_over)
    document = parity_document(figures)
    kinds = ("missing_in_target", "missing_in_source", "type", "value", "ttl")
    assert document["different"]["total"] == tally.different
    assert sum(document["different"][k]["total"] for k in kinds) == tally.different
    assert document["is_complete"] is (is_over and not unseen)
    *_, verdict = parity_lines(figures)
    assert (f"{tally.different:,} keys differ" in verdict) is bool(tally.different)
    assert ("not complete" in verdict) is not is_over
    unsaid = tally.changing + document["not_comparable"]["total"]
    assert (f"of {unsaid:,} nothing can be said" in verdict) is bool(unsaid)
    if not tally.different and is_over:
        assert "at most 0.332%" in verdict
