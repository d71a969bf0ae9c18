"""A lane as judging sees it: what must be known of it, and what is counted."""

from dataclasses import dataclass, field

from loadprobe.core.judging.cells import BlindSpan
from loadprobe.core.judging.histogram import Histogram
from loadprobe.core.judging.outages import KEPT_OUTAGES
from loadprobe.core.judging.outcome import OpKind


@dataclass(frozen=True, slots=True)
class LaneInfo:
    """What judging needs to know about a lane.

    Args:
        name: its label.
        tls: whether it connects by TLS.
        processes: indexes of the probe processes that share it.
        deadline_ns: its deadline.
        is_witness: whether its driver is the wire driver.
        read_from: which nodes its reads go to.
    """

    name: str
    tls: bool
    processes: tuple[int, ...]
    deadline_ns: int
    is_witness: bool = True
    read_from: str = "primary"


@dataclass(slots=True)
class LaneTotals:
    """What is counted per lane over the whole run.

    Args:
        response: done - due of served and late arrivals per op kind, ns.
        service: done - sent of the same.
        lateness: sent - due of served arrivals, ns; of witness lanes only.
        begin_ns: when its first process began, or None.
        blind_ns: time in which all its processes were blind.
        blind: the spans (the first KEPT_OUTAGES).
    """

    response: dict[OpKind, Histogram] = field(default_factory=dict)
    service: dict[OpKind, Histogram] = field(default_factory=dict)
    lateness: Histogram = field(default_factory=Histogram)
    begin_ns: int | None = None
    blind_ns: int = 0
    blind: list[BlindSpan] = field(default_factory=list)

    def add_blind(self, span: BlindSpan) -> None:
        """Count time in which the lane was blind, after all that was counted before."""
        self.blind_ns += span.duration_ns
        if self.blind and self.blind[-1].end_ns == span.start_ns:
            start_ns = self.blind[-1].start_ns
            self.blind[-1] = BlindSpan(span.lane, start_ns, span.end_ns)
        elif len(self.blind) < KEPT_OUTAGES:
            self.blind.append(span)
