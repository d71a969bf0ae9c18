"""A failed call becomes the right fault, and its text says what to do."""

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ParamValidationError,
    ReadTimeoutError,
)
from botocore.parsers import ResponseParserError

from loadprobe.control.provider.explaining import explain
from loadprobe.control.provider.faults import (
    ApiFault,
    ApiRefused,
    ApiUnanswered,
    ApiUnreachable,
    Patience,
    has_bad_keys,
    is_throttled,
    may_pass,
)
from loadprobe.errors import ControlError

URL = "http://127.0.0.1:1"
KEY = ConnectionKey("127.0.0.1", 1, False, True, None, None, None)


def explained(exc: BaseException) -> ApiFault:
    """Explain an exception of a TestFailover."""
    return explain(
        exc,
        operation="TestFailover",
        arguments={"ReplicationGroupId": "rg", "NodeGroupId": "0001"},
        where="eu-west-1",
    )


def reply(code: str, *, status: int = 400, message: str = "said so") -> ClientError:
    """Build the error botocore makes of a fault reply."""
    return ClientError(
        {
            "Error": {"Code": code, "Message": message},
            "ResponseMetadata": {"HTTPStatusCode": status},  # type: ignore[typeddict-item]
        },
        "TestFailover",
    )


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        ("AccessDenied", "allow the IAM action elasticache:TestFailover"),
        ("ExpiredToken", "renew the credentials"),
        ("APICallRateForCustomerExceeded", "wait and try again"),
        ("Throttling", "raise the poll intervals"),
        ("ReplicationGroupNotFoundFault", "check control.replication_group"),
        ("NodeGroupNotFoundFault", "use a node group id"),
        ("TestFailoverNotAvailableFault", "previous node replacement"),
        ("InvalidReplicationGroupState", "wait until the group is available"),
        ("NeverSeenFault", "change the request or the group"),
    ],
)
def test_a_refusal_names_call_arguments_answer_and_remedy(
    code: str, advice: str
) -> None:
    """Whatever the code, the text has the call, its arguments, the reply and advice."""
    fault = explained(reply(code))
    assert isinstance(fault, ApiRefused)
    assert isinstance(fault, ControlError)
    assert fault.code == code
    assert str(fault).startswith(
        "TestFailover(ReplicationGroupId=rg, NodeGroupId=0001) at eu-west-1 was "
        f"refused with {code}: said so; "
    )
    assert advice in str(fault)


@pytest.mark.parametrize(
    "exc",
    [
        reply("InternalFailure", status=500),
        reply("ServiceUnavailable", status=503),
        ReadTimeoutError(endpoint_url=URL, error="late"),
        ConnectionClosedError(endpoint_url=URL, error="closed", request=None),
        EndpointConnectionError(
            endpoint_url=URL, error=aiohttp.ClientOSError(104, "x")
        ),
        aiohttp.ClientPayloadError("half a body"),
        ResponseParserError("no XML:\n<html>a page</html>"),
        TimeoutError(),
    ],
)
def test_a_lost_reply_is_never_taken_for_a_refusal(exc: BaseException) -> None:
    """Where the request may have arrived, the fault says it may have been applied."""
    fault = explained(exc)
    assert isinstance(fault, ApiUnanswered)
    assert "may have been applied" in str(fault)
    assert "\n" not in str(fault)


def test_a_lost_reply_of_a_read_needs_no_doubt() -> None:
    """Nothing is applied by looking."""
    lost = ReadTimeoutError(endpoint_url=URL, error="late")
    fault = explain(lost, operation="DescribeEvents", arguments={}, where="here")
    assert isinstance(fault, ApiUnanswered)
    assert "applied" not in str(fault)


@pytest.mark.parametrize(
    "exc",
    [
        ConnectTimeoutError(endpoint_url=URL, error="late"),
        EndpointConnectionError(
            endpoint_url=URL,
            error=aiohttp.ClientConnectorError(KEY, OSError(111, "refused")),
        ),
        NoCredentialsError(),
    ],
)
def test_what_was_never_sent_is_known_as_such(exc: BaseException) -> None:
    """No connection and no credentials mean that nothing was applied."""
    fault = explained(exc)
    assert isinstance(fault, ApiUnreachable)
    assert "was not sent" in str(fault)


def test_missing_credentials_name_the_ways_to_give_them() -> None:
    """A person without credentials learns where they are looked for."""
    assert "AWS_PROFILE" in str(explained(NoCredentialsError()))


def test_a_wrong_argument_points_to_the_configuration() -> None:
    """What botocore refuses on this side is a matter of the configuration."""
    fault = explained(ParamValidationError(report="bad id"))
    assert isinstance(fault, ApiRefused)
    assert "[control]" in str(fault)


@pytest.mark.parametrize(
    ("exc", "expected"),
    [
        (reply("Throttling"), True),
        (reply("ThrottlingException"), True),
        (reply("APICallRateForCustomerExceeded"), True),
        (reply("RequestLimitExceeded"), True),
        (reply("InternalFailure", status=500), True),
        (ReadTimeoutError(endpoint_url=URL, error="late"), True),
        (reply("AccessDenied"), False),
        (reply("ReplicationGroupNotFoundFault", status=404), False),
    ],
)
def test_pollers_outlive_what_passes_and_nothing_else(
    exc: BaseException, expected: bool
) -> None:
    """Throttling and the network pass by themselves; missing permissions do not."""
    assert may_pass(explained(exc)) is expected


def test_what_was_refused_for_its_frequency_may_be_sent_again() -> None:
    """All of the throttling codes, and no other refusal."""
    for code in ("Throttling", "APICallRateForCustomerExceeded"):
        fault = explained(reply(code))
        assert isinstance(fault, ApiRefused)
        assert is_throttled(fault)
    fault = explained(reply("InvalidParameterValue"))
    assert isinstance(fault, ApiRefused)
    assert not is_throttled(fault)


def test_a_secret_that_a_reply_repeats_is_masked() -> None:
    """However often it occurs."""
    fault = explain(
        reply("InvalidParameterValue", message="s3cret is odd: s3cret"),
        operation="ModifyReplicationGroup",
        arguments={"AuthToken": "****"},
        where="here",
        hidden=["s3cret"],
    )
    assert "**** is odd: ****" in str(fault)
    assert "s3cret" not in str(fault)
    assert isinstance(fault, ApiRefused)
    assert fault.code == "InvalidParameterValue"


def test_patience_with_refused_credentials_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is counted from the first refusal in a row; other passing faults have none."""
    now_s = 100
    monkeypatch.setattr(
        "loadprobe.control.provider.faults.mono_now_ns", lambda: now_s * 1_000_000_000
    )
    patience = Patience(limit_s=60)
    expired = explained(reply("ExpiredToken"))
    assert has_bad_keys(expired)
    patience.tolerate(expired)
    assert patience.last == str(expired)
    now_s = 159
    patience.tolerate(expired)
    patience.reset()
    assert patience.last == ""
    now_s = 500
    patience.tolerate(expired)
    patience.tolerate(explained(reply("Throttling")))
    now_s = 560
    with pytest.raises(ApiRefused, match="renew the credentials"):
        patience.tolerate(expired)
    with pytest.raises(ApiRefused, match="IAM action"):
        patience.tolerate(explained(reply("AccessDenied")))
