"""What a run tells of itself and of its probes, what the provider tells, and marks.

Pure.
"""

import msgspec

from loadprobe.core.events.fact import Fact


class RunStarted(Fact, frozen=True, tag="run/started"):
    """The load began.

    Args:
        name: name of the run.
    """

    name: str


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


class ProviderTold(Fact, frozen=True, tag="provider/provider_event"):
    """An event of the provider; this event's time is when we saw it.

    Args:
        date_unix_ns: the provider's own time of it.
        seen_unix_ns: when we saw it, by the clock of this host.
        message: its text.
        source_identifier: id of the group or of a node.
        source_type: "replication-group", "cache-cluster" or another.
        meaning: what the text says, for example "failover_completed".
        node_group: the shard it is about, None if that is not known.
        from_node: id of the former primary, if the text names it.
        to_node: id of the new primary, if the text names it.
        failover_id: the failover it belongs to, None if it belongs to none.
    """

    date_unix_ns: int
    seen_unix_ns: int
    message: str
    source_identifier: str
    source_type: str
    meaning: str = msgspec.field(name="kind")
    node_group: str | None = None
    from_node: str | None = None
    to_node: str | None = None
    failover_id: str | None = None

    @property
    def node(self) -> str | None:
        """Return the node that it is about; None: the group."""
        is_of_node = self.source_type == "cache-cluster"
        return self.source_identifier if is_of_node else None
