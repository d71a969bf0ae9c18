"""What a receiver answers about when to try again. Pure."""

from datetime import UTC
from email.utils import parsedate_to_datetime

from loadprobe.clock import NS_PER_S


def retry_after_s(text: str, now_ns: int) -> float | None:
    """Return the pause that a Retry-After header asks for (RFC 9110, 10.2.3).

    Args:
        text: seconds or a date; "" if there is none.
        now_ns: UNIX time.

    Returns:
        None if there is none that can be understood.
    """
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        until = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return max(until.timestamp() - now_ns / NS_PER_S, 0.0)
