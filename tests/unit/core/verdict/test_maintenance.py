"""Maintenance begins and is over without anybody, and is told what it cost."""

import pytest

from loadprobe.clock import NS_PER_S, ClockPair
from loadprobe.core.events import (
    EndpointMoved,
    Event,
    GroupStatusSeen,
    MaintenanceBegun,
    MaintenanceOver,
    RoleChanged,
    ScenarioBegun,
    ScenarioEnded,
    UpdateSeen,
)
from loadprobe.core.steps import ScenarioState
from loadprobe.core.verdict.maintenance import MaintenanceTracker
from tests.support.events import provider_told
from tests.support.outages import outage

S = NS_PER_S
WALL_NS = 1_000_000 * S


class Play:
    """A tracker with a quiet time of 5 s, and what it told."""

    def __init__(self, since: int = 0) -> None:
        self.told: list[Event] = []
        self.tracker = MaintenanceTracker(
            ClockPair(since * S, WALL_NS + since * S),
            quiet_ns=5 * S,
            lanes=["tcp", "tls"],
            emit=self.told.append,
        )

    def see(self, *events: Event) -> None:
        """Let something be seen."""
        for event in events:
            self.tracker.take_event(event)

    def until(self, second: int, *, dark_since: int | None = None) -> None:
        """Let nothing happen until a second, but that something is dark."""
        going_on = []
        if dark_since is not None:
            going_on.append(outage(dark_since * 1000, second * 1000))
        self.tracker.take_outages([], going_on, until_ns=second * S)

    @property
    def over(self) -> MaintenanceOver:
        """Return the only one that is over."""
        (over,) = (e for e in self.told if isinstance(e, MaintenanceOver))
        return over


def update(at: int, status: str, previous: str) -> UpdateSeen:
    """Return that an update has got further."""
    return UpdateSeen(at * S, "fix-1", "important", status, previous, None)


def told(at: int, meaning: str, message: str, *, date: int | None = None) -> Event:
    """Return an event of the provider about shard 0001."""
    return provider_told(
        at * S,
        message,
        date_unix_ns=WALL_NS + (at if date is None else date) * S,
        seen_unix_ns=WALL_NS + at * S,
        meaning=meaning,
        shard="0001",
    )


def test_an_update_that_nobody_noticed() -> None:
    """It is open while it is in progress, however long nothing else is seen."""
    play = Play()
    play.see(update(1, "not-applied", ""))
    play.until(9)
    assert play.told == []
    play.see(update(10, "in-progress", "not-applied"))
    play.until(1000)
    assert play.tracker.current is not None
    play.see(update(1001, "complete", "in-progress"))
    play.until(1005)
    assert play.tracker.current is not None
    play.until(1006)
    assert play.tracker.current is None
    assert (play.over.outages, play.over.signs) == (0, 2)
    assert play.over.start_unix_ns == WALL_NS + 10 * S
    assert play.over.verdict == (
        "maintenance 1 (service update fix-1 is in-progress): nobody noticed"
    )


def test_a_failover_of_somebody_else_with_its_outage() -> None:
    """It begins at the provider's own time, and has the outage that came before."""
    play = Play()
    play.tracker.take_outages(
        [outage(9_000, 10_200, shard="0001")], [], until_ns=11 * S
    )
    play.see(
        told(13, "test_failover_called", "Test Failover API called", date=8),
        RoleChanged(13 * S, "0001", "b for a"),
        told(14, "failover_completed", "Failover completed", date=10),
        told(15, "recovery_started", "Recovering cache nodes 0001"),
    )
    play.until(500)
    assert play.tracker.current is not None, "the old primary is not back"
    play.see(told(501, "recovery_finished", "Finished recovery"))
    play.until(507)
    over = play.over
    assert over.start_unix_ns == WALL_NS + 8 * S
    assert (over.outages, over.dark_ms) == (1, 1200)
    assert over.lower_ms < 1200 < over.upper_ms
    assert over.verdict.endswith("dark for 1200 ms [1198, 1202]: shard 0001, lane tcp")
    assert [type(e) for e in play.told] == [MaintenanceBegun, MaintenanceOver]


def test_what_a_scenario_does_is_none() -> None:
    """Nor what is told of it right after; later it is somebody else's."""
    play = Play()
    play.see(
        ScenarioBegun(0, "failover"),
        RoleChanged(S, "0001", ""),
        told(2, "failover_completed", "completed"),
        ScenarioEnded(10 * S, "failover", ScenarioState.COMPLETED, ""),
        RoleChanged(12 * S, "0001", ""),
        told(20, "recovery_finished", "Finished recovery"),
    )
    assert play.told == []
    play.see(RoleChanged(21 * S, "0001", ""))
    assert play.tracker.current is not None


def test_nothing_is_over_while_it_is_dark_or_modifying() -> None:
    """The group's status and outages hold it open; then it is over once."""
    play = Play()
    play.see(GroupStatusSeen(0, "available", ""))
    assert play.tracker.current is None
    play.see(GroupStatusSeen(S, "modifying", "available"))
    play.until(100)
    play.see(GroupStatusSeen(101 * S, "available", "modifying"))
    play.until(110, dark_since=90)
    assert play.tracker.current is not None
    play.until(111)
    assert play.tracker.current is None
    play.until(120)
    assert play.over.number == 1
    # An event that is told late does not open it again.
    play.see(told(130, "modified", "Replication group rg modified", date=100))
    assert play.tracker.current is None


@pytest.mark.parametrize(
    ("event", "is_one"),
    [
        (EndpointMoved(S, "db", "a", "b", 1.0), True),
        (told(1, "update_available", "Service update is available"), False),
        (told(1, "other", "Snapshot succeeded"), False),
        (told(1, "patched", "Cache cluster patched"), True),
        (GroupStatusSeen(S, "snapshotting", "available"), False),
    ],
)
def test_what_is_a_sign(event: Event, is_one: bool) -> None:
    """What only announces, or is about a snapshot, begins nothing."""
    play = Play()
    play.see(event)
    assert (play.tracker.current is not None) == is_one


def test_what_never_ends_is_given_up() -> None:
    """A recovery of which no end is told does not stay open for ever."""
    play = Play()
    play.see(told(1, "recovery_started", "Recovering cache nodes 0001"))
    play.until(3000)
    assert play.tracker.current is not None
    play.until(3602)
    assert play.tracker.current is None


def test_the_next_process_goes_on_with_it() -> None:
    """Numbers go on, and what was not over is over later, with all of its outages."""
    first = Play()
    first.see(RoleChanged(10 * S, "0001", ""))
    first.until(20)
    first.see(RoleChanged(30 * S, "0002", ""))
    second = Play()
    own = outage(30_100, 30_600)
    second.tracker.go_on(first.told, [own])
    assert second.tracker.current is not None
    assert second.tracker.current.number == 2
    second.until(60)
    assert second.tracker.current is None
    assert (second.over.number, second.over.outages) == (2, 1)
    assert [over.number for over in second.tracker.past] == [1, 2]
    second.see(RoleChanged(80 * S, "0001", ""))
    begun = second.told[-1]
    assert isinstance(begun, MaintenanceBegun)
    assert begun.number == 3


def gone_on(first: Play, *seen: Event, since: int) -> Play:
    """Return what goes on after a process that saw events, with its journal."""
    first.see(*seen)
    journal = sorted([*seen, *first.told], key=lambda event: event.mono_ns)
    second = Play(since)
    second.tracker.go_on(journal, [])
    return second


def test_what_is_under_way_is_not_over_for_the_next_process() -> None:
    """It was modifying when the process was gone, and nobody has asked since."""
    second = gone_on(
        Play(),
        GroupStatusSeen(10 * S, "modifying", "available"),
        told(11, "recovery_started", "Recovering cache nodes 0001"),
        update(12, "in-progress", "not-applied"),
        since=100,
    )
    second.until(90)
    second.until(200)
    assert (second.told, second.tracker.current is None) == ([], False)
    second.see(GroupStatusSeen(201 * S, "available", ""))
    second.until(210)
    second.see(update(211, "complete", ""))
    second.until(220)
    assert second.tracker.current is not None, "the node is not back"
    second.see(told(221, "recovery_finished", "Finished recovery"))
    second.until(230)
    assert second.tracker.current is None
    assert (second.over.number, second.over.start_unix_ns) == (1, WALL_NS + 10 * S)


def test_the_next_process_has_to_look_before_it_is_over() -> None:
    """Nobody saw that no sign came while there was none; what came belongs to it."""
    second = gone_on(Play(), RoleChanged(10 * S, "0001", ""), since=100)
    second.until(13)
    second.until(104)
    assert second.told == []
    second.see(told(104, "failover_completed", "Failover completed", date=60))
    second.until(110)
    assert (second.over.number, second.over.signs) == (1, 2)
    assert second.over.end_unix_ns == WALL_NS + 104 * S


def test_it_is_over_when_the_group_is_gone() -> None:
    """Nothing of it goes on then, and what is dark stays so: both are told."""
    play = Play()
    play.see(
        update(1, "in-progress", "not-applied"),
        told(2, "recovery_started", "Recovering cache nodes 0001"),
        GroupStatusSeen(3 * S, "deleting", "modifying"),
    )
    play.until(4, dark_since=4)
    play.see(GroupStatusSeen(10 * S, "absent", "deleting"))
    play.until(14, dark_since=4)
    assert play.tracker.current is not None
    play.until(15, dark_since=4)
    assert play.tracker.current is None
    assert play.over.outages == 1
    assert play.over.dark_ms == 11_000
    assert play.over.verdict.endswith(
        "dark for 11000 ms [10998, 11002]: shard 0001, lane tcp; still dark, for the "
        "group is gone"
    )
    # It is made anew, by somebody else.
    play.see(GroupStatusSeen(60 * S, "creating", "absent"))
    play.until(100, dark_since=4)
    assert play.tracker.current is not None


def test_a_group_that_was_gone_between_two_processes() -> None:
    """The next one sees that it is not there, and does not wait for what it was."""
    second = gone_on(
        Play(), GroupStatusSeen(10 * S, "modifying", "available"), since=100
    )
    second.see(GroupStatusSeen(101 * S, "absent", ""))
    second.until(107)
    assert second.tracker.current is None
    assert second.over.verdict.endswith("nobody noticed")


def test_of_many_outages_the_times_are_at_least() -> None:
    """What is not kept any more is counted, and the verdict says so."""
    play = Play()
    play.see(GroupStatusSeen(S, "modifying", "available"))
    for number in range(2_500):
        start = 2_000 + 20 * number
        play.tracker.take_outages(
            [outage(start, start + 10)], [], until_ns=(start + 10) * S // 1000
        )
    play.see(GroupStatusSeen(60 * S, "available", "modifying"))
    play.until(70)
    assert play.over.outages == 2_500
    assert play.over.verdict.endswith(
        "dark for 20000 ms [16000, 24000]: shard 0001, lane tcp; at least: 2,500 "
        "outages, the times are of the last 2,000"
    )
