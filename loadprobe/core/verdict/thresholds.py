"""Thresholds, and whether a run met them. Pure.

Planned darkness counts against none of them, and neither does what was not seen.
"""

from dataclasses import dataclass

from loadprobe.core.judging.histogram import Histogram
from loadprobe.core.verdict.judged import JudgedRun
from loadprobe.core.verdict.measures import ms, quantiles_ms
from loadprobe.core.verdict.summary import SloResult


@dataclass(frozen=True, slots=True)
class SloLimits:
    """Thresholds; None is not checked."""

    max_outage_ms: float | None = None
    availability: float | None = None
    p99_ms: float | None = None


def check_slo(run: JudgedRun, limits: SloLimits) -> list[SloResult]:
    """Return each threshold with what was measured; without a value it is not met."""
    checks: list[SloResult] = []
    if limits.max_outage_ms is not None:
        longest = max((o.seen_ns for o in run.outages), default=0)
        actual = ms(longest) if run.watched.scope_totals else None
        met = actual is not None and actual <= limits.max_outage_ms
        most = ms(max((o.upper_ns for o in run.outages if o.unseen), default=0))
        possible = most if met and most > limits.max_outage_ms else None
        checks.append(
            SloResult("max_outage_ms", limits.max_outage_ms, actual, met, possible)
        )
    if limits.availability is not None:
        availability = run.availability
        met = availability is not None and availability >= limits.availability
        checks.append(SloResult("availability", limits.availability, availability, met))
    if limits.p99_ms is not None:
        merged = Histogram()
        for lane_totals in run.watched.lane_totals.values():
            for histogram in lane_totals.response.values():
                merged.merge(histogram)
        p99 = quantiles_ms(merged).p99
        met = p99 is not None and p99 <= limits.p99_ms
        checks.append(SloResult("p99_ms", limits.p99_ms, p99, met))
    return checks
