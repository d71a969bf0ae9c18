"""The table of what valkey-glide raises: (outcome, class) as an application sees it.

Its core is written in Rust and tells everything in text. Closed, as ``drivers.errors``
is: what is not here propagates and ends the run.
"""

import re

import glide

from loadprobe.core.judging.outcome import ErrorClass, Outcome
from loadprobe.drivers.clients.library.base import End

_PARTS: tuple[tuple[str, ErrorClass], ...] = (
    ("NOAUTH|WRONGPASS|NOPERM|AuthenticationFailed", ErrorClass.AUTH),
    ("Connection refused", ErrorClass.CONNECT_REFUSED),
    ("lookup address|Name or service", ErrorClass.DNS),
    ("certificate|[Tt]ls|TLS|handshake|peer is incompatible", ErrorClass.TLS),
    ("[Tt]imed out|[Tt]imeout|deadline", ErrorClass.UNREACHABLE),
    ("unreachable", ErrorClass.UNREACHABLE),
    ("reset by peer|Broken pipe|unexpected end|eof|closed", ErrorClass.RESET),
    ("No connection|no connection|connection not found", ErrorClass.UNREACHABLE),
)
"""Why a connection could not be made; the first that fits counts."""

_KINDS = {
    "clusterdown": ErrorClass.CLUSTERDOWN,
    "moved": ErrorClass.MOVED,
    "ask": ErrorClass.ASK,
    "tryagain": ErrorClass.TRYAGAIN,
    "readonly": ErrorClass.READONLY,
    "loading": ErrorClass.LOADING,
    "busyloading": ErrorClass.LOADING,
    "busyloadingerror": ErrorClass.LOADING,
    "masterdown": ErrorClass.MASTERDOWN,
    "noauth": ErrorClass.AUTH,
    "wrongpass": ErrorClass.AUTH,
    "noperm": ErrorClass.AUTH,
    "oom": ErrorClass.OOM,
    "misconf": ErrorClass.MISCONF,
}
"""First word of a reply, as the core writes it in its own errors -> class."""

_SIGNALLED = re.compile(r"An error was signalled by the server: - (\w+)")


def classify(exc: Exception) -> End:
    """Return (outcome, class) of an exception that valkey-glide raised.

    Raises:
        Exception: the exception itself when no row of the table fits.
    """
    match exc:
        case glide.TimeoutError():
            return Outcome.UNKNOWN, ErrorClass.TIMEOUT
        case glide.ConnectionError():
            return Outcome.UNKNOWN, ErrorClass.RESET
        case glide.CircuitBreakerError():
            return Outcome.UNSENT, ErrorClass.INFLIGHT
        case glide.ConfigurationError() | glide.ExecAbortError():
            raise exc
        case glide.ClosingError():
            return Outcome.UNSENT, _find(exc, str(exc))
        case glide.RequestError():
            return _classify_text(str(exc))
        case _:
            raise exc


def _classify_text(text: str) -> End:
    """Return the end by the words of the core, of which there is no list."""
    if "inflight requests" in text:
        return Outcome.UNSENT, ErrorClass.INFLIGHT
    if "in recovery" in text:
        return Outcome.UNSENT, ErrorClass.UNREACHABLE
    found = _SIGNALLED.search(text)
    if found is None:
        return Outcome.UNKNOWN, ErrorClass.OTHER
    return Outcome.REFUSED, _KINDS.get(found[1].lower(), ErrorClass.OTHER)


def _find(exc: Exception, text: str) -> ErrorClass:
    for pattern, error in _PARTS:
        if re.search(pattern, text):
            return error
    raise exc
