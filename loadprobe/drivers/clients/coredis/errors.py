"""The table of what coredis raises: (outcome, class) as an application sees it.

Closed, as ``drivers.errors`` is: what is not here propagates and ends the run.
"""

from coredis import exceptions

from loadprobe.core.judging.outcome import ErrorClass, Outcome
from loadprobe.drivers.clients.library.base import End
from loadprobe.drivers.errors import classify_connect_error, classify_reply

_REPLIES: dict[type[Exception], ErrorClass] = {
    exceptions.ClusterDownError: ErrorClass.CLUSTERDOWN,
    exceptions.MovedError: ErrorClass.MOVED,
    exceptions.AskError: ErrorClass.ASK,
    exceptions.TryAgainError: ErrorClass.TRYAGAIN,
    exceptions.ReadOnlyError: ErrorClass.READONLY,
    exceptions.BusyLoadingError: ErrorClass.LOADING,
    exceptions.AuthenticationError: ErrorClass.AUTH,
    exceptions.AuthorizationError: ErrorClass.AUTH,
}
"""Exceptions that stand for an error reply whose first word was cut off."""

_UNABLE = "Unable to establish a connection"


def classify(exc: Exception) -> End:
    """Return (outcome, class) of an exception that coredis raised for an operation.

    Raises:
        Exception: the exception itself when no row of the table fits.
    """
    for kind, error in _REPLIES.items():
        if isinstance(exc, kind):
            return Outcome.REFUSED, error
    match exc:
        case exceptions.ClusterError():
            # Sixteen redirects: no node wanted to serve the slot.
            return Outcome.REFUSED, ErrorClass.MOVED
        case exceptions.ConnectionError() if _UNABLE in str(exc):
            return Outcome.UNSENT, _classify_behind(exc)
        case exceptions.ConnectionError():
            return Outcome.UNKNOWN, ErrorClass.RESET
        case exceptions.ResponseError():
            return Outcome.REFUSED, classify_reply(str(exc))
        case exceptions.RedisClusterError():
            return Outcome.UNSENT, _classify_behind(exc)
        case TimeoutError():  # of a reply, or for a connection of the pool
            return Outcome.UNKNOWN, ErrorClass.TIMEOUT
        case _:
            raise exc


def _classify_behind(exc: Exception) -> ErrorClass:
    behind = exc.__cause__
    while isinstance(behind, ExceptionGroup):
        behind = behind.exceptions[0]
    match behind:
        case None:
            return ErrorClass.UNREACHABLE
        case exceptions.RedisError():
            return classify(behind)[1]
        case OSError() if isinstance(behind.__cause__, OSError | ExceptionGroup):
            return _classify_behind(behind)  # anyio: all connection attempts failed
        case _:
            return classify_connect_error(behind)
