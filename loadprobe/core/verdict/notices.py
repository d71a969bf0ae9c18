"""Notices: what people are told of an incident, as a document and in words.

Pure. A notice is all that is sent, in whichever form, and all that is kept on disk
until it is; there is no secret in it.
"""

from collections.abc import Collection, Iterable

import msgspec

from loadprobe.clock import ClockPair
from loadprobe.core.events import MaintenanceBegun, MaintenanceOver
from loadprobe.core.verdict.attribution import Attribution
from loadprobe.core.verdict.incidents import DarkTime
from loadprobe.core.verdict.measures import bounds
from loadprobe.core.verdict.occasions import Occasion, OccasionKind, Place
from loadprobe.core.verdict.places import where_text
from loadprobe.core.verdict.quantities import Bounds
from loadprobe.core.verdict.texts import clock_text, dark_text, duration_text

SCHEMA_VERSION = 1

_HEADS = {
    OccasionKind.OPENED: "Dark",
    OccasionKind.WORSENED: "Worse",
    OccasionKind.CLOSED: "Over",
    OccasionKind.LEFT: "Not watched any more",
}
_MOST_NAMES = 50
"""Lanes, and shards, that a notice names: it has to fit into any receiver's limit."""


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """One notice; docs/webhooks.md describes its keys.

    Args:
        id: of this notice; one that is sent twice has the same.
        kind: what became of the incident.
        incident: name of the incident, the same in all of its notices.
        number: 1, 2, ... of the notices of this incident.
        run: name of the run.
        target: what is measured.
        probe_host: the machine that measures.
        at_unix_ns: until when everything was judged.
        start_unix_ns: when the incident began.
        end_unix_ns: when it was over; None if it is not.
        dark_ms: how long it was dark so far, with error bars.
        lanes: those that were dark.
        shards: those that were dark.
        joined_lanes: those that were not in an earlier notice.
        joined_shards: those that were not in an earlier notice.
        dark_now: (lane, shard) that are dark now.
        outages: how many there were.
        cause: what the longest outage is attributed to as of now; "" if there is none.
        evidence: what that was told from.
        is_all: every shard that is probed was dark.
        is_planned: the darkness was expected.
        is_maintenance: it is about what others do to the group, dark or not.
        is_test: there is no incident; somebody tries whether notices arrive.
        title: one line.
        text: the rest in words, line by line.
        schema_version: of this document.
    """

    id: str
    kind: OccasionKind
    incident: str
    number: int
    run: str
    target: str
    probe_host: str
    at_unix_ns: int
    start_unix_ns: int
    end_unix_ns: int | None
    dark_ms: Bounds
    lanes: list[str]
    shards: list[str]
    joined_lanes: list[str] = []
    joined_shards: list[str] = []
    dark_now: list[tuple[str, str]] = []
    outages: int = 0
    cause: str = ""
    evidence: str = ""
    is_all: bool = False
    is_planned: bool = False
    is_maintenance: bool = False
    is_test: bool = False
    title: str = ""
    text: list[str] = []
    schema_version: int = SCHEMA_VERSION


def make_notice(
    occasion: Occasion,
    *,
    clock: ClockPair,
    run: str,
    target: str,
    probe_host: str,
    lanes: Collection[str],
    shards: Collection[str],
    attribution: Attribution | None,
) -> Notice:
    """Return the notice for an occasion.

    Args:
        occasion: to tell.
        clock: to show monotonic times as UNIX times.
        run: its name.
        target: what is measured.
        probe_host: the machine that measures.
        lanes: all lanes of the run.
        shards: all shards that are probed, in order.
        attribution: of its longest outage; None if there is none.
    """
    places = occasion.places
    before = set(places) - set(occasion.joined)
    known = list(dict.fromkeys([*shards, *_shards(places)]))
    where = where_text(places, lanes=lanes, shards=known)
    head = _HEADS[occasion.kind] + (", by plan" if occasion.is_planned else "")
    is_first = occasion.number == 1
    joined_lanes = [] if is_first else _new(_lanes(places), _lanes(before))
    joined_shards = [] if is_first else _new(_shards(places), _shards(before))
    return Notice(
        id=f"{occasion.incident}/{occasion.number}",
        kind=occasion.kind,
        incident=occasion.incident,
        number=occasion.number,
        run=run,
        target=target,
        probe_host=probe_host,
        at_unix_ns=clock.to_wall(occasion.at_ns),
        start_unix_ns=clock.to_wall(occasion.start_ns),
        end_unix_ns=(
            None if occasion.end_ns is None else clock.to_wall(occasion.end_ns)
        ),
        dark_ms=bounds(occasion.dark),
        lanes=_lanes(places)[:_MOST_NAMES],
        shards=_shards(places)[:_MOST_NAMES],
        joined_lanes=joined_lanes[:_MOST_NAMES],
        joined_shards=joined_shards[:_MOST_NAMES],
        dark_now=list(occasion.dark_now[:_MOST_NAMES]),
        outages=occasion.outage_count,
        cause="" if attribution is None else attribution.cause.value,
        evidence="" if attribution is None else attribution.evidence,
        is_all=set(known) == set(_shards(places)),
        is_planned=occasion.is_planned,
        title=f"{head}: {where} of {target}",
        text=[
            _time_line(occasion, clock),
            *_joined_lines(joined_lanes, joined_shards),
            *_note_lines(occasion),
            *(
                []
                if attribution is None
                else [f"cause: {attribution.cause.value}; {attribution.evidence}"]
            ),
        ],
    )


def maintenance_notice(
    event: MaintenanceBegun | MaintenanceOver,
    *,
    incident: str,
    at_unix_ns: int,
    run: str,
    target: str,
    probe_host: str,
    lanes: Collection[str],
) -> Notice:
    """Return the notice that others begin to change the group, or are done.

    Args:
        event: that it has begun, or is over.
        incident: name of it, the same for both.
        at_unix_ns: when that was seen.
        run: name of the run.
        target: what is measured.
        probe_host: the machine that measures.
        lanes: all lanes of the run.
    """
    kind, number, end_unix_ns = OccasionKind.OPENED, 1, None
    dark, outages, head = Bounds(0.0, 0.0, 0.0), 0, "Maintenance has begun"
    text = [f"shown by {event.reason}; since {clock_text(event.start_unix_ns)} UTC"]
    if isinstance(event, MaintenanceOver):
        kind, number, end_unix_ns = OccasionKind.CLOSED, 2, event.end_unix_ns
        dark = Bounds(event.dark_ms, event.lower_ms, event.upper_ms)
        outages, head, text = event.outages, "Maintenance is over", [event.verdict]
    return Notice(
        id=f"{incident}/{number}",
        kind=kind,
        incident=incident,
        number=number,
        run=run,
        target=target,
        probe_host=probe_host,
        at_unix_ns=at_unix_ns,
        start_unix_ns=event.start_unix_ns,
        end_unix_ns=end_unix_ns,
        dark_ms=dark,
        lanes=sorted(lanes)[:_MOST_NAMES],
        shards=[],
        outages=outages,
        is_maintenance=True,
        title=f"{head}: {target}",
        text=text,
    )


def trial_notices(
    *, run: str, target: str, probe_host: str, lanes: Collection[str], now_ns: int
) -> tuple[Notice, Notice]:
    """Return an opening and a closing of no incident, to see whether they arrive.

    Args:
        run: its name.
        target: what would be measured.
        probe_host: this machine.
        lanes: all lanes.
        now_ns: UNIX time.
    """
    incident = f"test-{run}-{now_ns // 1_000_000}"

    def notice(kind: OccasionKind, number: int, text: str) -> Notice:
        is_over = kind is OccasionKind.CLOSED
        return Notice(
            id=f"{incident}/{number}",
            kind=kind,
            incident=incident,
            number=number,
            run=run,
            target=target,
            probe_host=probe_host,
            at_unix_ns=now_ns,
            start_unix_ns=now_ns,
            end_unix_ns=now_ns if is_over else None,
            dark_ms=bounds(DarkTime()),
            lanes=sorted(lanes)[:_MOST_NAMES],
            shards=[],
            is_test=True,
            title=f"Test: {'over' if is_over else 'no incident'} of {target}",
            text=[text],
        )

    return (
        notice(
            OccasionKind.OPENED,
            1,
            "somebody tries whether notices arrive here; nothing is dark",
        ),
        notice(OccasionKind.CLOSED, 2, "the test is over"),
    )


def _lanes(places: Iterable[Place]) -> list[str]:
    return sorted({lane for lane, _ in places})


def _shards(places: Iterable[Place]) -> list[str]:
    return sorted({shard for _, shard in places})


def _new(names: Iterable[str], before: Collection[str]) -> list[str]:
    return [name for name in names if name not in before]


def _time_line(occasion: Occasion, clock: ClockPair) -> str:
    begun = clock_text(clock.to_wall(occasion.start_ns))
    if occasion.end_ns is None:
        so_far = duration_text(occasion.at_ns - occasion.start_ns)
        return (
            f"since {begun} UTC, {so_far} ago; dark for {dark_text(occasion.dark)} "
            "so far"
        )
    ended = clock_text(clock.to_wall(occasion.end_ns))
    return f"dark for {dark_text(occasion.dark)} between {begun} and {ended} UTC"


def _joined_lines(lanes: Collection[str], shards: Collection[str]) -> list[str]:
    joined = [
        f"{noun}{'s' if len(names) > 1 else ''} {', '.join(names)}"
        for noun, names in (("lane", lanes), ("shard", shards))
        if names
    ]
    return [f"joined: {'; '.join(joined)}"] if joined else []


def _note_lines(occasion: Occasion) -> list[str]:
    lines: list[str] = []
    if occasion.kind is OccasionKind.LEFT:
        lines.append("the run ended while it was dark: how it goes on is not known")
    elif occasion.kind is OccasionKind.CLOSED and not occasion.outage_count:
        lines.append("the darkness was by plan after all")
    if occasion.is_resumed:
        lines.append(
            "it began in an earlier run; the time between the runs was not seen"
        )
    kept = len(occasion.outages)
    if kept < occasion.outage_count and not occasion.is_resumed:
        lines.append(
            f"at least: {occasion.outage_count:,} outages, the times are of the first "
            f"{kept:,}"
        )
    return lines
