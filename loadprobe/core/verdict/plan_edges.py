"""Cutting outages where darkness by plan begins and ends.

Pure. An outage that was there long before the plan, or goes on long after it, is two
things: one that was planned and one that was not. What lies within a second of the plan
is its own: the load notices a change a little before or after the controller does.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from enum import Enum
from itertools import pairwise
from typing import TypeVar

from loadprobe.clock import NS_PER_S
from loadprobe.core.intervals import Interval, intersection, length
from loadprobe.core.judging.outages import Outage
from loadprobe.core.verdict.beside import Planned, is_planned, planned_spans

EDGE_NS = NS_PER_S
"""So much of an outage may be on the other side of the plan without being cut off."""

_Key = TypeVar("_Key", bound=Enum)


def cut_at_plan(outages: Iterable[Outage], planned: Sequence[Planned]) -> list[Outage]:
    """Return the outages, those cut that are planned in part.

    The edges of the parts are exact where they are cut, and keep the error bars of the
    whole elsewhere. Failed arrivals are shared out by length.
    """
    return [
        part
        for outage in outages
        for part in cut_at(outage, planned_spans(outage, planned), edge_ns=EDGE_NS)
    ]


def parts_by_plan(
    outage: Outage, planned: Sequence[Planned]
) -> tuple[list[Outage], list[Outage]]:
    """Return (what of an outage is planned, what is not), cut as the verdict does."""
    by_plan: list[Outage] = []
    others: list[Outage] = []
    for part in cut_at_plan([outage], planned):
        (by_plan if is_planned(part, planned) else others).append(part)
    return by_plan, others


def planned_parts(outage: Outage, planned: Sequence[Planned]) -> list[Outage]:
    """Return what of an outage is planned, cut as the verdict does."""
    return parts_by_plan(outage, planned)[0]


def planned_certain_ns(outage: Outage, planned: Sequence[Planned]) -> int:
    """Return how much of an outage's certain darkness lies in announced time.

    It only grows while the outage goes on, whatever is decided of it in the end.
    """
    return length(intersection([outage.cores, planned_spans(outage, planned)]))


def is_planned_now(outage: Outage, planned: Sequence[Planned]) -> bool:
    """Tell whether an outage that is going on is planned at its present end."""
    return is_planned(cut_at_plan([outage], planned)[-1], planned)


def cut_at(outage: Outage, spans: Sequence[Interval], *, edge_ns: int) -> list[Outage]:
    """Return the parts of an outage within and outside of some spans.

    Args:
        outage: what to cut.
        spans: disjoint, and within it.
        edge_ns: it stays whole if no more than this is within, or outside.
    """
    inside_ns = length(spans)
    if not edge_ns < inside_ns < outage.duration_ns - edge_ns:
        return [outage]
    edges = {edge for span in spans for edge in span}
    cuts = sorted(edges - {outage.start_ns, outage.end_ns})
    parts: list[Outage] = []
    classes, outcomes = Counter(outage.classes), Counter(outage.outcomes)
    for start_ns, end_ns in pairwise([outage.start_ns, *cuts, outage.end_ns]):
        share = (end_ns - start_ns) / (outage.end_ns - start_ns)
        part = _part(outage, start_ns, end_ns)
        own_classes = _shared(classes, share)
        own_outcomes = _shared(outcomes, share)
        classes -= own_classes
        outcomes -= own_outcomes
        parts.append(
            replace(
                part,
                failed=own_classes.total(),
                classes=dict(own_classes),
                outcomes=dict(own_outcomes),
            )
        )
    return parts


def _shared(counts: Mapping[_Key, int], share: float) -> "Counter[_Key]":
    return Counter({key: round(count * share) for key, count in counts.items()})


def _part(outage: Outage, start_ns: int, end_ns: int) -> Outage:
    """Return the part of an outage from an edge to the next one."""
    is_first, is_last = start_ns == outage.start_ns, end_ns == outage.end_ns

    def within(at_ns: int) -> int:
        return max(start_ns, min(at_ns, end_ns))

    hull = (
        outage.hull_start_ns if is_first else start_ns,
        outage.hull_end_ns if is_last else end_ns,
    )
    core_start, core_end = within(outage.core_start_ns), within(outage.core_end_ns)
    return replace(
        outage,
        hull_start_ns=hull[0],
        start_ns=start_ns,
        core_start_ns=outage.core_start_ns if is_first else core_start,
        core_end_ns=outage.core_end_ns if is_last else max(core_start, core_end),
        end_ns=end_ns,
        hull_end_ns=hull[1],
        first_due_ns=outage.first_due_ns if is_first else within(outage.first_due_ns),
        last_due_ns=outage.last_due_ns if is_last else within(outage.last_due_ns),
        open_start=outage.open_start and is_first,
        open_end=outage.open_end and is_last,
        gaps=_clipped(outage.gaps, hull),
        unseen=_clipped(outage.unseen, hull),
        lit_beside=_clipped(outage.lit_beside, hull),
    )


def _clipped(spans: Sequence[Interval], whole: Interval) -> tuple[Interval, ...]:
    return tuple(intersection([spans, [whole]]))
