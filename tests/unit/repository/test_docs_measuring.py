"""The examples of docs/measuring.md are what the code computes."""

from loadprobe.clock import NS_PER_S
from loadprobe.core.budget.account import Bands
from loadprobe.core.budget.accounts import Accounts, Dark, Entry, Seen
from loadprobe.core.budget.calendar import DAY_NS, HOUR_NS, MINUTE_NS, allowed_ns
from loadprobe.core.budget.figures import reckon
from loadprobe.core.judging.latency import P99Log, SecondP99
from loadprobe.core.judging.outages import Outage
from loadprobe.core.steps import StepRecord, StepState
from loadprobe.core.verdict.incidents import DarkTime, downtime
from loadprobe.core.verdict.instants import Instant
from loadprobe.core.verdict.phases import find_phases
from loadprobe.core.verdict.step_phases import LanePhases, LoadSeen
from loadprobe.core.verdict.texts import dark_text
from tests.support.aggregating import MS, ONE, SCOPE, begun, refuse
from tests.support.aggregating import served as block_of
from tests.support.client_lanes import SLOW, WIRE, by_lane, compared
from tests.support.outages import outage
from tests.support.paths import ROOT
from tests.support.tracking import late, refused, served, track

BARS_NS = (NS_PER_S, 0, -NS_PER_S)
TEXT = (ROOT / "docs" / "measuring.md").read_text()


def span(start_ns: int, end_ns: int) -> str:
    """Return an interval as the page writes it."""
    return f"{start_ns / MS:.1f} to {end_ns / MS:.1f}"


def table(found: Outage, *, with_estimate: bool) -> str:
    """Return the rows of an example."""
    rows = [
        f"| hull | {span(found.hull_start_ns, found.hull_end_ns)} |",
        f"| core | {span(found.core_start_ns, found.core_end_ns)} |",
    ]
    if with_estimate:
        rows.append(f"| estimate | {span(found.start_ns, found.end_ns)} |")
    lengths = (found.lower_ns, found.duration_ns, found.upper_ns)
    shown = ", ".join(f"{length / MS:.1f}" for length in lengths)
    return "\n".join([*rows, f"| lower, duration, upper | {shown} |"])


def test_example_1() -> None:
    """Refusals between served arrivals."""
    rows = [served(t) for t in (100, 101, 102, 106, 107)]
    (found,) = track(rows, [refused(t) for t in (103, 104, 105)])
    assert table(found, with_estimate=True) in TEXT


def test_example_2() -> None:
    """Silence longer than the deadline."""
    rows = [served(t) for t in range(900, 1000, 10)]
    failures = [late(t, 1500.2 + (t - 1000) / 1000) for t in range(1000, 1250, 10)]
    rows += [(t * MS, t * MS, round(1500.5 * MS)) for t in range(1260, 1500, 10)]
    (found,) = track(rows, failures)
    assert table(found, with_estimate=False) in TEXT


def test_example_3() -> None:
    """Blind time in the midst of an outage, and over the end of one."""
    aggregate = begun(ONE)
    served = [*range(20), *range(70, 120), *range(190, 200)]
    block = block_of(*served, took_ms=0.2)
    refuse(block, *range(20, 70), *range(120, 170))
    stalls = [(30 * MS, 50 * MS), (160 * MS, 190 * MS)]
    aggregate.add(0, {SCOPE: block}, watermark_ns=200 * MS, stalls=stalls)
    for name, found in zip(
        ("first", "second"), aggregate.finish(200 * MS).outages, strict=True
    ):
        hull, *cores = (span(*part) for part in (found.hull, *found.cores))
        lengths = found.lower_ns, found.duration_ns, found.upper_ns
        told = ", ".join(f"{length / MS:.1f}" for length in lengths)
        unseen = f"{found.unseen_ns / MS:.1f}"
        row = f"| {name} | {hull} | {', '.join(cores)} | {told} | {unseen} |"
        assert row in TEXT, row


def test_example_4() -> None:
    """Union and intersection over two shards."""
    rows = [outage(100, 200), outage(150, 260, shard="0002")]
    found = downtime(rows, ["0001", "0002"])

    def told(time: DarkTime) -> str:
        values = (time.estimate_ns, time.lower_ns, time.upper_ns)
        return "{} ms [{}, {}]".format(*(v // MS for v in values))

    text = " ".join(TEXT.split())
    both = f"any shard {told(found.any_shard)}, all shards {told(found.all_shards)}"
    assert both in text


def test_example_5() -> None:
    """Phases, planned darkness and blast radius of a failover."""
    step = StepRecord(
        "failover",
        "failover",
        StepState.SETTLED,
        ("0002",),
        {"api_call": 10_000 * MS, "settled": 16_000 * MS},
    )
    p99 = P99Log()
    for second in range(30):
        value_ms = 1 if second < 12 else 4 if second < 15 else 2
        p99.add([SecondP99("tcp", None, second, value_ms * MS)])
    rows = [outage(12_000, 13_200, shard="0002"), outage(12_500, 12_600)]
    planned = [outage(20_000, 30_000)]

    def lane(planned: list[Outage]) -> LanePhases:
        shards = {"tcp": ("0001", "0002", "0003")}
        load = LoadSeen(shards, rows, planned, p99, 0, 30_000 * MS)
        return find_phases([step], load)[0].lanes[0]

    def offset(at_ns: int) -> str:
        return f"{at_ns / MS - 10_000:+.1f}"

    def row(phase: str, at: Instant | None) -> str:
        assert at is not None
        bars = f"[{offset(at.earliest_ns)}, {offset(at.latest_ns)}]"
        return f"| {phase} | {offset(at.at_ns)} ms {bars} |"

    found = lane(planned)
    course = lane([]).p99
    assert found.p99 is None
    assert found.blast is not None
    assert course is not None
    assert course.recovered_ns is not None
    dark = downtime(found.outages, ["0001", "0002"]).shards
    spoken = ", ".join(
        f"{dark_text(dark[name])} on {name}" for name in ("0002", "0001")
    )
    table = "\n".join(
        [
            row("first_error", found.first_error),
            row("first_served", found.first_served),
            f"| band | up to {course.limit_ns / MS:.1f} ms |",
            f"| p99_recovered | {offset(course.recovered_ns)} ms |",
            row("first_planned_error", found.first_planned_error),
            f"| dark | {spoken} |",
            f"| blast radius | {found.blast.failed} arrivals failed |",
        ]
    )
    assert table in TEXT


def test_example_6() -> None:
    """What a client adds to the outage of the witness."""
    rows = by_lane(compared(WIRE, SLOW))
    added = rows["slow"].beyond_witness_ms
    assert added is not None
    shown = f"{added.estimate:.0f} ms [{added.lower:.0f}, {added.upper:.0f}]"
    assert f"It added {shown}." in TEXT


def test_what_a_target_allows() -> None:
    """The table of the error budget."""
    for days in (28, 29, 30, 31):
        minutes, rest_ns = divmod(allowed_ns(days * DAY_NS, 0.9999), MINUTE_NS)
        assert f"{minutes} min {rest_ns / NS_PER_S:g} s of {days}" in TEXT


def test_example_7() -> None:
    """An error budget after ten hours."""
    begin_ns = 1_793_491_200 * NS_PER_S  # 2026-11-01
    edges = [(2 * HOUR_NS + by, 2 * HOUR_NS + 60 * NS_PER_S - by) for by in BARS_NS]
    spans = [[(begin_ns + start, begin_ns + end)] for start, end in edges]
    planned = [(begin_ns + HOUR_NS, begin_ns + HOUR_NS + 9 * NS_PER_S)]
    now_ns = begin_ns + 10 * HOUR_NS
    accounts = Accounts()
    seen = [Seen("tcp", ["0001"], [(begin_ns + HOUR_NS, now_ns)])]
    dark = Dark("tcp", "0001", Bands(spans[0], spans[1], spans[2], planned))
    accounts.take(Entry(now_ns, seen=seen, ended=[dark]))
    month = reckon(accounts, target=0.9999, now_ns=now_ns).places[0].of("month")
    used, left = month.used_s, month.left_ratio
    told = (
        f"Of the {month.allowed_s:g} s that 99.99 % allow, {used.estimate:g} s\n"
        f"[{used.lower:g}, {used.upper:g}] are used and {month.left_s:.1f} s left "
        f"({left:.1%}); planned {month.planned_s:g} s, unseen {month.unseen_s:,.0f} s."
    )
    assert told.replace("%)", " %)") in TEXT
