"""What is told of a budget."""

from datetime import UTC, datetime

import pytest

from loadprobe.clock import NS_PER_S
from loadprobe.core.budget import account as account_of_place
from loadprobe.core.budget.account import Bands
from loadprobe.core.budget.accounts import Accounts, Dark, Entry, Seen
from loadprobe.core.budget.calendar import DAY_NS, HOUR_NS, MINUTE_NS
from loadprobe.core.budget.figures import ErrorBudget, reckon
from loadprobe.core.budget.words import budget_words

MONTH_NS = int(datetime(2026, 11, 1, tzinfo=UTC).timestamp()) * NS_PER_S
S = NS_PER_S


def seen(start_ns: int, end_ns: int) -> list[Seen]:
    """Return that a shard was observed for some time of the month."""
    return [Seen("tcp", ["0001"], [(MONTH_NS + start_ns, MONTH_NS + end_ns)])]


def dark(start_ns: int, end_ns: int, *, planned: bool = False) -> Dark:
    """Return that it was dark, with bounds of a second to either side."""
    spans = [[(MONTH_NS + start_ns + by, MONTH_NS + end_ns - by)] for by in (S, 0, -S)]
    bands = Bands(planned=spans[1]) if planned else Bands(*spans)
    return Dark("tcp", "0001", bands)


def after(*entries: Entry) -> Accounts:
    """Return accounts that were told something."""
    accounts = Accounts()
    for entry in entries:
        accounts.take(entry)
    return accounts


def reckoned(accounts: Accounts, now_ns: int, target: float = 0.9999) -> ErrorBudget:
    """Return the budgets at a time of the month."""
    return reckon(accounts, target=target, now_ns=MONTH_NS + now_ns)


def test_used_left_and_unseen() -> None:
    """Of the first ten hours of a month, nine were seen, and 60 s of them dark."""
    at_ns = 10 * HOUR_NS
    accounts = after(
        Entry(
            MONTH_NS + at_ns,
            seen=seen(HOUR_NS, at_ns),
            ended=[
                dark(2 * HOUR_NS, 2 * HOUR_NS + 60 * S),
                dark(HOUR_NS, HOUR_NS + 9 * S, planned=True),
            ],
        )
    )
    (place,) = reckoned(accounts, at_ns).places
    month = place.of("month")
    assert (month.allowed_s, month.planned_s) == (259.2, 9.0)
    used = month.used_s
    assert (used.lower, used.estimate, used.upper) == (58.0, 60.0, 62.0)
    assert month.left_s == 259.2 - 60
    assert month.left_ratio is not None
    assert round(month.left_ratio, 6) == round(1 - 60 / 259.2, 6)
    assert (month.observed_s, month.unseen_s) == (9 * 3600, 3600)
    assert month.availability == 1 - 60 / (9 * 3600)
    rolling = place.of("28d")
    assert rolling.allowed_s == 241.92
    assert rolling.unseen_s == (28 * 24 - 9) * 3600


def test_burn_rates_are_parts_of_the_observed_time() -> None:
    """At a rate of 1 the budget lasts for its period; blind time is in no rate."""
    at_ns = 100 * HOUR_NS
    half_ns = at_ns - HOUR_NS // 2
    accounts = after(
        Entry(
            MONTH_NS + at_ns,
            seen=[*seen(0, at_ns - HOUR_NS), *seen(half_ns, at_ns)],
            ended=[dark(at_ns - 2 * MINUTE_NS, at_ns - 2 * MINUTE_NS + 18 * S)],
        )
    )
    (place,) = reckoned(accounts, at_ns, 0.999).places
    rates = {name: round(rate or 0, 6) for name, rate in place.burn_rates.items()}
    assert rates == {
        "5m": round(18 / 300 / 0.001, 6),
        "30m": 10.0,
        "1h": 10.0,
        "6h": round(18 / (5.5 * 3600) / 0.001, 6),
        "3d": round(18 / (71.5 * 3600) / 0.001, 6),
    }


def test_a_month_begins_with_a_whole_budget() -> None:
    """An outage over the edge is cut there, to the nanosecond."""
    edge_ns = 30 * DAY_NS
    accounts = after(
        Entry(
            MONTH_NS + edge_ns + HOUR_NS,
            seen=seen(edge_ns - HOUR_NS, edge_ns + HOUR_NS),
            ended=[dark(edge_ns - 100 * S, edge_ns + 7 * S + 1)],
        )
    )
    before = reckoned(accounts, edge_ns - 1).places[0].of("month")
    after_edge = reckoned(accounts, edge_ns + HOUR_NS).places[0].of("month")
    assert before.start_unix_ns == MONTH_NS
    assert after_edge.used_s.estimate == (7 * S + 1) / S
    assert (after_edge.observed_s, after_edge.unseen_s) == (3600, 0)
    assert after_edge.allowed_s == 267.84


def test_reads_and_writes_that_are_dark_together_count_once() -> None:
    """So do outages that are told again, and one that goes on while another ends."""
    row = dark(HOUR_NS, HOUR_NS + 60 * S)
    going_on = dark(HOUR_NS + 30 * S, HOUR_NS + 90 * S)
    entry = Entry(MONTH_NS + HOUR_NS + 92 * S, ended=[row, row], open=[going_on])
    accounts = after(entry, entry)
    used = reckoned(accounts, 2 * HOUR_NS).places[0].of("month").used_s
    assert (used.lower, used.estimate, used.upper) == (88.0, 90.0, 92.0)


def test_it_does_not_grow_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flapping for a day leaves minutes and hours, and a bounded number of spans."""
    monkeypatch.setattr(account_of_place, "MOST_SPANS", 100)
    accounts = Accounts()
    step_ns = 5 * S
    account = None
    for start_ns in range(0, 10 * HOUR_NS, step_ns):
        accounts.take(
            Entry(
                MONTH_NS + start_ns + step_ns,
                seen=seen(start_ns, start_ns + step_ns),
                ended=[dark(start_ns + 2 * S, start_ns + 5 * S)],
                open=[dark(0, start_ns + step_ns)],
            )
        )
        (account,) = (row.account for row in accounts.snapshot().places)
        assert account.recent.count + account.open.count <= 105
    assert account is not None
    assert len(account.minutes) <= 8 * 60
    assert len(account.hours) <= 12
    used = reckoned(accounts, 10 * HOUR_NS).places[0].of("month").used_s
    assert used.estimate == 10 * 3600


def test_a_clock_that_was_wrong_does_not_stop_the_account() -> None:
    """What was entered for a time that has not come is forgotten, and said again."""
    accounts = after(
        Entry(MONTH_NS + 9 * HOUR_NS, seen=seen(0, 9 * HOUR_NS)),
        Entry(MONTH_NS + 9 * DAY_NS, seen=seen(9 * DAY_NS - 60 * S, 9 * DAY_NS)),
    )
    accounts.resume(MONTH_NS + 10 * HOUR_NS)
    accounts.take(Entry(MONTH_NS + 11 * HOUR_NS, seen=seen(10 * HOUR_NS, 11 * HOUR_NS)))
    month = reckoned(accounts, 11 * HOUR_NS).places[0].of("month")
    assert month.observed_s == 10 * 3600


def test_how_it_stands_in_words() -> None:
    """The worst place and period, in one line."""
    assert budget_words(reckoned(Accounts(), HOUR_NS)) == ""
    accounts = after(
        Entry(
            MONTH_NS + HOUR_NS,
            seen=seen(0, HOUR_NS),
            ended=[dark(600 * S, 660 * S)],
        )
    )
    assert budget_words(reckoned(accounts, HOUR_NS)) == (
        "error budget of the last 28 days: 181.9 s, 75% left (shard 0001, lane tcp)"
    )
    assert budget_words(reckoned(accounts, HOUR_NS, 0.999999)) == (
        "error budget of the last 28 days overspent by 57.6 s (shard 0001, lane tcp)"
    )
    assert budget_words(reckoned(accounts, HOUR_NS, 1.0)).startswith(
        "error budget of this month overspent by 60.0 s"
    )
