"""The table of what redis-py and valkey-py raise: (outcome, class) for an application.

Closed, as ``drivers.errors`` is: what is not here propagates and ends the run. Some
rows are defects of redis-py 8.1.0 and valkey-py 6.2.0 and no errors of their making;
they count only if they were raised inside of the library.

The outcome holds for an operation of which nothing is under way. Both libraries try
again by themselves: if the reply to an earlier try is missing, the operation may have
been done whatever the last try ended with, and ``end_of`` says so.
"""

import errno
import re

from loadprobe.core.judging.outcome import ErrorClass, Outcome
from loadprobe.drivers.clients.library.base import End
from loadprobe.drivers.clients.redis_py.forks import Fork
from loadprobe.drivers.errors import classify_connect_error, classify_reply

_REPLIES: dict[str, ErrorClass] = {
    "MasterDownError": ErrorClass.MASTERDOWN,
    "ClusterDownError": ErrorClass.CLUSTERDOWN,
    "MovedError": ErrorClass.MOVED,
    "AskError": ErrorClass.ASK,
    "TryAgainError": ErrorClass.TRYAGAIN,
    "ReadOnlyError": ErrorClass.READONLY,
    "BusyLoadingError": ErrorClass.LOADING,
    "AuthenticationError": ErrorClass.AUTH,
    "AuthorizationError": ErrorClass.AUTH,
    "NoPermissionError": ErrorClass.AUTH,
    "AuthenticationWrongNumberOfArgsError": ErrorClass.AUTH,
    "OutOfMemoryError": ErrorClass.OOM,
}
"""Exceptions that stand for an error reply. Most lack its first word in their text."""

_DEFECTS: tuple[tuple[type[Exception], str, End], ...] = (
    # ASK to a node that serves no slots yet is not known to the client.
    (
        AttributeError,
        r"'NoneType' object has no attribute '(connection_kwargs|execute_command)'",
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
    # valkey-py: the same, where another task had closed it already.
    (
        AttributeError,
        "'NoneType' object has no attribute 'writelines'",
        (Outcome.UNSENT, ErrorClass.RESET),
    ),
)

_TTL = "TTL exhausted."


class ErrorTable:
    """What the exceptions of one of the libraries mean.

    Args:
        fork: the library.
    """

    def __init__(self, fork: Fork) -> None:
        raised = fork.exceptions
        self._package = f"{fork.package}."
        self._exceptions = raised
        self._cluster_exception = fork.cluster_exception
        self._rows = {getattr(raised, name): error for name, error in _REPLIES.items()}
        self.replies: tuple[type[Exception], ...] = (raised.ResponseError, *self._rows)
        self.ask, self.moved = raised.AskError, raised.MovedError

    def classify(self, exc: Exception) -> End:
        """Return (outcome, class) of an exception that an operation ended with.

        Raises:
            Exception: the exception itself when no row of the table fits.
        """
        for kind, error in self._rows.items():
            if isinstance(exc, kind):
                return Outcome.REFUSED, error
        raised = self._exceptions
        end: End | None = None
        match exc:
            case raised.MaxConnectionsError():
                end = Outcome.UNSENT, ErrorClass.INFLIGHT
            case raised.ConnectionError():
                end = _classify_connection(exc)
            case raised.TimeoutError() if "connecting" in str(exc):
                end = Outcome.UNSENT, ErrorClass.UNREACHABLE
            case raised.TimeoutError():
                end = Outcome.UNKNOWN, ErrorClass.TIMEOUT
            case raised.ResponseError():
                end = Outcome.REFUSED, classify_reply(str(exc))
            case raised.ClusterError() if str(exc) == _TTL:
                # Sixteen redirects: no node wanted to serve the slot.
                end = Outcome.REFUSED, ErrorClass.MOVED
            case _ if isinstance(exc, self._cluster_exception):
                end = self._classify_start(exc)
            case OSError():
                end = Outcome.UNSENT, classify_connect_error(exc)
            case _:
                end = self._find_defect(exc)
        if end is None:
            raise exc
        return end

    def _classify_start(self, exc: Exception) -> End:
        """Return the end by a client that could not learn who serves what.

        The operation was never sent, whatever stood against learning.
        """
        for behind in (exc.__cause__, exc.__context__):
            if isinstance(behind, Exception):
                return Outcome.UNSENT, self.classify(behind)[1]
        return Outcome.UNSENT, ErrorClass.UNREACHABLE

    def _find_defect(self, exc: Exception) -> End | None:
        for kind, pattern, end in _DEFECTS:
            is_alike = type(exc) is kind and re.fullmatch(pattern, str(exc))
            if is_alike and self._is_from_the_library(exc):
                return end
        return None

    def _is_from_the_library(self, exc: Exception) -> bool:
        """Tell whether an exception was raised in the library, or in what it called."""
        trace = exc.__traceback__
        while trace is not None:
            if trace.tb_frame.f_globals.get("__name__", "").startswith(self._package):
                return True
            trace = trace.tb_next
        return False


def _classify_connection(exc: Exception) -> End:
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
