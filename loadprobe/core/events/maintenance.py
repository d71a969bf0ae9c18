"""What is seen of changes that others make to the group: its maintenance. Pure."""

from loadprobe.core.events.fact import Fact


class WindowSeen(Fact, frozen=True, tag="maintenance/window"):
    """The weekly maintenance window of the group, when it is first seen or changes.

    Args:
        window: as the provider writes it (UTC), for example "sun:23:00-mon:01:30".
        next_start_unix_ns: when it begins next; None if it cannot be read.
    """

    window: str
    next_start_unix_ns: int | None


class UpdateSeen(Fact, frozen=True, tag="maintenance/update"):
    """A service update is for the group, or has got further.

    Args:
        name: of the service update.
        severity: as the provider says it.
        status: of the group's update action.
        previous: the status before, "" if it was not known.
        apply_by_unix_ns: until when it should be applied; None if that is not told.
    """

    name: str
    severity: str
    status: str
    previous: str
    apply_by_unix_ns: int | None


class GroupStatusSeen(Fact, frozen=True, tag="maintenance/group_status"):
    """The group has another status than at the look before.

    Args:
        status: as it is now; "absent" if the provider knows no such group.
        previous: as it was, "" if it was not known.
    """

    status: str
    previous: str


class MaintenanceBegun(Fact, frozen=True, tag="maintenance/begun"):
    """Something is being done to the group, and not by a scenario of this run.

    Args:
        number: 1, 2, ... in this run.
        reason: what showed it.
        start_unix_ns: when it began, by the earliest sign so far.
    """

    number: int
    reason: str
    start_unix_ns: int


class MaintenanceOver(Fact, frozen=True, tag="maintenance/over"):
    """It is settled, and has been quiet since.

    Args:
        number: as when it began.
        reason: what showed it first.
        start_unix_ns: when it began, by its earliest sign.
        end_unix_ns: when its last sign was seen, or its last outage ended.
        signs: how many there were.
        outages: how many outages it had, those by plan left out.
        dark_ms: how long any shard was dark on any lane.
        lower_ms: at least.
        upper_ms: at most.
        verdict: all of that in words.
    """

    number: int
    reason: str
    start_unix_ns: int
    end_unix_ns: int
    signs: int
    outages: int
    dark_ms: float
    lower_ms: float
    upper_ms: float
    verdict: str
