"""Whether what a scenario expects of the load came true. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from loadprobe.clock import NS_PER_MS, NS_PER_S
from loadprobe.core.judging.outages import Outage
from loadprobe.core.steps import Expectation
from loadprobe.core.verdict.beside import Planned, planned_share
from loadprobe.core.verdict.step_phases import LoadSeen
from loadprobe.core.verdict.texts import main_reason, outages_text

_END_NS = NS_PER_S
"""Darkness that goes on may lack its last second: the load ends before the run."""

_BEYOND_NS = NS_PER_S
"""By so much planned darkness may begin too early and end too late in all."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What a scenario expects of the load, besides darkness by plan.

    Args:
        max_lost_writes: acknowledged writes that may be lost; None: any number.
        max_wrong: replies that may be wrong; None: any number.
        calm_lanes: lanes that may have no outage but planned ones.
    """

    max_lost_writes: int | None = None
    max_wrong: int | None = None
    calm_lanes: tuple[str, ...] = ()


def judge_expected(
    expected: Expected,
    load: LoadSeen,
    planned: Sequence[Planned],
    *,
    lost_writes: int | None,
    wrong: int,
) -> list[Expectation]:
    """Compare what was expected with what was measured.

    Args:
        expected: what the scenario says.
        load: what was measured.
        planned: when which lanes were to be dark.
        lost_writes: acknowledged writes that are gone; None if not all were looked up.
        wrong: replies that did not match what was written.
    """
    found: list[Expectation] = []
    if expected.max_lost_writes is not None:
        found.append(_counted("lost writes", lost_writes, expected.max_lost_writes))
    if expected.max_wrong is not None:
        found.append(_counted("wrong replies", wrong, expected.max_wrong))
    found += (_darkness(span, load, planned) for span in planned)
    found += (_calm(lane, load) for lane in expected.calm_lanes)
    return found


def _counted(noun: str, found: int | None, limit: int) -> Expectation:
    what = f"at most {limit:,} {noun}" if limit else f"no {noun}"
    if found is None:
        return Expectation(what, None, "not looked up")
    return Expectation(what, found <= limit, f"{found:,} {noun}")


def _darkness(span: Planned, load: LoadSeen, planned: Sequence[Planned]) -> Expectation:
    """Tell whether a lane that was to be dark really was, and only then.

    Each of its shards must have gone dark; if it was to remain so until the end of the
    load, it must not have been served in its last second. A glitch proves nothing.
    What began before the plan, or went on after it, is told here too.
    """
    lane = f"lane {span.lane}"
    where = lane if span.shard is None else f"shard {span.shard} of {lane}"
    what = f"{where} is dark by plan"
    shards = load.shards.get(span.lane, ())
    wanted = [shard for shard in shards if span.shard in (None, shard)]
    if not wanted:
        return Expectation(what, None, "it was not probed")
    is_to_last = span.end_ns >= load.end_ns
    dark = [o for o in load.planned if _is_in(o, span)]
    proofs = dark
    if is_to_last:
        proofs = [o for o in dark if o.hull_end_ns >= load.end_ns - _END_NS]
    proven = {outage.scope.shard for outage in proofs}
    lit = [shard for shard in wanted if shard not in proven]
    if lit:
        still = "still served at the end" if is_to_last else "never dark"
        return Expectation(what, False, f"{still}: shard {', '.join(lit)}")
    detail = f"dark for {outages_text(dark)}, mostly {main_reason(dark).label}"
    beyond_ns = max(
        o.seen_ns * (1 - planned_share(o, planned))
        + sum(part.seen_ns for part in load.outages if _adjoins(part, o))
        for o in dark
    )
    if beyond_ns > _BEYOND_NS:
        detail += f"; {beyond_ns / NS_PER_MS:.0f} ms of that were not by plan"
    return Expectation(what, beyond_ns <= _BEYOND_NS, detail)


def _calm(lane: str, load: LoadSeen) -> Expectation:
    what = f"no outage on lane {lane} but planned ones"
    if not load.shards.get(lane):
        return Expectation(what, None, "it was not probed")
    own = [o for o in load.outages if o.scope.lane == lane]
    if not own:
        return Expectation(what, True)
    noun = "outage" if len(own) == 1 else "outages"
    detail = f"{len(own):,} {noun}, dark for {outages_text(own)}"
    return Expectation(what, False, detail)


def _adjoins(part: Outage, planned: Outage) -> bool:
    """Tell whether an outage was cut off from a planned one (see ``plan_edges``)."""
    return part.scope == planned.scope and (
        part.end_ns == planned.start_ns or planned.end_ns == part.start_ns
    )


def _is_in(outage: Outage, span: Planned) -> bool:
    return (
        outage.scope.lane == span.lane
        and span.shard in (None, outage.scope.shard)
        and outage.start_ns < span.end_ns
        and span.start_ns < outage.end_ns
    )
