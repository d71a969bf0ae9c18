"""What people are told of an incident, and by which rules. Pure.

``incident_tracker`` knows when.
"""

from dataclasses import dataclass
from enum import StrEnum

from loadprobe.core.judging.columns import Scope
from loadprobe.core.judging.outages import Outage
from loadprobe.core.verdict.incidents import DarkTime

Place = tuple[str, str]
"""(lane, shard)."""


class OccasionKind(StrEnum):
    """What became of an incident. LEFT: the run ended, and it was still dark."""

    OPENED = "opened"
    WORSENED = "worsened"
    CLOSED = "closed"
    LEFT = "left"


@dataclass(frozen=True, slots=True)
class TellingRules:
    """What is told, and how often (see the module).

    Args:
        quiet_ns: outages closer together than this are one incident.
        min_dark_ns: an incident that was dark for less is not told of.
        worse_dark_ns: the first length of dark time that is worse than it was.
        pause_ns: between two occasions of an incident that goes on.
        is_planned: it is about darkness by plan; else about any other.
    """

    quiet_ns: int
    min_dark_ns: int
    worse_dark_ns: int
    pause_ns: int
    is_planned: bool = False


@dataclass(frozen=True, slots=True)
class OpenIncident:
    """What has to be remembered of an incident that people were told of.

    Args:
        name: tells it from all others.
        start_ns: when it began.
        told: occasions so far.
        worsenings: how many of them were for the worse.
        dark: how long it was dark.
        next_dark_ns: dark for so long, it is worse.
        places: where it was dark.
        outages: how many it had.
        is_planned: it is by plan.
        dark_now: what had not been seen lit again.
    """

    name: str
    start_ns: int
    told: int
    worsenings: int
    dark: DarkTime
    next_dark_ns: int
    places: tuple[Place, ...]
    outages: int
    is_planned: bool = False
    dark_now: tuple[Scope, ...] = ()


@dataclass(frozen=True, slots=True)
class Occasion:
    """An occasion to tell of an incident; all times monotonic ns.

    Args:
        kind: what became of it.
        incident: its name.
        number: 1, 2, ... of the occasions of this incident.
        at_ns: until when everything was judged.
        start_ns: when it began.
        end_ns: when it was over; None if it is not.
        dark: how long it was dark so far.
        places: where it was dark, all of it.
        joined: those that are new since the last occasion.
        dark_now: where it is dark.
        outages: of which it consists, as far as they are kept.
        outage_count: how many there were.
        is_planned: it is by plan.
        is_resumed: it began in an earlier run.
    """

    kind: OccasionKind
    incident: str
    number: int
    at_ns: int
    start_ns: int
    end_ns: int | None
    dark: DarkTime
    places: tuple[Place, ...]
    joined: tuple[Place, ...]
    dark_now: tuple[Place, ...]
    outages: tuple[Outage, ...]
    outage_count: int
    is_planned: bool = False
    is_resumed: bool = False
