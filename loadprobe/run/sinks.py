"""Who is told what a run measures, while it does: any number of sinks, in their order.

There are five kinds of news: events beside the load, what was judged, the health of the
probes, and what servers and CloudWatch tell. A sink takes those kinds that it has a
method for, and nothing else of a run knows who they are.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from loadprobe.core.events import Event
from loadprobe.core.judging.results import Sealed
from loadprobe.core.topology.node_metrics import MetricRow
from loadprobe.core.topology.server_side import ServerRow
from loadprobe.probe.messages import Snapshot


@runtime_checkable
class TakesEvents(Protocol):
    """Is told of phases, provider events, topology, problems."""

    def take_event(self, event: Event) -> None:
        """Take a line of the journal."""


@runtime_checkable
class TakesSealed(Protocol):
    """Is told what became certain."""

    def take_sealed(self, sealed: Sealed) -> None:
        """Take what was judged since the last time."""


@runtime_checkable
class TakesHealth(Protocol):
    """Is told how probes are doing."""

    def take_health(self, snapshot: Snapshot) -> None:
        """Take the health part of a snapshot."""


@runtime_checkable
class TakesServers(Protocol):
    """Is told what servers tell of themselves."""

    def take_servers(self, rows: Sequence[ServerRow]) -> None:
        """Take what they told in a second."""


@runtime_checkable
class TakesMetrics(Protocol):
    """Is told what CloudWatch tells of the nodes of the group."""

    def take_metrics(self, rows: Sequence[MetricRow]) -> None:
        """Take what is new."""


Sink = TakesEvents | TakesSealed | TakesHealth | TakesServers | TakesMetrics


class Sinks:
    """Passes on what it is told to all that want it.

    Args:
        sinks: the first ones; more are added when there are more.
    """

    def __init__(self, *sinks: Sink) -> None:
        self._events: list[TakesEvents] = []
        self._sealed: list[TakesSealed] = []
        self._health: list[TakesHealth] = []
        self._servers: list[TakesServers] = []
        self._metrics: list[TakesMetrics] = []
        self.add(*sinks)

    def add(self, *sinks: Sink) -> None:
        """Tell these, too, from now on."""
        for sink in sinks:
            if isinstance(sink, TakesEvents):
                self._events.append(sink)
            if isinstance(sink, TakesSealed):
                self._sealed.append(sink)
            if isinstance(sink, TakesHealth):
                self._health.append(sink)
            if isinstance(sink, TakesServers):
                self._servers.append(sink)
            if isinstance(sink, TakesMetrics):
                self._metrics.append(sink)

    def take_event(self, event: Event) -> None:
        """Pass on a line of the journal."""
        for sink in self._events:
            sink.take_event(event)

    def take_sealed(self, sealed: Sealed) -> None:
        """Pass on what became certain."""
        for sink in self._sealed:
            sink.take_sealed(sealed)

    def take_health(self, snapshot: Snapshot) -> None:
        """Pass on how a probe is doing."""
        for sink in self._health:
            sink.take_health(snapshot)

    def take_servers(self, rows: Sequence[ServerRow]) -> None:
        """Pass on what servers told."""
        for sink in self._servers:
            sink.take_servers(rows)

    def take_metrics(self, rows: Sequence[MetricRow]) -> None:
        """Pass on what CloudWatch told."""
        for sink in self._metrics:
            sink.take_metrics(rows)
