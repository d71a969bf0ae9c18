"""Which fault a failed API call is, in words that help.

Texts name the call, its arguments, what came back and what to do. Rule: only who has a
client imports this module, because botocore comes along.
"""

from collections.abc import Collection, Mapping

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

from loadprobe.control.provider.faults import (
    BAD_KEYS,
    DENIED,
    THROTTLED_BY_CUSTOMER_RATE,
    UNKNOWN_ACTION,
    ApiFault,
    ApiRefused,
    ApiUnanswered,
    ApiUnreachable,
)
from loadprobe.control.provider.kinds import KINDS
from loadprobe.control.provider.secret import MASK

CallErrors = (
    BotoCoreError,
    ClientError,
    ResponseParserError,
    aiohttp.ClientError,
    OSError,
)
"""What a call of an aiobotocore client raises for reasons outside of us (TimeoutError
is an OSError; a reply that is no XML, as proxies give, is a ResponseParserError)."""

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
    if code in DENIED:
        advice = f"allow the IAM action elasticache:{operation} for these credentials"
    elif code in BAD_KEYS:
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
