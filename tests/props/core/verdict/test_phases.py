"""Phases hold their promises for any steps and outages."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from loadprobe.core.judging.latency import P99Log, SecondP99
from loadprobe.core.judging.outages import Outage
from loadprobe.core.steps import StepRecord, StepState
from loadprobe.core.verdict.phases import find_phases
from loadprobe.core.verdict.step_phases import LoadSeen, StepPhases
from tests.support.outages import outage

MS = 1_000_000
S = 1_000 * MS
END_S = 120
SHARDS = {"tcp": ("0001", "0002"), "tls": ("0001", "0002")}


@st.composite
def outages(draw: st.DrawFn) -> list[Outage]:
    """Return some outages of two lanes and two shards."""
    rows = draw(
        st.lists(
            st.tuples(
                st.integers(10, 110_000),
                st.integers(3, 9_000),
                st.sampled_from(["tcp", "tls"]),
                st.sampled_from(["0001", "0002"]),
                st.booleans(),
            ),
            max_size=8,
        )
    )
    return [
        replace(outage(start, start + length, lane=lane, shard=shard), open_end=is_open)
        for start, length, lane, shard, is_open in rows
    ]


@st.composite
def steps(draw: st.DrawFn) -> list[StepRecord]:
    """Return some steps one after the other."""
    records: list[StepRecord] = []
    at_ms = 0
    for number in range(draw(st.integers(1, 4))):
        at_ms += draw(st.integers(1, 40_000))
        phases = {"api_call": at_ms * MS}
        for phase in ("accepted", "settled", "replicas_recovered"):
            at_ms += draw(st.integers(0, 5_000))
            phases[phase] = at_ms * MS
        state = draw(st.sampled_from([StepState.SETTLED, StepState.FAILED]))
        shards = draw(st.sampled_from([(), ("0001",)]))
        operation = draw(st.sampled_from(["failover", "hold", "scale"]))
        records.append(StepRecord(f"s{number}", operation, state, shards, phases))
    return records


@st.composite
def logs(draw: st.DrawFn) -> list[SecondP99]:
    """Return the p99 of some seconds of the lanes."""
    values = draw(st.lists(st.sampled_from([0, 1, 1, 1, 2, 9]), max_size=END_S))
    return [
        SecondP99(lane, shard, second, value * MS)
        for lane, shards in SHARDS.items()
        for shard in (None, *shards)
        for second, value in enumerate(values)
        if value
    ]


def found(
    records: list[StepRecord],
    rows: list[Outage],
    planned: list[Outage],
    p99: list[SecondP99],
    *,
    shift_s: int = 0,
) -> list[StepPhases]:
    """Return the phases, with everything some seconds later."""
    by_ns = shift_s * S
    log = P99Log()
    log.add(row._replace(second=row.second + shift_s) for row in p99)
    load = LoadSeen(
        SHARDS,
        [shifted(row, by_ns) for row in rows],
        [shifted(row, by_ns) for row in planned],
        log,
        by_ns,
        END_S * S + by_ns,
    )
    moved = [
        replace(r, phases_ns={k: v + by_ns for k, v in r.phases_ns.items()})
        for r in records
    ]
    return find_phases(moved, load)


def shifted(row: Outage, by_ns: int) -> Outage:
    """Return an outage some time later."""
    times = [name for name in row.__dataclass_fields__ if name.endswith("_ns")]
    times.remove("probe_gap_ns")
    return replace(row, **{name: getattr(row, name) + by_ns for name in times})


def offsets(step: StepPhases) -> list[object]:
    """Return everything of a step that counts from its call."""
    start = step.start_ns
    if start is None:
        return []
    texts: list[object] = [step.end_ns and step.end_ns - start]
    for lane in step.lanes:
        texts += (
            at and (at.at_ns - start, at.earliest_ns - start, at.latest_ns - start)
            for at in (lane.first_error, lane.first_planned_error, lane.first_served)
        )
        back = lane.p99 and lane.p99.recovered_ns
        texts += [back and back - start, lane.blast, len(lane.outages)]
    return texts


@given(steps(), outages(), outages(), logs(), st.integers(0, 10_000))
def test_shift(
    records: list[StepRecord],
    rows: list[Outage],
    planned: list[Outage],
    p99: list[SecondP99],
    shift_s: int,
) -> None:
    """The same run at another time gives the same offsets and nothing else."""
    here = found(records, rows, planned, p99)
    there = found(records, rows, planned, p99, shift_s=shift_s)
    assert list(map(offsets, here)) == list(map(offsets, there))


@given(steps(), outages(), outages(), logs())
def test_order(
    records: list[StepRecord],
    rows: list[Outage],
    planned: list[Outage],
    p99: list[SecondP99],
) -> None:
    """Call, first error, served again and p99 recovered follow each other."""
    for step in found(records, rows, planned, p99):
        for lane in step.lanes:
            assert step.start_ns is not None
            times = [step.start_ns]
            times += [at.at_ns for at in (lane.first_error, lane.first_served) if at]
            if lane.p99 and lane.p99.recovered_ns is not None:
                times.append(lane.p99.recovered_ns)
                assert lane.p99.has_left
            assert times == sorted(times)
            for at in (lane.first_error, lane.first_planned_error, lane.first_served):
                assert at is None or at.earliest_ns <= at.at_ns <= at.latest_ns


@given(steps(), outages(), outages(), logs())
def test_partition(
    records: list[StepRecord],
    rows: list[Outage],
    planned: list[Outage],
    p99: list[SecondP99],
) -> None:
    """Every outage belongs to one step at most, as planned or not, as it came in."""
    steps_found = found(records, rows, planned, p99)
    for given_rows, kind in ((rows, "outages"), (planned, "planned")):
        belonging = [
            id(o) for s in steps_found for lane in s.lanes for o in getattr(lane, kind)
        ]
        assert len(belonging) == sum(
            any(
                s.start_ns is not None
                and s.end_ns is not None
                and s.start_ns <= row.first_due_ns < s.end_ns
                for s in steps_found
            )
            for row in given_rows
        )
