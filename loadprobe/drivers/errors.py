"""The one table that says what an error means: (outcome, class).

Closed on purpose. A reply or exception that is not here is not the target's doing,
as far as we know, and ends the run: a defect of ours must never read as downtime.
Error codes as replied by redis-server 7.0.15 and valkey-server 9.1.2.
"""

import asyncio
import errno
import socket
import ssl
from collections.abc import Mapping

from loadprobe.core.judging.outcome import ErrorClass, Outcome

REPLY_CLASSES: dict[str, ErrorClass] = {
    "CLUSTERDOWN": ErrorClass.CLUSTERDOWN,
    "MOVED": ErrorClass.MOVED,
    "ASK": ErrorClass.ASK,
    "TRYAGAIN": ErrorClass.TRYAGAIN,
    "READONLY": ErrorClass.READONLY,
    "LOADING": ErrorClass.LOADING,
    "MASTERDOWN": ErrorClass.MASTERDOWN,
    "NOAUTH": ErrorClass.AUTH,
    "WRONGPASS": ErrorClass.AUTH,
    "NOPERM": ErrorClass.AUTH,
    "OOM": ErrorClass.OOM,
    "MISCONF": ErrorClass.MISCONF,
}
"""First word of an error reply -> class; any other error reply is ``OTHER``."""

_UNREACHABLE = frozenset(
    {
        errno.EHOSTUNREACH,
        errno.ENETUNREACH,
        errno.EHOSTDOWN,
        errno.ENETDOWN,
        errno.ETIMEDOUT,
        errno.ENETRESET,
        errno.EACCES,  # "administratively prohibited", by ICMPv6 or a route
        errno.ENOPROTOOPT,
    }
)
_RESET = frozenset(
    {errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE, errno.ENOTCONN, errno.EPROTO}
)


def is_closed_transport(exc: BaseException) -> bool:
    """Tell whether TLS had something to say on a connection that was lost just then.

    uvloop 0.22 has no class of its own for that (observed).
    """
    return isinstance(exc, RuntimeError) and "handler is closed" in str(exc)


def is_defect(context: Mapping[str, object]) -> bool:
    """Tell whether what the event loop reports is a defect of ours.

    All is, but what a TLS connection reports of its own loss: whoever holds it is told,
    too. Nor is what uvloop tells of a handshake to a future that nobody waits for any
    more (seen once, when an attempt was given up as it failed). And redis-py and
    valkey-py report nodes that they forgot with connections open; applications live
    with that.
    """
    if type(context.get("client")).__module__.startswith(("redis.", "valkey.")):
        return False
    exc, future = context.get("exception"), context.get("future")
    is_forsaken = isinstance(future, asyncio.Future) and not isinstance(
        future, asyncio.Task
    )
    if is_forsaken and isinstance(exc, ssl.SSLError):
        return False
    return not (
        "protocol" in context
        and isinstance(exc, Exception)
        and is_closed_transport(exc)
    )


def _is_early_end(exc: BaseException) -> bool:
    # uvloop: "SSL handshake is taking longer than..." or an early close
    is_unnumbered = isinstance(exc, ConnectionError) and exc.errno is None
    return is_unnumbered or is_closed_transport(exc)


def classify_reply(text: str) -> ErrorClass:
    """Return the class of an error reply, for example ``CLUSTERDOWN Hash slot...``."""
    return REPLY_CLASSES.get(text.partition(" ")[0], ErrorClass.OTHER)


def classify_connect_error(exc: BaseException) -> ErrorClass:
    """Return the class of an exception met while opening a connection.

    Raises:
        BaseException: the exception itself when no row of the table fits.
    """
    match exc:
        case ssl.SSLError():  # includes SSLCertVerificationError
            return ErrorClass.TLS
        case socket.gaierror() | UnicodeError():
            # UnicodeError: the name cannot be one ("a..b", a label of 64 characters)
            return ErrorClass.DNS
        case ConnectionRefusedError():
            return ErrorClass.CONNECT_REFUSED
        case TimeoutError():
            return ErrorClass.UNREACHABLE
        case OSError() if exc.errno in _UNREACHABLE:
            return ErrorClass.UNREACHABLE
        case OSError() if exc.errno in _RESET:
            return ErrorClass.RESET
        case ConnectionError() | RuntimeError() if _is_early_end(exc):
            return ErrorClass.RESET
        case _:
            raise exc


def classify_lost_connection(exc: BaseException | None) -> tuple[Outcome, ErrorClass]:
    """Return (outcome, class) of arrivals that were on a connection when it ended.

    Args:
        exc: what ``connection_lost`` was given; None is an orderly end by the peer.

    Raises:
        BaseException: the exception itself when no row of the table fits.
    """
    match exc:
        case None | ConnectionError() | ssl.SSLError() | TimeoutError():
            return Outcome.UNKNOWN, ErrorClass.RESET
        case OSError() if exc.errno in _RESET or exc.errno in _UNREACHABLE:
            return Outcome.UNKNOWN, ErrorClass.RESET
        case RuntimeError() if is_closed_transport(exc):
            return Outcome.UNKNOWN, ErrorClass.RESET
        case _:
            raise exc
