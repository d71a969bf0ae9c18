"""A whole run with a scenario in virtual time: arrivals, steps, events, verdict."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from loadprobe.clock import ClockPair
from loadprobe.core.events import (
    CallBegun,
    EndpointSeen,
    Event,
    PhaseEntered,
    ProviderTold,
)
from loadprobe.core.judging.aggregate import Aggregate
from loadprobe.core.judging.cells import Frame
from loadprobe.core.judging.columns import Block, Failure, Scope
from loadprobe.core.judging.lanes import LaneInfo
from loadprobe.core.judging.latency import P99Log
from loadprobe.core.judging.outcome import ErrorClass, OpKind, Outcome
from loadprobe.core.steps import ScenarioRecord, ScenarioState, StepRecord, StepState
from loadprobe.core.verdict.beside import Planned
from loadprobe.core.verdict.expected import Expected
from loadprobe.core.verdict.measured import (
    Changes,
    Course,
    DataFound,
    Measured,
    ObserverHealth,
)
from loadprobe.core.verdict.verdict import Verdict, summarize
from loadprobe.outputs.folder.documents import LaneSettings, Moment, RunInfo, event_line
from loadprobe.outputs.folder.reader import PastEvent, RunData
from tests.support.events import DETAILS, provider_told

MS = 1_000_000
S = 1_000 * MS
CLOCK = ClockPair(0, 1_767_323_045 * S)  # 2026-01-02 03:04:05 UTC
LANES = (
    LaneInfo("tcp", False, (0,), 250 * MS),
    LaneInfo("tls", True, (1,), 250 * MS),
)
SHARDS = ("0001", "0002", "0003")
STRICT = Expected(max_lost_writes=0, max_wrong=0)
Slow = Callable[[str, str, int], float]


@dataclass(frozen=True, slots=True)
class Dark:
    """A lane, or one shard of it, does not answer during [start, end) ms."""

    lane: str
    start_ms: int
    end_ms: int
    shard: str | None = None
    error: ErrorClass = ErrorClass.CONNECT_REFUSED

    def holds(self, lane: str, shard: str, ms: int) -> bool:
        """Tell whether an arrival fails."""
        return (
            lane == self.lane
            and self.shard in (None, shard)
            and self.start_ms <= ms < self.end_ms
        )


@dataclass(frozen=True, slots=True)
class Story:
    """What happens in a run of reads, one every ``every_ms`` on each shard.

    Args:
        record: the scenario as it was carried out.
        dark: what fails.
        planned: what was expected to fail.
        slow: (lane, shard, ms) -> how long an arrival takes, ms.
        begins_ms: lane -> when it begins.
    """

    record: ScenarioRecord
    dark: Sequence[Dark] = ()
    planned: Sequence[Planned] = ()
    slow: Slow = lambda lane, shard, ms: 0.5
    begins_ms: Mapping[str, int] = field(default_factory=dict)
    events: Sequence[Event] = ()
    expected: Expected = STRICT
    end_ms: int = 60_000
    every_ms: int = 10


def block(story: Story, lane: str, shard: str) -> Block:
    """Return the arrivals of one scope."""
    result = Block()
    for ms in range(story.begins_ms.get(lane, 0), story.end_ms, story.every_ms):
        due = ms * MS
        done = due + round(story.slow(lane, shard, ms) * MS)
        dark = [d for d in story.dark if d.holds(lane, shard, ms)]
        if dark:
            error = dark[0].error
            outcome = Outcome.UNSENT
            row = Failure(due, due, -1, outcome, error, due, due + MS // 10)
            result.add_failure(row)
        else:
            result.add_served(due, due, done)
    return result


def judged(story: Story) -> tuple[Verdict, list[Frame]]:
    """Return the verdict of a story, and its film."""
    awake = [
        i for i, lane in enumerate(LANES) if story.begins_ms.get(lane.name, 0) >= 0
    ]
    aggregate = Aggregate(LANES, asleep={0, 1} - set(awake))
    log = P99Log()
    for index in awake:
        lane = LANES[index].name
        aggregate.start_process(index, story.begins_ms.get(lane, 0) * MS)
        blocks = {
            Scope(lane, shard, OpKind.READ): block(story, lane, shard)
            for shard in SHARDS
        }
        aggregate.add(index, blocks, watermark_ns=story.end_ms * MS)
    sealed = aggregate.seal()
    log.add(sealed.p99)
    results = aggregate.finish(story.end_ms * MS)
    log.add(results.last.p99)
    verdict = summarize(
        Measured(
            results,
            CLOCK,
            quiet_ns=S,
            observer=ObserverHealth(max_loop_lag_ns=3 * MS, cpu_ns=20 * S),
            data=DataFound(stale_reads=0, lost_writes=0),
            course=Course(p99=log),
            changes=Changes(
                story.record,
                story.planned,
                story.expected,
                [e for e in story.events if isinstance(e, ProviderTold)],
            ),
        )
    )
    return verdict, [*sealed.film, *results.last.film]


def reported(story: Story) -> RunData:
    """Return a story as a run folder that was read back."""
    verdict, film = judged(story)
    return RunData(
        path=Path("runs/20260102T030405Z-window"),
        info=RunInfo(
            name="window",
            target="127.0.0.1:7000",
            versions={"loadprobe": "0.1.0"},
            host={"name": "host", "cpus": 2},
            config={},
            config_digest="sha256:00",
            lanes=(LaneSettings("tcp", "wire", False, "open", 300.0, 100, 1, 250),),
            scenario=story.record.name,
            start=Moment(CLOCK.wall_ns, CLOCK.mono_ns),
            end=Moment(CLOCK.to_wall(story.end_ms * MS), story.end_ms * MS),
        ),
        summary=verdict.summary,
        outages=tuple(verdict.outages.outages),
        events=tuple(PastEvent.of(event_line(e, CLOCK)) for e in story.events),
        film=tuple(film),
    )


def step(
    name: str, operation: str, *shards: str, reason: str = "", **phases_ms: int
) -> StepRecord:
    """Return a step that settled, given the times of its phases; with a reason: not."""
    return StepRecord(
        name,
        operation,
        StepState.FAILED if reason else StepState.SETTLED,
        shards,
        {phase: ms * MS for phase, ms in phases_ms.items()},
        reason,
    )


def told(
    ms: int, message: str, *, shard: str | None = None, later_ms: int = 700
) -> ProviderTold:
    """Return an event of the provider, seen some time after its own time."""
    seen_ns = (ms + later_ms) * MS
    return provider_told(
        seen_ns,
        message,
        date_unix_ns=CLOCK.to_wall(ms * MS),
        seen_unix_ns=CLOCK.to_wall(seen_ns),
        shard=shard,
    )


def phases_of(record: StepRecord, call: str) -> list[Event]:
    """Return the phases of a step, and what its watch saw, as the controller tells."""
    shard = record.shards[0] if len(record.shards) == 1 else None
    details = {**DETAILS, "api_call": CallBegun(call)}
    return [
        _seen(at_ns, phase)
        if phase in ("endpoint_cut", "endpoint_refused")
        else PhaseEntered(at_ns, record.name, record.operation, shard, details[phase])
        for phase, at_ns in record.phases_ns.items()
    ]


def _seen(at_ns: int, phase: str) -> EndpointSeen:
    """Return that the plaintext endpoint ends."""
    return EndpointSeen(
        at_ns,
        host="127.0.0.1",
        port=7000,
        tls=False,
        state="cut" if phase == "endpoint_cut" else "refused",
        reason="the connection was closed",
        gap_ms=50.0,
    )


def slow_between(
    start_ms: int, end_ms: int, *, took_ms: float, lane: str = "tcp"
) -> Slow:
    """Return latencies that are higher on one lane for a time."""

    def slow(of_lane: str, shard: str, ms: int) -> float:
        del shard
        return took_ms if of_lane == lane and start_ms <= ms < end_ms else 0.5

    return slow


def tls_migration() -> Story:
    """Return a TLS migration in which plaintext ends, after a failover."""
    preferred = step(
        "preferred", "tls", api_call=10_250, accepted=10_400, modifying=11_000,
        settled=16_000, replicas_recovered=16_100,
    )  # fmt: skip
    failover = step(
        "failover", "failover", "0002", api_call=22_000, accepted=22_150,
        promoted=24_600, provider_completed=25_400, settled=26_500,
        replicas_recovered=27_000,
    )  # fmt: skip
    required = step(
        "required", "tls", api_call=36_000, accepted=36_100, modifying=37_000,
        endpoint_cut=40_050, endpoint_refused=40_060, settled=43_000,
        replicas_recovered=43_200,
    )  # fmt: skip
    hold = StepRecord(
        "calm", "hold", StepState.SETTLED, (), {"begun": 30 * S, "settled": 34 * S}
    )
    completed = "Failover to replica node demo-0002-002 completed"
    called = "Test Failover API called for node group 0002"
    return Story(
        ScenarioRecord(
            "tls-migration",
            ScenarioState.COMPLETED,
            (preferred, failover, hold, required),
        ),
        dark=(
            Dark("tcp", 22_500, 24_800, "0002"),
            Dark("tls", 22_500, 24_800, "0002"),
            Dark("tcp", 40_000, 60_000),
        ),
        planned=(Planned("tcp", 36 * S, 60 * S),),
        slow=slow_between(11_000, 14_000, took_ms=8),
        begins_ms={"tls": 16_500},
        events=(
            *phases_of(preferred, "ModifyReplicationGroup(... preferred)"),
            *phases_of(failover, "TestFailover(NodeGroupId=0002)"),
            *phases_of(required, "ModifyReplicationGroup(... required)"),
            told(22_100, called, shard="0002"),
            told(25_000, completed, shard="0002"),
            told(25_000, completed, shard="0002", later_ms=1700),
        ),
    )


def aborted() -> Story:
    """Return a scenario that an outage on another shard ended early."""
    scale = step(
        "scale", "scale", "0001", api_call=20_000, accepted=20_200, modifying=21_000,
        settled=28_000, replicas_recovered=28_500,
    )  # fmt: skip
    skipped = StepRecord(
        "back", "scale", StepState.SKIPPED, reason="an outage of 3000 ms"
    )
    return Story(
        ScenarioRecord(
            "scale-out-in",
            ScenarioState.ABORTED,
            (scale, skipped),
            "an outage of 3000 ms that was not expected (abort.max_outage_ms = 1000)",
        ),
        dark=(Dark("tcp", 22_000, 25_000, "0003", ErrorClass.RESET),),
        planned=(Planned("tcp", 50 * S, 60 * S),),
        begins_ms={"tls": -1},
        events=phases_of(scale, "ModifyReplicationGroupShardConfiguration(...)"),
        expected=Expected(max_lost_writes=0, max_wrong=0, calm_lanes=("tcp",)),
    )
