"""The verdict in words.

Pure. Every number is told with its error bars; what is not known is said to be so.
"""

from collections.abc import Sequence

from loadprobe.clock import NS_PER_MS, NS_PER_S
from loadprobe.core.aggregate import Results
from loadprobe.core.attribution import Cause
from loadprobe.core.incidents import DarkTime, dark_time
from loadprobe.core.summary import ObserverSummary, SloResult, State


def make_sentences(
    results: Results,
    *,
    state: State,
    causes: Sequence[Cause],
    observer: ObserverSummary,
    checks: Sequence[SloResult],
) -> list[str]:
    """Return the verdict of a run in plain sentences, the most important first.

    Args:
        results: what ``Aggregate.finish`` returned.
        state: state of the run.
        causes: one per outage.
        observer: how well the probe itself did.
        checks: thresholds, met or not.
    """
    seconds = (results.end_ns - results.start_ns) / NS_PER_S
    judged = {s.lane for s, t in results.scope_totals.items() if t.arrivals}
    sentences = [
        f"lane {lane.name} had no arrival to judge: nothing is known about it"
        for lane in results.lanes
        if lane.name not in judged
    ]
    if results.outages:
        sentences += _shard_sentences(results, causes)
    elif state != "invalid":
        what = "no outage was seen" if observer.unjudged else "no arrival failed"
        sentences.append(f"{what} in {seconds:.1f} s")
    if results.dropped_outages:
        sentences.append(
            f"{results.dropped_outages} further outages were counted but not kept: "
            "downtime is that of the first "
            f"{len(results.outages)} outages only"
        )
    if observer.blind_ms:
        sentences.append(
            f"the probe itself was blind for {observer.blind_ms:.0f} ms; "
            "that time is not counted as downtime"
        )
    if observer.unjudged:
        sentences.append(
            f"{observer.unjudged} arrivals failed while the probe was blind; "
            "they belong to no outage"
        )
    if observer.excused:
        sentences.append(
            f"{observer.excused} arrivals came late while their own probe process was "
            "stalled; they are not counted as failures"
        )
    sentences += [
        f"{check.name} is missed: "
        f"{'no value' if check.actual is None else f'{check.actual:.6g}'}, "
        f"limit {check.limit:.6g}"
        for check in checks
        if not check.is_met
    ]
    return sentences


def _shard_sentences(results: Results, causes: Sequence[Cause]) -> list[str]:
    """Say per shard how long it was dark on each lane, and that the others were not."""
    names = sorted({scope.shard for scope in results.scope_totals})
    dark: list[str] = []
    sentences: list[str] = []
    for shard in names:
        parts = []
        for lane in results.lanes:
            rows = [o for o in results.outages if o.scope[:2] == (lane.name, shard)]
            if rows:
                parts.append(f"{_spoken(dark_time(rows))} on lane {lane.name}")
        if parts:
            dark.append(shard)
            sentences.append(f"shard {shard} was dark for {', '.join(parts)}")
    others = [name for name in names if name not in dark]
    if others:
        plural = "s" if len(others) > 1 else ""
        sentences[-1] += f"; the other shard{plural} 0 ms"
    told = ", ".join(
        f"{causes.count(cause)} {cause.value}" for cause in Cause if cause in causes
    )
    sentences.append(f"{len(causes)} outages by cause: {told}")
    return sentences


def _spoken(time: DarkTime) -> str:
    estimate, lower, upper = (
        t / NS_PER_MS for t in (time.estimate_ns, time.lower_ns, time.upper_ns)
    )
    digits = 0 if estimate >= 100 else 1
    return f"{estimate:.{digits}f} ms [{lower:.{digits}f}, {upper:.{digits}f}]"
