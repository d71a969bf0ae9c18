"""What a failed API call means: refused, unanswered (may be applied) or unreachable.

Rule: whoever sends a mutation must know which of the three it was, because only an
unreachable provider makes a second attempt safe. Which of them it was is found out in
``explaining``, which alone knows what the AWS libraries raise.
"""

from typing import assert_never

from loadprobe.clock import NS_PER_S, mono_now_ns
from loadprobe.control.provider.kinds import NOT_FOUND
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

DENIED = frozenset(
    {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "NotAuthorized"}
)
BAD_KEYS = frozenset(
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
    return fault.code in DENIED


def has_bad_keys(fault: ApiFault) -> bool:
    """Tell whether the credentials were refused; they may be renewed meanwhile."""
    return isinstance(fault, ApiRefused) and fault.code in BAD_KEYS


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
