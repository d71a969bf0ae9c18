"""What a failed API call means: refused, unanswered (may be applied) or unreachable.

Rule: whoever sends a mutation must know which of the three it was, because only an
unreachable provider makes a second attempt safe. Texts name the call, its arguments,
what came back and what to do.
"""

from collections.abc import Collection, Mapping
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
from botocore.parsers import ResponseParserError

from loadprobe.clock import NS_PER_S, mono_now_ns
from loadprobe.control.provider.kinds import KINDS, NOT_FOUND
from loadprobe.control.provider.secret import MASK
from loadprobe.errors import ControlError

THROTTLED_BY_CUSTOMER_RATE = "APICallRateForCustomerExceeded"
"""A throttle code that botocore's retry modes do not know (botocore 1.40)."""

UNKNOWN_ACTION = "InvalidAction"


class ApiRefused(ControlError):
    """The provider answered no; nothing was applied.

    Args:
        text: the whole message.
        code: the error code of the reply, "" if the refusal is our own.
        operation: what was called, if a reply refused it.
    """

    def __init__(self, text: str, *, code: str = "", operation: str = "") -> None:
        super().__init__(text)
        self.code = code
        self.operation = operation


class ApiUnanswered(ControlError):
    """The request was sent and no usable reply came: it may have been applied."""


class ApiUnreachable(ControlError):
    """No connection came about, or no credentials: nothing was sent."""


ApiFault = ApiRefused | ApiUnanswered | ApiUnreachable
CallErrors = (
    BotoCoreError,
    ClientError,
    ResponseParserError,
    aiohttp.ClientError,
    OSError,
)
"""What a call of an aiobotocore client raises for reasons outside of us (TimeoutError
is an OSError; a reply that is no XML, as proxies give, is a ResponseParserError)."""

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
_LIMITED = frozenset({THROTTLED_BY_CUSTOMER_RATE, "RequestLimitExceeded"})
_ADVICE: Mapping[str, str] = {
    THROTTLED_BY_CUSTOMER_RATE: (
        "wait and try again; TestFailover is limited to 15 node groups in 24 hours"
    ),
    "Throttling": "call less often: raise the poll intervals",
    **{
        kind.not_found: f"check control.{kind.key} and control.region" for kind in KINDS
    },
    "NodeGroupNotFoundFault": 'use a node group id of this group, such as "0001"',
    "TestFailoverNotAvailableFault": (
        "wait until the previous node replacement of this group is complete"
    ),
    "InvalidReplicationGroupState": "wait until the group is available",
    "InvalidServerlessCacheStateFault": "wait until the serverless cache is available",
    "InvalidCacheClusterState": "wait until all nodes of the group are available",
    UNKNOWN_ACTION: "the endpoint does not know this call: check control.endpoint_url",
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
    exc: BaseException,
    *,
    operation: str,
    arguments: Mapping[str, object],
    where: str,
    hidden: Collection[str] = (),
) -> ApiFault:
    """Turn what a client raised into one of the three faults.

    Args:
        exc: an exception of ``CallErrors``.
        operation: API action, such as "TestFailover".
        arguments: what it was called with, secrets masked.
        where: the endpoint, or the region.
        hidden: secrets that were sent; a reply that repeats one is masked.
    """
    fault = _explain(exc, operation=operation, arguments=arguments, where=where)
    text = str(fault)
    for secret in hidden:
        text = text.replace(secret, MASK)
    fault.args = (text,)
    return fault


def _explain(
    exc: BaseException, *, operation: str, arguments: Mapping[str, object], where: str
) -> ApiFault:
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
        f"{call} was sent and no usable reply came: {_text(exc)}{_doubt(operation)}"
    )


def may_pass(fault: ApiFault) -> bool:
    """Tell whether a poller should go on polling after this fault of a read.

    Throttling, network faults and failing credential providers pass; a missing
    permission does not.
    """
    if isinstance(fault, ApiUnanswered | ApiUnreachable):
        return True
    if isinstance(fault, ApiRefused):
        return is_throttled(fault)
    assert_never(fault)


def is_throttled(fault: ApiRefused) -> bool:
    """Tell whether a call was refused for its frequency, so that nothing was done."""
    return "Throttl" in fault.code or fault.code in _LIMITED


def is_denied(fault: ApiRefused) -> bool:
    """Tell whether a permission is missing."""
    return fault.code in _DENIED


def has_bad_keys(fault: ApiFault) -> bool:
    """Tell whether the credentials were refused; they may be renewed meanwhile."""
    return isinstance(fault, ApiRefused) and fault.code in _BAD_KEYS


def _explain_reply(exc: ClientError, *, call: str, operation: str) -> ApiFault:
    error = exc.response.get("Error", {})
    code = str(error.get("Code", "?"))
    said = f"{code}: {error.get('Message', '') or 'no message'}"
    status = exc.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if status >= 500:
        return ApiUnanswered(
            f"{call} failed inside the provider (HTTP {status}, {said})"
            f"{_doubt(operation)}"
        )
    if code in _DENIED:
        advice = f"allow the IAM action elasticache:{operation} for these credentials"
    elif code in _BAD_KEYS:
        advice = "renew the credentials and check the clock of this host"
    else:
        advice = _ADVICE.get(code, "change the request or the group accordingly")
    return ApiRefused(
        f"{call} was refused with {said}; {advice}", code=code, operation=operation
    )


def _doubt(operation: str) -> str:
    if operation.startswith(("Describe", "List")):
        return ""
    return (
        "; it may have been applied: look at the events of the group before repeating "
        "it"
    )


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
    """Return one line: an answer that is a page of HTML would come along whole."""
    lines = str(exc).splitlines()
    return lines[0] if lines else type(exc).__name__


class Patience:
    """Bears the faults of reads that pass, and refused credentials for a while.

    Args:
        limit_s: how long credentials may be refused in a row before it ends.

    Attributes:
        last: text of the last fault since an answer came, else "".
    """

    def __init__(self, *, limit_s: float) -> None:
        self.last = ""
        self._limit_ns = int(limit_s * NS_PER_S)
        self._since_ns: int | None = None

    def tolerate(self, fault: ApiFault) -> None:
        """Note a fault, or raise it if it will not pass."""
        now_ns = mono_now_ns()
        if has_bad_keys(fault):
            if self._since_ns is None:
                self._since_ns = now_ns
            if now_ns - self._since_ns >= self._limit_ns:
                raise fault
        elif not may_pass(fault):
            raise fault
        self.last = str(fault)

    def reset(self) -> None:
        """Note an answer."""
        self.last = ""
        self._since_ns = None


def is_absent(error: Exception) -> bool:
    """Tell whether an error says that there is no such group or cache."""
    return isinstance(error, ApiRefused) and error.code in NOT_FOUND


def may_come(error: Exception) -> bool:
    """Tell whether a call may succeed later although nothing is done about it here."""
    return is_absent(error) or isinstance(error, ApiUnanswered | ApiUnreachable)
