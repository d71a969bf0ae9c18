"""What holds for the two speeds, whatever goes on."""

from hypothesis import given
from hypothesis import strategies as st

from loadprobe.core.load.alert import Alert, AlertReason

QUIET, LONGEST = 60, 3_600
NEWS = st.lists(
    st.tuples(
        st.integers(0, 900),
        st.sampled_from(["touch", "begin", "end", "ask"]),
        st.sampled_from(list(AlertReason)),
        st.sampled_from("ab"),
    ),
    max_size=30,
)


@given(NEWS)
def test_it_is_high_as_long_as_needed_and_no_longer(
    news: list[tuple[int, str, AlertReason, str]],
) -> None:
    """High exactly while something goes on that is not too long, and quiet after it."""
    alert = Alert(quiet_ns=QUIET, longest_ns=LONGEST)
    begun: dict[tuple[AlertReason, str], int] = {}
    held_ns = None  # until when something went on
    now = 1_000
    for pause, what, reason, name in news:
        now += pause
        for since in begun.values():
            held_ns = max(held_ns or 0, min(now, since + LONGEST))
        if what == "touch":
            alert.touch(reason, now)
            held_ns = now
        elif what == "begin":
            alert.begin(reason, name, now)
            if (reason, name) not in begun:
                begun[reason, name] = held_ns = now
        elif what == "end":
            alert.end(reason, name, now)
            begun.pop((reason, name), None)
        is_high = held_ns is not None and now < held_ns + QUIET
        assert (alert.reason(now) is not None) == is_high
    assert alert.reason(now + LONGEST + QUIET) is None


def test_the_reason_is_the_one_it_began_with() -> None:
    """What comes on top of it does not change why the load is high; a new time does."""
    alert = Alert(quiet_ns=10, longest_ns=100)
    alert.begin(AlertReason.OUTAGE, "0001", 0)
    alert.touch(AlertReason.MARK, 1)
    assert alert.reason(2) is AlertReason.OUTAGE
    alert.end(AlertReason.OUTAGE, "0001", 5)
    assert alert.reason(14) is AlertReason.OUTAGE
    assert alert.reason(15) is None
    alert.touch(AlertReason.MARK, 20)
    assert alert.reason(20) is AlertReason.MARK
