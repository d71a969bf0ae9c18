"""What is known of a run when it is over: its verdict is made from this alone. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from loadprobe.clock import ClockPair
from loadprobe.core.events import ProviderTold
from loadprobe.core.judging.activity import Activity
from loadprobe.core.judging.latency import P99Log
from loadprobe.core.judging.results import Results
from loadprobe.core.steps import ScenarioRecord
from loadprobe.core.verdict.beside import Planned
from loadprobe.core.verdict.controller_log import ControllerLog
from loadprobe.core.verdict.expected import Expected
from loadprobe.core.verdict.thresholds import SloLimits


@dataclass(frozen=True, slots=True)
class ObserverHealth:
    """What the processes measured of themselves over the whole run.

    Args:
        max_loop_lag_ns: longest time a loop did not get to run.
        max_gc_pause_ns: longest garbage collection.
        late_sends: arrivals sent later than the probe tolerates.
        skipped: arrivals the schedule asked for that were never sent.
        cpu_ns: CPU time of all probe processes.
    """

    max_loop_lag_ns: int = 0
    max_gc_pause_ns: int = 0
    late_sends: int = 0
    skipped: int = 0
    cpu_ns: int = 0


@dataclass(frozen=True, slots=True)
class DataFound:
    """What was found in place of what had been written; None is not checked.

    Args:
        lost_writes: acknowledged writes that are gone.
        stale_reads: reads of primaries of a value older than an acknowledged one.
        replica_stale_reads: the same of reads that replicas may answer.
        absent_reads: reads of keys that are not there on purpose, by lane.
    """

    lost_writes: int | None = None
    stale_reads: int | None = None
    replica_stale_reads: int | None = None
    absent_reads: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Course:
    """How it went, second by second.

    Args:
        p99: response times, for the phases of the scenario.
        activity: what lanes did; None if it was not counted.
        controller: what the supervisor saw of itself and of slots.
    """

    p99: P99Log = field(default_factory=P99Log)
    activity: Activity | None = None
    controller: ControllerLog = field(default_factory=ControllerLog)


@dataclass(frozen=True, slots=True)
class Changes:
    """What was done to the target, and expected of it.

    Args:
        scenario: how it was carried out, None if there was none.
        planned: expected darkness of lanes.
        expected: what else the scenario expects of the load.
        events: the provider's events.
    """

    scenario: ScenarioRecord | None = None
    planned: Sequence[Planned] = ()
    expected: Expected = field(default_factory=Expected)
    events: Sequence[ProviderTold] = ()


@dataclass(frozen=True, slots=True)
class Measured:
    """All that is known.

    Args:
        results: what ``Aggregate.finish`` returned.
        clock: to show monotonic times as wall times.
        quiet_ns: outages closer together than this are one incident.
        observer: the probe processes' own health.
        slo: thresholds.
        data: what became of the data.
        course: how it went, second by second.
        changes: what was done to the target.
        problems: how many things went wrong in the run itself.
    """

    results: Results
    clock: ClockPair
    quiet_ns: int
    observer: ObserverHealth = field(default_factory=ObserverHealth)
    slo: SloLimits = field(default_factory=SloLimits)
    data: DataFound = field(default_factory=DataFound)
    course: Course = field(default_factory=Course)
    changes: Changes = field(default_factory=Changes)
    problems: int = 0
