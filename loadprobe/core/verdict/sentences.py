"""The verdict in words.

Pure. Every number is told with its error bars; what is not known is said to be so.
"""

from collections.abc import Sequence

from loadprobe.clock import NS_PER_MS, NS_PER_S, ClockPair
from loadprobe.core.judging.aggregate import LaneInfo, Results
from loadprobe.core.judging.outages import Outage
from loadprobe.core.judging.outcome import ErrorClass
from loadprobe.core.steps import ScenarioState
from loadprobe.core.verdict.attribution import Attribution, Cause
from loadprobe.core.verdict.client_words import client_sentences
from loadprobe.core.verdict.damage_words import blast_sentences, data_sentences
from loadprobe.core.verdict.headline import END_WORDS
from loadprobe.core.verdict.summary import (
    ClientComparison,
    ObserverSummary,
    ScenarioSummary,
    SloResult,
)
from loadprobe.core.verdict.texts import clock_text, main_reason, outages_text


def make_sentences(
    results: Results,
    *,
    is_void: bool,
    outages: Sequence[Outage],
    causes: Sequence[Attribution],
    planned: Sequence[Outage],
    observer: ObserverSummary,
    checks: Sequence[SloResult],
    scenario: ScenarioSummary | None,
    clients: Sequence[ClientComparison],
    clock: ClockPair,
    lost_writes: int | None,
    stale_reads: int | None,
    wrong: int,
) -> list[str]:
    """Return the verdict of a run in plain sentences, the most important first.

    Args:
        results: what ``Aggregate.finish`` returned.
        is_void: nothing is known of the run, or of a lane.
        outages: those that were not planned.
        causes: one for each of them, with its evidence.
        planned: the planned ones.
        observer: how well the probe itself did.
        checks: thresholds, met or not.
        scenario: what was done to the target.
        clients: client lanes beside each other.
        clock: to show monotonic times as wall times.
        lost_writes: acknowledged writes that are gone, None if not checked.
        stale_reads: reads of a value older than an acknowledged one, None likewise.
        wrong: replies that did not match what was written.
    """
    seconds = (results.end_ns - results.start_ns) / NS_PER_S
    sentences = data_sentences(
        lost_writes=lost_writes, stale_reads=stale_reads, wrong=wrong
    )
    if outages:
        sentences += _shard_sentences(results, outages)
        sentences += _evidence_sentences(outages, causes, clock)
    if scenario is not None:
        sentences += _scenario_sentences(scenario)
    sentences += _unknown_lanes(results)
    sentences += [
        f"{check.name} is missed: "
        f"{'no value' if check.actual is None else f'{check.actual:.6g}'}, "
        f"limit {check.limit:.6g}"
        for check in checks
        if not check.is_met
    ]
    sentences += [
        f"{check.name} is met by what was seen; with what was not it may be up to "
        f"{check.possible:.6g}, limit {check.limit:.6g}"
        for check in checks
        if check.possible is not None
    ]
    sentences += client_sentences(clients)
    if not outages and not is_void:
        what = "no outage was seen" if observer.unseen_arrivals else "no arrival failed"
        but = " but by plan" if planned else ""
        sentences.append(f"{what} in {seconds:.1f} s{but}")
    if scenario is not None:
        sentences += blast_sentences(scenario)
    for lane in results.lanes:
        own = [o for o in planned if o.scope.lane == lane.name]
        if own:
            sentences.append(_planned_sentence(lane, results, own, clock))
    if results.dropped_outages:
        sentences.append(
            f"{results.dropped_outages} further outages were counted but not kept: "
            "downtime is that of the first "
            f"{len(results.outages)} outages only"
        )
    if observer.blind_ms:
        sentences.append(
            f"the probe itself was blind for {observer.blind_ms:.0f} ms; "
            "that time counts neither as downtime nor as served"
        )
    if observer.unseen_arrivals:
        sentences.append(
            f"{observer.unseen_arrivals:,} arrivals fell into blind time of their own "
            "probe process; they count neither as served nor as failed"
        )
    return sentences


def _scenario_sentences(scenario: ScenarioSummary) -> list[str]:
    """Say what did not go as the scenario has it."""
    sentences: list[str] = []
    if scenario.state is not ScenarioState.COMPLETED:
        word = END_WORDS[scenario.state]
        sentences.append(f"the scenario {scenario.name} {word}: {scenario.reason}")
    is_whole = scenario.state is ScenarioState.COMPLETED
    for expectation in scenario.expectations:
        if expectation.is_met is False:
            text = f"{expectation.what} ({expectation.detail})"
            sentences.append(f"expected, but not so: {text}")
        elif is_whole and expectation.is_met is None:
            text = f"{expectation.what} ({expectation.detail})"
            sentences.append(f"expected, but it could not be told: {text}")
    return sentences


def _unknown_lanes(results: Results) -> list[str]:
    judged = {s.lane for s, t in results.scope_totals.items() if t.arrivals}
    sentences: list[str] = []
    for lane in results.lanes:
        if lane.name in judged:
            continue
        if results.lane_totals[lane.name].begin_ns is None:
            sentences.append(
                f"lane {lane.name} never began, for the target did not serve it: "
                "nothing is known about it"
            )
        else:
            sentences.append(
                f"lane {lane.name} had no arrival to judge: nothing is known about it"
            )
    return sentences


def _planned_sentence(
    lane: LaneInfo, results: Results, own: Sequence[Outage], clock: ClockPair
) -> str:
    """Say from when on and how a lane was dark by plan, and for how long."""
    shards = {scope.shard for scope in results.scope_totals if scope.lane == lane.name}
    dark = sorted({o.scope.shard for o in own})
    some = "" if len(dark) == len(shards) else f" on shard {', '.join(dark)}"
    begun = clock_text(clock.to_wall(min(o.start_ns for o in own)))
    return (
        f"lane {lane.name} was dark as planned{some} from {begun} UTC on "
        f"({_reason(own, tls=lane.tls)}) for {outages_text(own)}; this is not "
        "counted as downtime"
    )


def _reason(outages: Sequence[Outage], *, tls: bool) -> str:
    reason = main_reason(outages)
    if reason is ErrorClass.CONNECT_REFUSED:
        return "TLS refused" if tls else "plaintext refused"
    return f"mostly {reason.label}"


def _shard_sentences(results: Results, outages: Sequence[Outage]) -> list[str]:
    """Say per shard how long it was dark on each lane, and that the others were not."""
    names = sorted({scope.shard for scope in results.scope_totals})
    dark: list[str] = []
    sentences: list[str] = []
    for shard in names:
        parts = []
        for lane in results.lanes:
            rows = [o for o in outages if o.scope[:2] == (lane.name, shard)]
            if rows:
                parts.append(f"on lane {lane.name} for {outages_text(rows)}")
        if parts:
            dark.append(shard)
            sentences.append(f"shard {shard} was dark {', '.join(parts)}")
    others = [name for name in names if name not in dark]
    if others:
        plural = "s" if len(others) > 1 else ""
        sentences[-1] += f"; the other shard{plural} 0 ms"
    return sentences


def _evidence_sentences(
    outages: Sequence[Outage], causes: Sequence[Attribution], clock: ClockPair
) -> list[str]:
    """Say of every cause what it was told from, for its longest outage."""
    longest: dict[Cause, tuple[Outage, str]] = {}
    for outage, attribution in zip(outages, causes, strict=True):
        known = longest.get(attribution.cause)
        if known is None or outage.duration_ns > known[0].duration_ns:
            longest[attribution.cause] = outage, attribution.evidence
    return [
        f"{cause.value}: while shard {outage.scope.shard} was dark on lane "
        f"{outage.scope.lane} for {outage.duration_ns / NS_PER_MS:.0f} ms from "
        f"{clock_text(clock.to_wall(outage.start_ns))} UTC on, {evidence}"
        for cause in Cause
        if cause in longest
        for outage, evidence in (longest[cause],)
    ]
