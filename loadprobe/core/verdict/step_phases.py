"""What the load saw of the steps of a scenario: the values, lane by lane and in all.

Pure; times are monotonic nanoseconds. How they are found is in ``core.verdict.phases``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from loadprobe.core.judging.activity import Activity
from loadprobe.core.judging.latency import P99Log
from loadprobe.core.judging.outages import Outage
from loadprobe.core.steps import StepRecord
from loadprobe.core.verdict.controller_log import ControllerLog, SlotMove
from loadprobe.core.verdict.instants import Instant, earliest, latest, served_again


@dataclass(frozen=True, slots=True)
class LoadSeen:
    """What the load saw of a whole run.

    Args:
        shards: names of the shards that each lane probed.
        outages: those that were not planned.
        planned: those that were.
        p99: response times, second by second.
        begin_ns: start of the load.
        end_ns: end of the load.
        activity: what was served after outages.
        controller: what the supervisor saw of itself and of slots.
    """

    shards: Mapping[str, Sequence[str]]
    outages: Sequence[Outage]
    planned: Sequence[Outage]
    p99: P99Log
    begin_ns: int
    end_ns: int
    activity: Activity = field(default_factory=Activity)
    controller: ControllerLog = field(default_factory=ControllerLog)


@dataclass(frozen=True, slots=True)
class P99Course:
    """How the p99 of a lane went during a step; ns.

    Args:
        baseline_ns: what was usual before.
        limit_ns: where the band ends.
        worst_ns: of the worst second while the step was under way.
        has_left: the band was left, or the lane had an outage.
        recovered_ns: start of the first of 3 seconds in the band after that; None if
            the band was not left, or there were no such seconds.
    """

    baseline_ns: int
    limit_ns: int
    worst_ns: int
    has_left: bool
    recovered_ns: int | None


@dataclass(frozen=True, slots=True)
class Blast:
    """What a step did to the shards of a lane that it was not about.

    Args:
        shards: these shards.
        failed: their arrivals that failed in outages of this step, without planned.
        shard: the one whose p99 rose most, None if there is no baseline.
        baseline_ns: its p99 before.
        worst_ns: its p99 in the worst second while the step was under way.
    """

    shards: tuple[str, ...]
    failed: int
    shard: str | None = None
    baseline_ns: int | None = None
    worst_ns: int | None = None


@dataclass(frozen=True, slots=True)
class LanePhases:
    """What one lane saw of a step.

    Args:
        lane: its name.
        outages: those that belong to the step, without planned ones.
        planned: the planned ones.
        first_error: the first failed arrival, and between which times it went dark.
        first_planned_error: the same of the planned ones.
        planned_served: when the last planned outage was over that ended in the time of
            the step, whenever it began; None without any.
        first_served: end of the last outage; None without any, or if one goes on.
        is_dark_at_end: an outage went on when the observation ended.
        p99: None if no p99 was to be had, or the lane was dark by plan.
        blast: None if the step was about all shards.
        redirects: how many were followed while the step was under way, by kind.
    """

    lane: str
    outages: tuple[Outage, ...] = ()
    planned: tuple[Outage, ...] = ()
    first_error: Instant | None = None
    first_planned_error: Instant | None = None
    planned_served: Instant | None = None
    first_served: Instant | None = None
    is_dark_at_end: bool = False
    p99: P99Course | None = None
    blast: Blast | None = None
    redirects: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StepPhases:
    """What was seen of a step.

    Args:
        record: what the controller did.
        start_ns: its API call; None if it did nothing.
        end_ns: end of its time.
        lanes: what each lane saw, in the order of the lanes.
        slot_moves: which slots were seen to come to other shards, by time.
    """

    record: StepRecord
    start_ns: int | None = None
    end_ns: int | None = None
    lanes: tuple[LanePhases, ...] = ()
    slot_moves: Sequence[SlotMove] = ()

    @property
    def first_error(self) -> Instant | None:
        """Return the first failed arrival of any lane."""
        return earliest(lane.first_error for lane in self.lanes)

    @property
    def first_planned_error(self) -> Instant | None:
        """Return the first arrival of any lane that failed by plan."""
        return earliest(lane.first_planned_error for lane in self.lanes)

    @property
    def planned_served(self) -> Instant | None:
        """Return when the last lane was back that came back from darkness by plan."""
        return latest(lane.planned_served for lane in self.lanes)

    @property
    def first_served(self) -> Instant | None:
        """Return when the last lane was served again; None if one was not.

        What one lane did not see of it is known from others that looked.
        """
        if any(lane.outages and lane.first_served is None for lane in self.lanes):
            return None
        return served_again(
            [o for lane in self.lanes for o in lane.outages], of_shard=True
        )

    @property
    def p99_recovered_ns(self) -> int | None:
        """Return when the p99 of the last lane was back; None if one was not."""
        left = [lane.p99 for lane in self.lanes if lane.p99 and lane.p99.has_left]
        times = [p99.recovered_ns for p99 in left if p99.recovered_ns is not None]
        return max(times, default=None) if len(times) == len(left) else None
