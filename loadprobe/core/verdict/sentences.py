"""The verdict in words.

Pure. Every number is told with its error bars; what is not known is said to be so.
"""

from collections.abc import Sequence

from loadprobe.clock import NS_PER_MS, NS_PER_S
from loadprobe.core.judging.lanes import LaneInfo
from loadprobe.core.judging.outages import Outage
from loadprobe.core.judging.outcome import ErrorClass
from loadprobe.core.steps import ScenarioState
from loadprobe.core.verdict.attribution import Cause
from loadprobe.core.verdict.blame import Watched
from loadprobe.core.verdict.client_words import client_sentences
from loadprobe.core.verdict.damage_words import blast_sentences, data_sentences
from loadprobe.core.verdict.headline import END_WORDS
from loadprobe.core.verdict.judged import JudgedRun
from loadprobe.core.verdict.judgement import Judgement
from loadprobe.core.verdict.op_words import connect_sentences, replica_sentences
from loadprobe.core.verdict.scenario_document import ScenarioSummary
from loadprobe.core.verdict.summary import ObserverSummary, SloResult
from loadprobe.core.verdict.texts import clock_text, main_reason, outages_text


def make_sentences(judgement: Judgement) -> list[str]:
    """Return the verdict of a run in plain sentences, the most important first."""
    run, scenario = judgement.run, judgement.scenario
    sentences = data_sentences(
        lost_writes=judgement.data.lost_writes,
        stale_reads=judgement.data.stale_reads,
        wrong=run.wrong,
    )
    if run.outages:
        sentences += _shard_sentences(run)
        sentences += _evidence_sentences(run)
    if scenario is not None:
        sentences += _scenario_sentences(scenario)
    sentences += _unknown_lanes(run.watched)
    sentences += _threshold_sentences(judgement.checks)
    sentences += client_sentences(judgement.clients)
    sentences += _calm_sentences(judgement)
    if scenario is not None:
        sentences += blast_sentences(scenario)
    for lane in run.watched.lanes:
        own = [o for o in run.planned if o.scope.lane == lane.name]
        if own:
            sentences.append(_planned_sentence(lane, run, own))
    sentences += _unseen_sentences(judgement.observer, run.watched)
    sentences += replica_sentences(judgement.lanes)
    return sentences + connect_sentences(judgement.connects)


def _threshold_sentences(checks: Sequence[SloResult]) -> list[str]:
    """Say what is missed, and then what may be."""
    missed = [
        f"{check.name} is missed: "
        f"{'no value' if check.actual is None else f'{check.actual:.6g}'}, "
        f"limit {check.limit:.6g}"
        for check in checks
        if not check.is_met
    ]
    return missed + [
        f"{check.name} is met by what was seen; with what was not it may be up to "
        f"{check.possible:.6g}, limit {check.limit:.6g}"
        for check in checks
        if check.possible is not None
    ]


def _calm_sentences(judgement: Judgement) -> list[str]:
    """Say that nothing happened, if that is known."""
    run, results = judgement.run, judgement.measured.results
    if run.outages or judgement.findings.void:
        return []
    is_all = not judgement.observer.unseen_arrivals
    what = "no arrival failed" if is_all else "no outage was seen"
    but = " but by plan" if run.planned else ""
    seconds = (results.end_ns - results.start_ns) / NS_PER_S
    return [f"{what} in {seconds:.1f} s{but}"]


def _unseen_sentences(observer: ObserverSummary, watched: Watched) -> list[str]:
    """Say what is in no figure."""
    sentences: list[str] = []
    if watched.dropped_outages:
        sentences.append(
            f"{watched.dropped_outages} further outages were counted but not kept: "
            "downtime is that of the first "
            f"{len(watched.outages)} outages only"
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


def _unknown_lanes(watched: Watched) -> list[str]:
    judged = {s.lane for s, t in watched.scope_totals.items() if t.arrivals}
    sentences: list[str] = []
    for lane in watched.lanes:
        if lane.name in judged:
            continue
        if watched.lane_totals[lane.name].begin_ns is None:
            sentences.append(
                f"lane {lane.name} never began, for the target did not serve it: "
                "nothing is known about it"
            )
        else:
            sentences.append(
                f"lane {lane.name} had no arrival to judge: nothing is known about it"
            )
    return sentences


def _planned_sentence(lane: LaneInfo, run: JudgedRun, own: Sequence[Outage]) -> str:
    """Say from when on and how a lane was dark by plan, and for how long."""
    shards = run.shards[lane.name]
    dark = sorted({o.scope.shard for o in own})
    some = "" if len(dark) == len(shards) else f" on shard {', '.join(dark)}"
    begun = clock_text(run.clock.to_wall(min(o.start_ns for o in own)))
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


def _shard_sentences(run: JudgedRun) -> list[str]:
    """Say per shard how long it was dark on each lane, and that the others were not."""
    names = run.all_shards
    dark: list[str] = []
    sentences: list[str] = []
    for shard in names:
        parts = []
        for lane in run.watched.lanes:
            rows = [o for o in run.outages if o.scope[:2] == (lane.name, shard)]
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


def _evidence_sentences(run: JudgedRun) -> list[str]:
    """Say of every cause what it was told from, for its longest outage."""
    longest: dict[Cause, tuple[Outage, str]] = {}
    for outage in run.outages:
        attribution = run.causes[outage.key]
        known = longest.get(attribution.cause)
        if known is None or outage.duration_ns > known[0].duration_ns:
            longest[attribution.cause] = outage, attribution.evidence
    return [
        f"{cause.value}: while shard {outage.scope.shard} was dark on lane "
        f"{outage.scope.lane} for {outage.duration_ns / NS_PER_MS:.0f} ms from "
        f"{clock_text(run.clock.to_wall(outage.start_ns))} UTC on, {evidence}"
        for cause in Cause
        if cause in longest
        for outage, evidence in (longest[cause],)
    ]
