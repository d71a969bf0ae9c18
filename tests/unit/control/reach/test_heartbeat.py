"""When the other end of a tunnel did not answer, told from what its echo sent back."""

import pytest

from loadprobe.control.reach.heartbeat import PERIOD_NS, Heartbeat, Stall

MS = 1_000_000
PERIOD_MS = PERIOD_NS // MS


def beating(*, trip_ms: int = 1) -> Heartbeat:
    """Return one that was answered for a second, and last at 950 ms."""
    beat = Heartbeat()
    for begin_ms in range(0, 1_000, PERIOD_MS):
        number = beat.ask(begin_ms * MS)
        assert beat.hear(number, (begin_ms + trip_ms) * MS) is None
        assert not beat.look((begin_ms + trip_ms + 1) * MS)
    return beat


def test_a_stall_is_told_once_and_lies_within_what_was_dark() -> None:
    """It began by the first question without an answer, and ends by the first answer.

    Dark from 970 to 1930 ms.
    """
    beat = beating()
    numbers, told = [], []
    for at_ms in range(1_000, 1_900, PERIOD_MS):
        numbers.append(beat.ask(at_ms * MS))
        if beat.look((at_ms + PERIOD_MS) * MS):
            told.append(at_ms + PERIOD_MS)
        assert (beat.stalled_ns == 1_000 * MS) is bool(told)
    assert told == [1_150]
    assert beat.hear(numbers[-1], 1_930 * MS) == Stall(1_000 * MS, 1_930 * MS)
    assert (beat.stalled_ns, beat.heard_ns) == (None, 1_930 * MS)
    assert not beat.look(1_940 * MS)


def test_who_reads_late_does_not_call_the_other_end_late() -> None:
    """What lay unread for long ends no later than two questions after the last look."""
    beat = beating()
    number = beat.ask(1_000 * MS)
    assert beat.look(1_200 * MS)
    stall = beat.hear(number, 5_000 * MS)
    assert stall == Stall(1_000 * MS, (1_200 + 2 * PERIOD_MS) * MS)


@pytest.mark.parametrize(("trip_ms", "is_told"), [(1, True), (45, False)])
def test_what_is_usual_of_a_long_way_is_no_stall(
    trip_ms: int, *, is_told: bool
) -> None:
    """A way of 45 ms may take four of them more than 100 ms."""
    beat = beating(trip_ms=trip_ms)
    beat.ask(1_000 * MS)
    assert beat.look(1_240 * MS) is is_told


def test_one_that_never_answered_has_not_stalled() -> None:
    """Who may not run a program there learns nothing from its silence."""
    beat = Heartbeat()
    beat.ask(0)
    assert not beat.look(60_000 * MS)
    assert beat.stalled_ns is None


def test_how_long_the_first_answer_took_is_not_usual() -> None:
    """A shell that starts for seconds does not make what stalls look well."""
    beat = Heartbeat()
    assert beat.is_new
    beat.hear(beat.ask(0), 5_000 * MS)
    beat.hear(beat.ask(5_050 * MS), 5_051 * MS)
    beat.ask(5_100 * MS)
    assert not beat.look(5_190 * MS)
    assert beat.look(5_210 * MS)


@pytest.mark.parametrize("number", [0, 21, 1_000])
def test_an_answer_to_no_question(number: int) -> None:
    """What else comes, such as a greeting, is no answer."""
    beat = beating()
    with pytest.raises(ValueError, match="was not asked"):
        beat.hear(number, 1_000 * MS)
