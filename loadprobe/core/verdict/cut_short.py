"""The verdict of a run that did not come to its end, or not yet. Pure.

What was judged of it is judged as ever; here it is told up to when that is, and what
was dark then. Of what came later nothing is known: no darkness, and no light.
"""

from collections.abc import Iterable, Sequence

import msgspec

from loadprobe.clock import NS_PER_MS, ClockPair
from loadprobe.core.judging.outages import Outage
from loadprobe.core.verdict.places import where_text
from loadprobe.core.verdict.summary import Summary
from loadprobe.core.verdict.texts import clock_text


def cut_short(
    summary: Summary,
    *,
    until_ns: int,
    unfinished: Iterable[Outage],
    clock: ClockPair,
    is_running: bool,
) -> Summary:
    """Return a summary that says up to when it is complete.

    Args:
        summary: of what was judged.
        until_ns: everything due before was judged, monotonic.
        unfinished: outages that were not closed then.
        clock: to show monotonic times as wall times.
        is_running: the run goes on.
    """
    at = clock_text(clock.to_wall(until_ns))
    going_on = [outage for outage in unfinished if outage.open_end]
    dark = [_dark_sentence(own, clock) for own in _by_place(going_on)]
    if is_running:
        state, told = "running", f"still running: judged until {at} UTC"
        first = f"the run is still running: all that was due until {at} UTC is judged"
    else:
        state, told = "interrupted", f"interrupted: complete until {at} UTC"
        first = (
            f"the run was interrupted, its process is gone: all that was due until "
            f"{at} UTC is judged, nothing is known of what came later"
        )
    headline = [told]
    if going_on:
        where = where_text(
            (outage.scope[:2] for outage in going_on),
            lanes=[lane.name for lane in summary.lanes],
            shards=sorted({scope.shard for scope in summary.scopes}),
        )
        headline.append(f"dark then: {where}")
    if summary.headline:
        headline.append(summary.headline)
    return msgspec.structs.replace(
        summary,
        state=state,
        headline="; ".join(headline),
        verdict=[first, *dark, *summary.verdict],
        complete_until_unix_ns=clock.to_wall(until_ns),
    )


def _by_place(outages: Sequence[Outage]) -> list[list[Outage]]:
    """Return outages by lane and shard."""
    places: dict[tuple[str, str], list[Outage]] = {}
    for outage in sorted(outages, key=lambda o: (o.scope, o.start_ns)):
        places.setdefault(outage.scope[:2], []).append(outage)
    return list(places.values())


def _dark_sentence(outages: Sequence[Outage], clock: ClockPair) -> str:
    """Say of a place that was dark at the end since when that was so."""
    lane, shard, _ = outages[0].scope
    start_ns = min(outage.start_ns for outage in outages)
    length_ns = max(outage.end_ns for outage in outages) - start_ns
    since = clock_text(clock.to_wall(start_ns))
    return (
        f"shard {shard} was dark then on lane {lane}, since {since} UTC "
        f"({length_ns / NS_PER_MS:,.0f} ms)"
    )
