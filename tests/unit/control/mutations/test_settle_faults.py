"""Every race and fault of a mutation ends in one application, or a clear error."""

from typing import Any

import pytest

from loadprobe.control.mutations.changes import (
    FailOver,
    RotateAuth,
    SetNodeType,
    SetTls,
)
from loadprobe.control.provider.secret import Secret
from loadprobe.core.events import CallAccepted, CallEvident, MutationFailed
from loadprobe.errors import ControlError
from tests.support.control_provider import (
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
    assert story.details(MutationFailed).reason == str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "code", ["Throttling", "APICallRateForCustomerExceeded", "RequestLimitExceeded"]
)
def test_a_throttled_call_is_sent_again(story: Story, code: str) -> None:
    """It was not applied; the pauses grow, and the attempts are told."""
    story.provider.script[MODIFY].extend([refusal(code)] * 3)
    run(story.mutate(SetTls("preferred")))
    assert len(story.provider.calls) == 4
    assert story.phases == WHOLE
    assert story.details(CallAccepted).attempts == 4
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
    assert story.details(CallEvident).evidence == evidence
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
    assert story.details(CallEvident).evidence == "event"
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
