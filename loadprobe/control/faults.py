"""What a failed API call means: refused, unanswered (may be applied) or unreachable.

Rule: whoever sends a mutation must know which of the three it was, because only an
unreachable provider makes a second attempt safe. Texts name the call, its arguments,
what came back and what to do.
"""

from collections.abc import Mapping
from typing import assert_never

import aiohttp
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    PartialCredentialsError,
    ProfileNotFound,
    ProxyConnectionError,
    SSLError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)

from loadprobe.errors import ControlError

THROTTLED_BY_CUSTOMER_RATE = "APICallRateForCustomerExceeded"
"""A throttle code that botocore's retry modes do not know (botocore 1.40)."""


class ApiRefused(ControlError):
    """The provider answered no; nothing was applied.

    Args:
        text: the whole message.
        code: the error code of the reply, "" if the refusal is our own.
    """

    def __init__(self, text: str, *, code: str = "") -> None:
        super().__init__(text)
        self.code = code


class ApiUnanswered(ControlError):
    """The request was sent and no usable reply came: it may have been applied."""


class ApiUnreachable(ControlError):
    """No connection came about, or no credentials: nothing was sent."""


ApiFault = ApiRefused | ApiUnanswered | ApiUnreachable
CallErrors = (BotoCoreError, ClientError, aiohttp.ClientError, OSError)
"""What a call of an aiobotocore client raises for reasons outside of us (TimeoutError
is an OSError)."""

_DENIED = frozenset(
    {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "NotAuthorized"}
)
_BAD_KEYS = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "InvalidClientTokenId",
        "MissingAuthenticationToken",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
_ADVICE: Mapping[str, str] = {
    THROTTLED_BY_CUSTOMER_RATE: (
        "wait and try again; TestFailover is limited to 15 node groups in 24 hours"
    ),
    "Throttling": "call less often: raise the poll intervals",
    "ReplicationGroupNotFoundFault": (
        "check control.replication_group and control.region"
    ),
    "NodeGroupNotFoundFault": 'use a node group id of this group, such as "0001"',
    "TestFailoverNotAvailableFault": (
        "wait until the previous node replacement of this group is complete"
    ),
    "InvalidReplicationGroupState": "wait until the group is available",
    "InvalidCacheClusterState": "wait until all nodes of the group are available",
    "InvalidAction": "the endpoint does not know this call: check control.endpoint_url",
}
_NO_CREDENTIALS = (
    NoCredentialsError,
    PartialCredentialsError,
    CredentialRetrievalError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
    ProfileNotFound,
)
_OWN_MISTAKE = (ParamValidationError, NoRegionError, ValueError)


def explain(
    exc: BaseException, *, operation: str, arguments: Mapping[str, object], where: str
) -> ApiFault:
    """Turn what a client raised into one of the three faults.

    Args:
        exc: an exception of ``CallErrors``.
        operation: API action, such as "TestFailover".
        arguments: what it was called with (no secrets occur in these calls).
        where: the endpoint, or the region.
    """
    shown = ", ".join(f"{name}={value}" for name, value in arguments.items())
    call = f"{operation}({shown}) at {where}"
    if isinstance(exc, ClientError):
        return _explain_reply(exc, call=call, operation=operation)
    if isinstance(exc, _NO_CREDENTIALS):
        return ApiUnreachable(
            f"{call} was not sent: {_text(exc)}; provide credentials (an instance "
            "role, AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY)"
        )
    if isinstance(exc, _OWN_MISTAKE):
        return ApiRefused(
            f"{call} was not sent: {_text(exc)}; check the [control] section"
        )
    if _is_unsent(exc):
        return ApiUnreachable(
            f"{call} was not sent: {_text(exc)}; check the network, control.region and "
            "control.endpoint_url"
        )
    return ApiUnanswered(
        f"{call} was sent and no usable reply came: {_text(exc)}; it may have been "
        "applied: look at the events of the group before repeating it"
    )


def may_pass(fault: ApiFault) -> bool:
    """Tell whether a poller should go on polling after this fault of a read.

    Throttling, network faults and failing credential providers pass; a missing
    permission does not.
    """
    if isinstance(fault, ApiUnanswered | ApiUnreachable):
        return True
    if isinstance(fault, ApiRefused):
        return "Throttl" in fault.code or fault.code == THROTTLED_BY_CUSTOMER_RATE
    assert_never(fault)


def _explain_reply(exc: ClientError, *, call: str, operation: str) -> ApiFault:
    error = exc.response.get("Error", {})
    code = str(error.get("Code", "?"))
    said = f"{code}: {error.get('Message', '') or 'no message'}"
    status = exc.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if status >= 500:
        return ApiUnanswered(
            f"{call} failed inside the provider (HTTP {status}, {said}); it may have "
            "been applied: look at the events of the group before repeating it"
        )
    if code in _DENIED:
        advice = f"allow the IAM action elasticache:{operation} for these credentials"
    elif code in _BAD_KEYS:
        advice = "renew the credentials and check the clock of this host"
    else:
        advice = _ADVICE.get(code, "change the request or the group accordingly")
    return ApiRefused(f"{call} was refused with {said}; {advice}", code=code)


def _is_unsent(exc: BaseException) -> bool:
    """Tell whether the connection itself failed.

    aiobotocore 2.25 raises EndpointConnectionError also for a connection that was
    reset after the request; only the inner error tells the two apart.
    """
    if isinstance(exc, ConnectTimeoutError | ProxyConnectionError | SSLError):
        return True
    if isinstance(exc, EndpointConnectionError):
        inner = exc.kwargs.get("error")
        return isinstance(inner, aiohttp.ClientConnectorError)
    return isinstance(exc, aiohttp.ClientConnectorError)


def _text(exc: BaseException) -> str:
    return str(exc) or type(exc).__name__
