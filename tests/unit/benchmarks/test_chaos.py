"""What was done against what was told: the judge of the chaos matrix, and its table."""

from dataclasses import replace

from benchmarks.chaos.judging import Done, Told, Truth, Verdict, judge
from benchmarks.chaos.page import BEGIN, END, with_table
from loadprobe.core.judging.columns import Scope
from loadprobe.core.judging.outages import Outage
from loadprobe.core.judging.outcome import ErrorClass, OpKind, Outcome

MS = 1_000_000
DONE = Done(
    "refused",
    "connections refused",
    window=(1_000 * MS, 4_000 * MS),
    truths=[Truth((2_000 * MS, 2_800 * MS), (1_999 * MS, 2_801 * MS), "shard")],
)


def outage(lane: str, op: OpKind, *, shard: str = "0002", by_ms: int = 0) -> Outage:
    """Return an outage of some arrivals from 2,001 to 2,799 ms, or moved."""
    hull_start, core_start, core_end, hull_end = (
        (at + by_ms) * MS for at in (1_998, 2_001, 2_799, 2_802)
    )
    return Outage(
        Scope(lane, shard, op),
        *(hull_start, core_start, core_start, core_end, core_end, hull_end),
        first_due_ns=core_start,
        last_due_ns=core_end,
        failed=80,
        classes={ErrorClass.CONNECT_REFUSED: 80},
        outcomes={Outcome.UNSENT: 80},
        probe_gap_ns=3 * MS,
        open_start=False,
        open_end=False,
    )


ALL = [
    Told(outage(lane, op), "shard")
    for lane in ("tcp", "tls")
    for op in (OpKind.READ, OpKind.WRITE)
]


def problems(told: list[Told], done: Done = DONE) -> list[str]:
    """Return what is wrong with what was told."""
    return judge(done, [done], told, {}, []).problems


def test_what_is_told_as_it_was_is_right() -> None:
    """Hulls cover what was certain, cores lie in what was possible."""
    row = judge(DONE, [DONE], ALL, {"tcp": [(0, 1_001 * MS)]}, [])
    assert row.problems == []
    assert row.certain_ms == {"tcp": 800, "tls": 800}
    assert row.possible_ms == {"tcp": 802, "tls": 802}
    assert row.told_ms == {"tcp": (798, 804), "tls": (798, 804)}
    assert row.blind_ms == {"tcp": 1, "tls": 0}
    assert row.causes == ("shard",)


def test_what_is_missed_is_wrong() -> None:
    """A scope without an outage, and one whose hull is too short."""
    assert problems(ALL[:3]) == ["tls 0002 write: 800.0 ms of it were not told"]
    moved = Told(outage("tls", OpKind.WRITE, by_ms=-10), "shard")
    assert "tls 0002 write: 8.0 ms of it were not told" in problems([*ALL[:3], moved])


def test_what_was_not_dark_is_wrong() -> None:
    """Another shard, a core that is too long, an outage where nothing was done."""
    other = Told(outage("tcp", OpKind.READ, shard="0001"), "shard")
    (text,) = problems([*ALL, other])
    assert text == "tcp 0001 read: told dark for 798.0 ms in which it was not"
    apart = Told(outage("tcp", OpKind.CONNECT, by_ms=50), "shard")
    (text,) = problems([*ALL, apart])
    assert text == "tcp 0002 connect: told dark for 48.0 ms in which it was not"
    instant = replace(other.outage, core_end_ns=other.outage.core_start_ns)
    (text,) = problems([*ALL, Told(instant, "shard")])
    assert text == (
        "tcp 0001 read: told of an outage (connect_refused) where nothing was done"
    )
    held_up = [(1_990 * MS, 2_810 * MS)]
    assert judge(DONE, [DONE], [*ALL, other], {}, held_up).problems == []


def test_another_cause_is_wrong() -> None:
    """An outage that is long enough to know."""
    (text,) = problems([*ALL[:3], Told(ALL[3].outage, "cluster")])
    assert text == (
        "tls 0002 write: attributed to cluster, not to shard ({'connect_refused': 80})"
    )


def test_a_probe_that_was_stopped_is_blind() -> None:
    """All the while, on every lane that was."""
    done = replace(DONE, truths=[], blind={"tcp": (1_500 * MS, 2_000 * MS)})
    blind = {"tcp": [(1_400 * MS, 1_900 * MS)]}
    assert judge(done, [done], [], blind, []).problems == [
        "lane tcp was not told to be blind all of the time"
    ]


def test_the_table() -> None:
    """A line for each thing that was done, or why it was not."""
    rows: list[Verdict] = [
        judge(DONE, [DONE], ALL, {}, []),
        judge(Done("disk full", "no space", obstacle="no root"), [], [], {}, []),
    ]
    page = with_table(f"before\n{BEGIN}\n{END}\n", rows, [], {"cores": "2"})
    assert "2 of 2 rows are as they should be." in page
    assert (
        "| refused | connections refused | 800 to 802 | 798 to 804 | 798 to 804 "
        "| shard | 0 | right |"
    ) in page
    assert "| not possible here: no root |" in page
