"""The table of what redis-py raises: (outcome, class) as an application sees it.

Closed, as ``drivers.errors`` is: what is not here propagates and ends the run. Three
rows are defects of redis-py 8.1.0 and no errors of its own making; they count only if
they were raised inside of it.

The outcome holds for an operation of which nothing is under way. redis-py tries again
by itself: if the reply to an earlier try is missing, the operation may have been done
whatever the last try ended with, and ``settle`` says so.
"""

import errno
import re

from redis import exceptions

from loadprobe.core.outcome import ErrorClass, Outcome
from loadprobe.drivers.errors import classify_connect_error, classify_reply

End = tuple[Outcome, ErrorClass]

_REPLIES: dict[type[Exception], ErrorClass] = {
    exceptions.MasterDownError: ErrorClass.MASTERDOWN,
    exceptions.ClusterDownError: ErrorClass.CLUSTERDOWN,
    exceptions.MovedError: ErrorClass.MOVED,
    exceptions.AskError: ErrorClass.ASK,
    exceptions.TryAgainError: ErrorClass.TRYAGAIN,
    exceptions.ReadOnlyError: ErrorClass.READONLY,
    exceptions.BusyLoadingError: ErrorClass.LOADING,
    exceptions.AuthenticationError: ErrorClass.AUTH,
    exceptions.AuthorizationError: ErrorClass.AUTH,
    exceptions.NoPermissionError: ErrorClass.AUTH,
    exceptions.AuthenticationWrongNumberOfArgsError: ErrorClass.AUTH,
    exceptions.OutOfMemoryError: ErrorClass.OOM,
}
"""Exceptions that stand for an error reply. Most lack its first word in their text."""

REPLIES: tuple[type[Exception], ...] = (exceptions.ResponseError, *_REPLIES)
"""All of them."""

_DEFECTS: tuple[tuple[type[Exception], str, End], ...] = (
    # ASK to a node that serves no slots yet is not known to the client.
    (
        AttributeError,
        r"'NoneType' object has no attribute 'connection_kwargs'",
        (Outcome.REFUSED, ErrorClass.ASK),
    ),
    # A slot that nobody serves (require_full_coverage = false).
    (KeyError, r"\d{1,5}", (Outcome.UNSENT, ErrorClass.UNREACHABLE)),
    # uvloop: written to a connection that another task was closing.
    (
        RuntimeError,
        r"unable to perform operation on <.*closed=True.*>; the handler is closed",
        (Outcome.UNSENT, ErrorClass.RESET),
    ),
)

_TTL = "TTL exhausted."


def classify(exc: Exception) -> End:
    """Return (outcome, class) of an exception that redis-py raised for an operation.

    Raises:
        Exception: the exception itself when no row of the table fits.
    """
    for kind, error in _REPLIES.items():
        if isinstance(exc, kind):
            return Outcome.REFUSED, error
    end: End | None = None
    match exc:
        case exceptions.MaxConnectionsError():
            end = Outcome.UNSENT, ErrorClass.INFLIGHT
        case exceptions.ConnectionError():
            end = _classify_connection(exc)
        case exceptions.TimeoutError() if "connecting" in str(exc):
            end = Outcome.UNSENT, ErrorClass.UNREACHABLE
        case exceptions.TimeoutError():
            end = Outcome.UNKNOWN, ErrorClass.TIMEOUT
        case exceptions.ResponseError():
            end = Outcome.REFUSED, classify_reply(str(exc))
        case exceptions.ClusterError() if str(exc) == _TTL:
            # Sixteen redirects: no node wanted to serve the slot.
            end = Outcome.REFUSED, ErrorClass.MOVED
        case exceptions.RedisClusterException():
            end = _classify_start(exc)
        case OSError():
            end = Outcome.UNSENT, classify_connect_error(exc)
        case _:
            end = _find_defect(exc)
    if end is None:
        raise exc
    return end


def _classify_connection(exc: exceptions.ConnectionError) -> End:
    """Return the end by a plain ``ConnectionError``; what was behind it tells more.

    Raises:
        Exception: the exception itself if it hides one that no table knows.
    """
    text = str(exc)
    if text == "max number of clients reached":  # -ERR as a greeting
        return Outcome.REFUSED, ErrorClass.OTHER
    if "connecting to" in text:
        cause = exc.__context__
        if isinstance(cause, OSError) and "Multiple exceptions" in str(cause):
            # A name with several addresses, none of which could be connected to.
            is_closed = f"Errno {errno.ECONNREFUSED}" in str(cause)
            error = ErrorClass.CONNECT_REFUSED if is_closed else ErrorClass.UNREACHABLE
            return Outcome.UNSENT, error
        if isinstance(cause, OSError):
            return Outcome.UNSENT, classify_connect_error(cause)
    cause = exc.__cause__
    if isinstance(cause, UnicodeError):
        return Outcome.UNSENT, ErrorClass.DNS
    if cause is not None and not isinstance(cause, OSError):
        raise exc
    return Outcome.UNKNOWN, ErrorClass.RESET


def _classify_start(exc: exceptions.RedisClusterException) -> End:
    """Return the end by a client that could not learn who serves what.

    The operation was never sent, whatever stood against learning.
    """
    for behind in (exc.__cause__, exc.__context__):
        if isinstance(behind, Exception):
            return Outcome.UNSENT, classify(behind)[1]
    return Outcome.UNSENT, ErrorClass.UNREACHABLE


def _find_defect(exc: Exception) -> End | None:
    for kind, pattern, end in _DEFECTS:
        is_alike = type(exc) is kind and re.fullmatch(pattern, str(exc))
        if is_alike and _is_from_redis_py(exc):
            return end
    return None


def _is_from_redis_py(exc: Exception) -> bool:
    """Tell whether an exception was raised in redis-py, or in what it called."""
    trace = exc.__traceback__
    while trace is not None:
        if trace.tb_frame.f_globals.get("__name__", "").startswith("redis."):
            return True
        trace = trace.tb_next
    return False


def settle(end: End, *, tries: int, answers: int) -> End:
    """Return how an operation ended, given what is known of its tries.

    Args:
        end: what its last exception means.
        tries: how often it was handed to a socket.
        answers: how many of these were answered.
    """
    outcome, error = end
    if tries > answers:
        return Outcome.UNKNOWN, error
    if outcome is Outcome.UNKNOWN:
        # Nothing of it is under way: it was the login, or the question who serves it.
        is_silent = error is ErrorClass.TIMEOUT
        return Outcome.UNSENT, ErrorClass.UNREACHABLE if is_silent else error
    return end
