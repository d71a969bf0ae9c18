"""Every race and fault of a mutation ends in one application, or a clear error."""

import asyncio
from typing import Any

import pytest

from loadprobe.control.mutations import (
    CompleteMigration,
    CreateGroup,
    DeleteGroup,
    FailOver,
    RotateAuth,
    Scale,
    SetNodeType,
    SetTls,
    StartMigration,
)
from loadprobe.control.secret import Secret
from loadprobe.core.steps import StepState
from loadprobe.core.topology import Topology
from loadprobe.errors import ControlError
from tests.unit.control_provider import (
    Lost,
    Provider,
    Story,
    no_connection,
    refusal,
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
    assert story.fields("failed")["reason"] == str(caught.value)
    return str(caught.value)


def test_a_mutation_passes_its_phases(story: Story) -> None:
    """Each phase is told once, with request and time, and so says the record."""
    record = run(story.mutate(SetTls("preferred"), step="to preferred"))
    assert story.phases == WHOLE
    assert list(record.phases_ns) == WHOLE
    assert (record.name, record.operation) == ("to preferred", "tls")
    assert (record.state, record.shards) == (StepState.SETTLED, ())
    assert story.fields("accepted")["request_id"] == "request-1"
    assert story.fields("api_call")["shard"] is None
    assert story.fields("modifying")["status"] == "modifying"
    assert (story.seconds("modifying"), story.seconds("settled")) == (5.0, 40.0)
    assert len(story.provider.calls) == 1


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


def test_two_mutations_at_once_take_turns(story: Story) -> None:
    """The second one is planned after the first has settled."""

    async def both() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(story.mutate(SetTls("preferred"), step="one"))
            group.create_task(story.mutate(SetTls("preferred"), step="two"))

    run(both())
    assert len(story.provider.calls) == 1
    assert {event.fields["step"] for event in story.events} == {"one"}


@pytest.mark.parametrize(
    "code", ["Throttling", "APICallRateForCustomerExceeded", "RequestLimitExceeded"]
)
def test_a_throttled_call_is_sent_again(story: Story, code: str) -> None:
    """It was not applied; the pauses grow, and the attempts are told."""
    story.provider.script[MODIFY].extend([refusal(code)] * 3)
    run(story.mutate(SetTls("preferred")))
    assert len(story.provider.calls) == 4
    assert story.phases == WHOLE
    assert story.fields("accepted")["attempts"] == 4
    assert story.seconds("accepted") == 1 + 2 + 4


def test_endless_throttling_ends_a_mutation(story: Story) -> None:
    """After a minute the refusal is passed on."""
    story.provider.script[MODIFY].extend([refusal("Throttling", "slower")] * 99)
    assert "refused with Throttling: slower" in failing(story, SetTls("preferred"))
    assert story.phases == ["api_call", "failed"]


def test_the_quota_of_failovers_is_no_throttling(story: Story) -> None:
    """It lasts for hours, so a failover is not sent again."""
    code = "APICallRateForCustomerExceeded"
    story.provider.script["TestFailover"].append(refusal(code, "15 a day"))
    assert "refused with APICallRateForCustomerExceeded: 15 a day" in failing(
        story, FailOver("0001")
    )
    assert len(story.provider.calls) == 1


def test_a_call_that_never_left_is_sent_again(story: Story) -> None:
    """Without a connection nothing can have been applied."""
    story.provider.script[MODIFY].append(no_connection())
    run(story.mutate(SetTls("preferred")))
    assert story.phases == WHOLE


def test_a_refusal_is_final(story: Story) -> None:
    """The provider's code, its text and what to do reach the journal."""
    story.provider.script[MODIFY].append(refusal("InvalidParameterValue", "odd"))
    text = failing(story, SetTls("preferred"))
    assert text.startswith("ModifyReplicationGroup(ReplicationGroupId=rg, ")
    assert "was refused with InvalidParameterValue: odd;" in text
    assert len(story.provider.calls) == 1


def test_a_refused_token_is_never_told(story: Story) -> None:
    """Neither the call, nor the reply that repeats it, nor the cause shows a token."""
    story.provider.change(AuthTokenEnabled=True, **PREFERRED)
    story.provider.script[MODIFY].append(
        refusal("InvalidParameterValue", f"bad {TOKEN}")
    )
    with pytest.raises(ControlError) as caught:
        run(story.mutate(RotateAuth(Secret(TOKEN))))
    assert "AuthToken=****" in str(caught.value)
    assert "bad ****" in str(caught.value)
    assert caught.value.__cause__ is None
    assert TOKEN not in repr(story.events)


@pytest.mark.parametrize(
    ("sign", "evidence"),
    [
        ({"Status": "modifying"}, "status"),
        ({"PendingModifiedValues": {"TransitEncryptionMode": "preferred"}}, "pending"),
        (PREFERRED, "target"),
        ({"Engine": "x", "AutomaticFailover": "enabling", "MultiAZ": "off"}, "state"),
    ],
)
def test_a_lost_reply_is_looked_up(
    story: Story, sign: dict[str, Any], evidence: str
) -> None:
    """Whatever shows first is evidence enough; the call is not repeated."""
    story.provider.timeline.clear()
    story.provider.after(22, **sign)
    story.provider.after(40, Status="available", **PREFERRED, PendingModifiedValues={})
    story.provider.script[MODIFY].append(Lost(is_applied=True))
    run(story.mutate(SetTls("preferred")))
    assert story.fields("accepted")["evidence"] == evidence
    assert story.seconds("accepted") == 25.0
    assert len(story.provider.calls) == 1
    assert "settled" in story.phases


def test_an_event_is_evidence_too(story: Story) -> None:
    """The provider may tell before its state does; old events and others' do not."""

    async def with_old_events() -> None:
        story.provider.publish("something old")
        await story.mutate(SetTls("preferred"))

    story.provider.timeline = [
        (2, lambda: story.provider.publish("of others", source="other")),
        (12, lambda: story.provider.publish("something new")),
        (50, lambda: story.provider.change(**PREFERRED)),
    ]
    story.provider.script[MODIFY].append(Lost(is_applied=True))
    run(with_old_events())
    assert story.fields("accepted")["evidence"] == "event"
    assert story.seconds("accepted") == 15.0


def test_a_server_error_may_have_been_applied(story: Story) -> None:
    """HTTP 500 is no refusal: it is looked up as well."""
    story.provider.script[MODIFY].append(refusal("InternalFailure", status=500))
    text = failing(story, SetTls("preferred"))
    assert "failed inside the provider (HTTP 500" in text
    assert "no sign of it (transit encryption to 'preferred')" in text
    assert len(story.provider.calls) == 1


def test_a_lost_request_is_not_repeated(story: Story) -> None:
    """Without a sign for a minute it fails, says so, and was sent once."""
    story.provider.script[MODIFY].append(Lost(is_applied=False))
    text = failing(story, SetTls("preferred"))
    assert "showed within 60 s, and the call was not repeated" in text
    assert story.phases == ["api_call", "failed"]
    assert story.seconds("failed") == 60.0
    assert len(story.provider.calls) == 1


def test_faults_of_reads_pass(story: Story) -> None:
    """Neither throttling nor a lost reply of a read ends the wait."""
    story.provider.timeline.append(
        (
            10,
            lambda: story.provider.script["DescribeReplicationGroups"].extend(
                [refusal("Throttling"), Lost(is_applied=True), no_connection()]
            ),
        )
    )
    run(story.mutate(SetTls("preferred")))
    assert story.phases == WHOLE


def test_expired_credentials_may_be_renewed(story: Story) -> None:
    """The wait goes on for a while, and a renewal ends the trouble."""
    expired = [refusal("ExpiredToken", "expired")] * 9
    story.provider.timeline.append(
        (10, lambda: story.provider.script["DescribeReplicationGroups"].extend(expired))
    )
    run(story.mutate(SetTls("preferred")))
    assert story.phases == WHOLE
    assert story.seconds("settled") == 55.0


def test_credentials_that_nobody_renews_end_it(story: Story) -> None:
    """A minute later the error says what to do."""
    expired = [refusal("ExpiredToken", "expired")] * 99
    story.provider.timeline.append(
        (10, lambda: story.provider.script["DescribeReplicationGroups"].extend(expired))
    )
    text = failing(story, SetTls("preferred"))
    assert "refused with ExpiredToken: expired; renew the credentials" in text
    assert story.seconds("failed") == 70.0


def test_credentials_may_be_expired_when_the_call_is_made(story: Story) -> None:
    """Nothing was applied, so it is sent again."""
    story.provider.script[MODIFY].extend([refusal("ExpiredToken")] * 2)
    run(story.mutate(SetTls("preferred")))
    assert story.phases == WHOLE


def test_a_missing_permission_ends_it_at_once(story: Story) -> None:
    """A denial does not pass by waiting."""
    story.provider.timeline.append(
        (
            10,
            lambda: story.provider.script["DescribeReplicationGroups"].append(
                refusal("AccessDenied")
            ),
        )
    )
    text = failing(story, SetTls("preferred"))
    assert "allow the IAM action elasticache:DescribeReplicationGroups" in text
    assert story.seconds("failed") == 10.0


def test_a_denied_mutation_says_what_to_allow(story: Story) -> None:
    """The IAM action is in the text."""
    story.provider.script[MODIFY].append(refusal("AccessDenied"))
    assert "allow the IAM action elasticache:ModifyReplicationGroup" in failing(
        story, SetTls("preferred")
    )


@pytest.mark.parametrize("gone", ["deleting", None])
def test_a_group_deleted_by_somebody_else_ends_it(
    story: Story, gone: str | None
) -> None:
    """The deadline is not waited for."""

    def vanish() -> None:
        if gone is None:
            story.provider.group = None
        else:
            story.provider.change(Status=gone)

    story.provider.timeline = [(20, vanish)]
    text = failing(story, SetTls("preferred"))
    assert "the group rg was deleted by somebody else meanwhile" in text
    assert story.seconds("failed") == 20.0


def test_what_the_provider_gives_up_is_not_waited_for(story: Story) -> None:
    """Its event says so; the deadline would only say that the target is missing."""
    message = "Failed applying modification to cache node type to cache.t4g.small."
    story.provider.timeline.pop()
    story.provider.after(20, Status="available")
    story.provider.timeline.append(
        (33, lambda: story.provider.publish(message, source="rg-0001-001"))
    )
    text = failing(story, SetNodeType("cache.t4g.small"))
    assert f"the provider gave it up: {message!r} (rg-0001-001)" in text
    assert story.seconds("failed") == 35.0


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
    assert story.fields("modifying")["status"] == "creating"
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
    run(story.mutate(DeleteGroup()))
    assert story.phases == WHOLE[:4]
    assert story.seconds("settled") == 50.0


def test_a_lost_reply_of_a_deletion_is_told_by_the_group(story: Story) -> None:
    """A group that is gone is evidence."""
    story.provider.timeline = [(4, lambda: setattr(story.provider, "group", None))]
    story.provider.script["DeleteReplicationGroup"].append(Lost(is_applied=True))
    run(story.mutate(DeleteGroup()))
    assert story.fields("accepted")["evidence"] == "status"


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
