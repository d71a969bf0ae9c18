"""Who is told what a run measures, while it does: any number of sinks, in their order.

There are three kinds of news: events beside the load, what was judged, and the health
of the probes. A sink takes those kinds that it has a method for, and nothing else of a
run knows who they are.
"""

from typing import Protocol, runtime_checkable

from loadprobe.core.events import Event
from loadprobe.core.judging.results import Sealed
from loadprobe.probe.messages import ProbeSnapshot


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

    def take_health(self, snapshot: ProbeSnapshot) -> None:
        """Take the health part of a snapshot."""


Sink = TakesEvents | TakesSealed | TakesHealth


class Sinks:
    """Passes on what it is told to all that want it.

    Args:
        sinks: the first ones; more are added when there are more.
    """

    def __init__(self, *sinks: Sink) -> None:
        self._events: list[TakesEvents] = []
        self._sealed: list[TakesSealed] = []
        self._health: list[TakesHealth] = []
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

    def take_event(self, event: Event) -> None:
        """Pass on a line of the journal."""
        for sink in self._events:
            sink.take_event(event)

    def take_sealed(self, sealed: Sealed) -> None:
        """Pass on what became certain."""
        for sink in self._sealed:
            sink.take_sealed(sealed)

    def take_health(self, snapshot: ProbeSnapshot) -> None:
        """Pass on how a probe is doing."""
        for sink in self._health:
            sink.take_health(snapshot)
