"""What judging hands over: what became certain with one seal, and all at the end."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from loadprobe.core.judging.cells import BlindSpan, Frame
from loadprobe.core.judging.columns import Scope
from loadprobe.core.judging.counts import ScopeTotals, SecondCounts
from loadprobe.core.judging.lanes import LaneInfo, LaneTotals
from loadprobe.core.judging.latency import SecondHistograms, SecondP99
from loadprobe.core.judging.ms_samples import MsSamples
from loadprobe.core.judging.outages import Outage


@dataclass(slots=True)
class Sealed:
    """What became certain with one call of ``seal``.

    Args:
        until_ns: every arrival due before has been judged.
        opened: outages that are going on and were not reported before.
        closed: outages that ended, with their error bars.
        blind: spans in which a lane was blind; a span that goes on is continued by
            the first one of the next call.
        seconds: complete seconds of the series, per scope.
        histograms: complete seconds of latencies, per lane and op kind.
        p99: complete seconds of percentiles, per lane and shard.
        film: frames to append to the film file.
        samples: cells with failures, and blind time, as samples.
        is_last: the load has ended.
    """

    until_ns: int
    opened: list[Outage] = field(default_factory=list)
    closed: list[Outage] = field(default_factory=list)
    blind: list[BlindSpan] = field(default_factory=list)
    seconds: list[SecondCounts] = field(default_factory=list)
    histograms: list[SecondHistograms] = field(default_factory=list)
    p99: list[SecondP99] = field(default_factory=list)
    film: list[Frame] = field(default_factory=list)
    samples: list[MsSamples] = field(default_factory=list)
    is_last: bool = False


@dataclass(frozen=True, slots=True)
class Results:
    """Everything that is known at the end; see ``core.verdict.verdict.summarize``.

    Args:
        start_ns: when the first process began.
        end_ns: until when arrivals were judged.
        lanes: the lanes.
        lane_totals: totals by lane name.
        scope_totals: totals by scope, sorted.
        outages: closed outages by time, at most KEPT_OUTAGES.
        dropped_outages: outages counted in the totals but not kept.
        last: what ``seal`` would have returned at the end.
    """

    start_ns: int
    end_ns: int
    lanes: tuple[LaneInfo, ...]
    lane_totals: Mapping[str, LaneTotals]
    scope_totals: Mapping[Scope, ScopeTotals]
    outages: Sequence[Outage]
    dropped_outages: int
    last: Sealed
