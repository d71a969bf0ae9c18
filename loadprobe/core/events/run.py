"""What a run tells of itself and of its probes, and what its operator notes. Pure."""

from loadprobe.core.events.fact import Fact


class RunStarted(Fact, frozen=True, tag="run/started"):
    """The load began.

    Args:
        name: name of the run.
    """

    name: str


class RunContinued(Fact, frozen=True, tag="run/continued"):
    """The load began again: the run goes on, by another process or configuration.

    Args:
        segment: number of the segment of the run folder that begins here.
        blind_ms: nobody looked for so long before.
        was_killed: the process before did not end in order.
        is_other_boot: the machine was started anew: times before are mapped by the wall
            clock.
        wall_step_ms: by how much the wall clock was set forward meanwhile; null if that
            cannot be told, as the machine was started anew.
        writes_checked: keys that were read, of those that the process before wrote.
        writes_lost: those of them whose value, or a newer one, was not there.
        writes_expired: those of them that were not there, and may have expired.
        by_reload: it is the same process; the configuration is another one.
    """

    segment: int
    blind_ms: float
    was_killed: bool
    is_other_boot: bool
    wall_step_ms: float | None
    writes_checked: int = 0
    writes_lost: int = 0
    writes_expired: int = 0
    by_reload: bool = False


class ClockStepped(Fact, frozen=True, tag="run/clock_stepped"):
    """The wall clock was set, or the machine slept; no length of time changes by that.

    Args:
        by_ms: by how much it is ahead of what it would have been.
    """

    by_ms: float


class RunEnded(Fact, frozen=True, tag="run/ended"):
    """The load ended and was judged.

    Args:
        state: of the run, as in ``summary.json``.
    """

    state: str


class RunProblem(Fact, frozen=True, tag="run/problem"):
    """What runs beside the load failed.

    Args:
        text: what went wrong, and what to do.
    """

    text: str


class RunStalled(Fact, frozen=True, tag="run/stall"):
    """The supervisor did not look for a while, from this event's time on.

    Args:
        duration_ms: for how long.
    """

    duration_ms: float


class RateChanged(Fact, frozen=True, tag="run/rate"):
    """The arrivals of a lane change their rate from this event's time on.

    Args:
        lane: its name.
        from_per_s: its rate until then, arrivals per second.
        to_per_s: its rate after the ramp.
        ramp_s: how long the change takes.
        reason: why.
    """

    lane: str
    from_per_s: float
    to_per_s: float
    ramp_s: float
    reason: str


class LoadRestrained(Fact, frozen=True, tag="run/restraint"):
    """All rates go down to spare the cluster or the machine, or up again.

    Args:
        share: of its rate that the load has from now on, 1 is all of it.
        strains: what suffered, or was used up: cpu, steal, latency,
            connections, operations.
    """

    share: float
    strains: tuple[str, ...]


class LaneWoken(Fact, frozen=True, tag="run/lane_woken"):
    """A lane that the cluster did not serve until now began.

    Args:
        lane: its name.
    """

    lane: str


class ProbeStalled(Fact, frozen=True, tag="probe/stall"):
    """A probe process was blind, from this event's time on.

    Args:
        process: its number.
        duration_ms: for how long.
    """

    process: int
    duration_ms: float


class ProbeDied(Fact, frozen=True, tag="probe/died"):
    """A probe process ended by itself, and is started again.

    Args:
        process: its number.
        cause: of what it died.
    """

    process: int
    cause: str


class MarkMade(Fact, frozen=True, tag="operator/mark"):
    """A note that was sent over HTTP.

    Args:
        message: the note.
        by: who sent it.
    """

    message: str
    by: str
