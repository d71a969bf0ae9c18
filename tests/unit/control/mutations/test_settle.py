"""Every race and fault of a mutation ends in one application, or a clear error."""

import asyncio
from typing import Any

import pytest

from loadprobe.control.mutations.changes import RotateAuth, SetTls
from loadprobe.control.mutations.lifecycle import CreateGroup, DeleteGroup
from loadprobe.control.mutations.migrations import CompleteMigration, StartMigration
from loadprobe.control.mutations.mutate import Withheld
from loadprobe.control.mutations.signs import StateSigns
from loadprobe.control.mutations.sizes import Scale
from loadprobe.control.provider.secret import Secret
from loadprobe.control.provider.state import GroupState
from loadprobe.control.watch.names import NameMove
from loadprobe.core.events import (
    CallAccepted,
    CallEvident,
    MutationFailed,
    StatusChanging,
)
from loadprobe.core.steps import StepState
from loadprobe.core.topology.topology import Topology
from loadprobe.errors import ControlError
from tests.support.control_provider import (
    Lost,
    Provider,
    Story,
    run,
    virtual_clock,
)

MODIFY = "ModifyReplicationGroup"
PREFERRED = {"TransitEncryptionEnabled": True, "TransitEncryptionMode": "preferred"}
TOKEN = "correct-horse-battery"
WHOLE = ["api_call", "accepted", "modifying", "settled", "replicas_recovered"]


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    virtual_clock(monkeypatch)


@pytest.fixture
def story() -> Story:
    """Return a healthy group that goes to "preferred" within 40 s when asked."""
    provider = Provider()
    provider.after(3, Status="modifying")
    provider.after(40, Status="available", **PREFERRED)
    return Story(provider)


def failing(story: Story, mutation: Any, **more: Any) -> str:
    """Carry a mutation out; return how it failed."""
    with pytest.raises(ControlError) as caught:
        run(story.mutate(mutation, **more))
    assert story.phases[-1] == "failed"
    assert story.details(MutationFailed).reason == str(caught.value)
    return str(caught.value)


def test_a_mutation_passes_its_phases(story: Story) -> None:
    """Each phase is told once, with request and time, and so says the record."""
    record = run(story.mutate(SetTls("preferred"), step="to preferred"))
    assert story.phases == WHOLE
    assert list(record.phases_ns) == WHOLE
    assert (record.name, record.operation) == ("to preferred", "tls")
    assert (record.state, record.shards) == (StepState.SETTLED, ())
    assert story.details(CallAccepted).request_id == "request-1"
    assert story.entered[0].shard is None
    assert story.details(StatusChanging).status == "modifying"
    assert (story.seconds("modifying"), story.seconds("settled")) == (5.0, 40.0)
    assert len(story.provider.calls) == 1


def test_an_endpoint_that_moves_while_signs_are_looked_for(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the last that was missing, and a phase all the same."""
    look = StateSigns.missing

    async def missing(signs: StateSigns, state: GroupState) -> list[str]:
        found = await look(signs, state)
        if not found:
            now_ns = int(asyncio.get_running_loop().time() * 1_000_000_000)
            move = NameMove(now_ns, 1.0, ("10.0.0.1",), ("10.0.0.2",))
            story.provider.endpoint_move = move
        return found

    monkeypatch.setattr(StateSigns, "missing", missing)
    run(story.mutate(SetTls("preferred")))
    assert story.phases == [*WHOLE[:3], "endpoint_moved", *WHOLE[3:]]


def test_what_is_there_already_is_not_sent(story: Story) -> None:
    """No call and no phase: the step was not needed."""
    record = run(story.mutate(SetTls("none")))
    assert record.state is StepState.UNNEEDED
    assert (story.phases, story.provider.calls) == ([], [])


def test_an_available_status_right_after_the_call_settles_nothing(story: Story) -> None:
    """The provider takes its time to say "modifying"; the target is waited for."""
    story.provider.timeline.clear()
    story.provider.after(58, Status="modifying")
    story.provider.after(98, Status="available", **PREFERRED)
    run(story.mutate(SetTls("preferred")))
    assert story.seconds("modifying") == 60.0
    assert story.seconds("settled") == 100.0


def test_a_modification_too_short_to_be_seen_settles(story: Story) -> None:
    """The target counts, not a status that nobody has seen."""
    story.provider.timeline.clear()
    story.provider.after(1, **PREFERRED)
    run(story.mutate(SetTls("preferred")))
    assert "modifying" not in story.phases
    assert story.seconds("settled") == 5.0


def test_pending_changes_hold_a_mutation_up(story: Story) -> None:
    """Status and target are there, but something of it is still pending."""
    story.provider.timeline.clear()
    pending = {"TransitEncryptionMode": "preferred"}
    story.provider.after(1, **PREFERRED, PendingModifiedValues=pending)
    story.provider.after(31, PendingModifiedValues={"UserGroups": {}})
    run(story.mutate(SetTls("preferred")))
    assert story.seconds("settled") == 35.0


def test_what_was_pending_before_is_not_waited_for(story: Story) -> None:
    """A change that waits for its maintenance window is another one's."""
    story.provider.change(PendingModifiedValues={"ClusterMode": "compatible"})
    run(story.mutate(SetTls("preferred")))
    assert story.phases == WHOLE


def test_a_target_that_was_there_before_needs_a_sign(story: Story) -> None:
    """A new token looks like the old one, so the modification itself is waited for."""
    story.provider.timeline.clear()
    story.provider.change(AuthTokenEnabled=True, **PREFERRED)
    story.provider.after(20, PendingModifiedValues={"AuthTokenStatus": "ROTATING"})
    story.provider.after(42, PendingModifiedValues={})
    run(story.mutate(RotateAuth(Secret(TOKEN))))
    assert story.seconds("settled") == 45.0
    assert story.provider.calls[0][1]["AuthToken"] == TOKEN
    assert story.provider.password == Secret(TOKEN)


def test_a_target_without_any_sign_settles_after_a_while(story: Story) -> None:
    """It was too short to be seen; after a minute there is nothing to wait for."""
    story.provider.timeline.clear()
    story.provider.change(AuthTokenEnabled=True, **PREFERRED)
    run(story.mutate(RotateAuth(Secret(TOKEN))))
    assert story.seconds("settled") == 60.0


def test_the_clusters_own_view_has_a_say(story: Story) -> None:
    """The provider is done, but a shard is not to be seen yet."""
    seen = story.provider.current
    story.provider.current = Topology(())
    story.provider.timeline.append(
        (70, lambda: setattr(story.provider, "current", seen))
    )
    run(story.mutate(SetTls("preferred")))
    assert story.seconds("settled") == 70.0


def test_replicas_are_waited_for_after_the_rest(story: Story) -> None:
    """Settled is one moment, linked replicas are another."""
    story.provider.linked = 0
    story.provider.timeline.append((90, lambda: setattr(story.provider, "linked", 1)))
    run(story.mutate(SetTls("preferred")))
    assert story.seconds("settled") == 40.0
    assert story.seconds("replicas_recovered") == 90.0


def test_replicas_that_stay_away_fail_a_mutation(story: Story) -> None:
    """The text has the shards and how many are there."""
    story.provider.linked = 0
    text = failing(story, SetTls("preferred"))
    assert "settled, but not whole 600 s after" in text
    assert "replicas of 0001 (0 of 1), replicas of 0002 (0 of 1)" in text
    assert story.phases == [*WHOLE[:4], "failed"]


def test_the_deadline_names_all_that_is_missing(story: Story) -> None:
    """The status, the target and the cluster's view each have their words."""
    story.provider.timeline.pop()
    story.provider.current = None
    text = failing(story, SetTls("preferred"), deadline_s=60.0)
    assert "not settled 60 s after the call was accepted" in text
    assert "status 'available' (it is 'modifying')" in text
    assert "the target (transit encryption to 'preferred')" in text
    assert "the same in the cluster's own view" in text


def test_a_busy_group_is_waited_for(story: Story) -> None:
    """One mutation at a time: the call is sent when the group is available again."""

    async def finish_later() -> None:
        story.provider.change(Status="modifying")
        asyncio.get_running_loop().call_later(
            100, lambda: story.provider.change(Status="available")
        )
        await story.mutate(SetTls("preferred"))

    run(finish_later())
    assert story.seconds("api_call") == 100.0


def test_waiting_for_a_busy_group_is_bounded(story: Story) -> None:
    """Nothing is sent, and the text has the status."""
    story.provider.change(Status="snapshotting")
    text = failing(story, SetTls("preferred"), ready_s=30.0)
    assert "not begun after waiting 30 s: the group rg is 'snapshotting'" in text
    assert story.provider.calls == []


def test_nothing_is_sent_after_an_abort_while_waiting(story: Story) -> None:
    """Whoever waits for a busy group finds that the call is not wanted any more."""
    story.provider.change(Status="modifying")

    async def abort_later() -> None:
        reasons: list[str] = []
        loop = asyncio.get_running_loop()
        loop.call_later(50, lambda: reasons.append("an outage"))
        loop.call_later(100, lambda: story.provider.change(Status="available"))
        with pytest.raises(Withheld, match="not begun: an outage"):
            await story.mutate(SetTls("preferred"), obstacle=lambda: "".join(reasons))
        assert loop.time() == 50

    run(abort_later())
    assert story.provider.calls == []
    assert story.phases == []


def test_two_mutations_at_once_take_turns(story: Story) -> None:
    """The second one is planned after the first has settled."""

    async def both() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(story.mutate(SetTls("preferred"), step="one"))
            group.create_task(story.mutate(SetTls("preferred"), step="two"))

    run(both())
    assert len(story.provider.calls) == 1
    assert {event.step for event in story.entered} == {"one"}


def test_resharding_is_done_when_both_tell_the_same_slots(story: Story) -> None:
    """More shards in the API alone are not enough."""
    provider = story.provider
    seen = provider.current

    def tell() -> None:
        provider.arrange(3, 1)
        provider.current = seen

    provider.timeline = [
        (2, lambda: provider.change(Status="modifying")),
        (30, tell),
        (60, lambda: provider.arrange(3, 1)),
    ]
    run(story.mutate(Scale(3)))
    assert story.seconds("settled") == 60.0


def create() -> CreateGroup:
    """Return the creation of a small group."""
    return CreateGroup(shard_count=2, replicas=1, node_type="cache.t4g.micro")


def test_a_created_group_may_take_a_while_to_show(story: Story) -> None:
    """Not being found right after the call is no deletion by somebody else."""
    provider = story.provider
    provider.group = None

    def show(status: str) -> None:
        provider.arrange(2, 1)
        provider.change(Status=status)

    provider.timeline = [
        (11, lambda: show("creating")),
        (99, lambda: show("available")),
    ]
    record = run(story.mutate(create()))
    assert story.phases == WHOLE[:4]
    assert story.details(StatusChanging).status == "creating"
    assert record.state is StepState.SETTLED
    assert story.seconds("settled") == 100.0


def test_a_failed_creation_ends_it(story: Story) -> None:
    """The status says so, and stays."""
    provider = story.provider
    provider.group = None
    provider.timeline = [
        (11, lambda: provider.arrange(2, 1)),
        (11, lambda: provider.change(Status="create-failed")),
    ]
    assert "could not create rg: its status is 'create-failed'" in failing(
        story, create()
    )
    assert story.seconds("failed") == 15.0


def test_a_deletion_is_done_when_the_group_is_gone(story: Story) -> None:
    """First it is deleting, then it is not known any more."""
    story.provider.timeline = [
        (1, lambda: story.provider.change(Status="deleting")),
        (50, lambda: setattr(story.provider, "group", None)),
    ]
    run(story.mutate(DeleteGroup("7f3a")))
    assert story.phases == WHOLE[:4]
    assert story.seconds("settled") == 50.0


def test_a_lost_reply_of_a_deletion_is_told_by_the_group(story: Story) -> None:
    """A group that is gone is evidence."""
    story.provider.timeline = [(4, lambda: setattr(story.provider, "group", None))]
    story.provider.script["DeleteReplicationGroup"].append(Lost(is_applied=True))
    run(story.mutate(DeleteGroup("7f3a")))
    assert story.details(CallEvident).evidence == "status"


def test_a_migration_begins_when_the_target_is_in_step(story: Story) -> None:
    """The status says "migrating" before the data is there."""
    provider = story.provider
    provider.is_in_step = False
    provider.timeline = [
        (5, lambda: provider.change(Status="modifying")),
        (20, lambda: provider.change(Status="migrating")),
        (80, lambda: setattr(provider, "is_in_step", True)),
    ]
    run(story.mutate(StartMigration("source.example", 6379)))
    assert story.seconds("settled") == 80.0


def test_a_migration_that_is_given_up_ends_it(story: Story) -> None:
    """From "migrating" back to "available" is a failure, and no success."""
    provider = story.provider
    provider.is_in_step = False
    provider.timeline = [
        (5, lambda: provider.change(Status="migrating")),
        (31, lambda: provider.change(Status="available")),
    ]
    text = failing(story, StartMigration("source.example", 6379))
    assert "'available' again, so the provider gave it up" in text
    assert story.seconds("failed") == 35.0


def test_a_migration_is_completed_when_the_group_is_available(story: Story) -> None:
    """From then on it takes writes."""
    story.provider.change(Status="migrating")
    story.provider.timeline = [(30, lambda: story.provider.change(Status="available"))]
    run(story.mutate(CompleteMigration()))
    assert story.provider.calls == [
        ("CompleteMigration", {"ReplicationGroupId": "rg", "Force": False})
    ]
    assert story.seconds("settled") == 30.0
