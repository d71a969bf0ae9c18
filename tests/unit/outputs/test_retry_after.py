"""When a receiver asks to be tried again."""

from datetime import UTC, datetime

import pytest

from loadprobe.clock import NS_PER_S
from loadprobe.outputs.retry_after import retry_after_s

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ("7", 7.0),
        ("soon", None),
        ("-1", None),
        ("²", None),
        ("9" * 400, 999_999_999.0),
        ("Fri, 02 Jan 2026 03:04:35 GMT", 30.0),
        ("Fri, 02 Jan 2026 03:00:00 GMT", 0.0),
        ("Fri, 02 Jan 2026 03:04:35 -0000", 30.0),
        ("Fri, 99 Jan 2026 03:04:35 GMT", None),
        (f"Fri, 02 Jan {'9' * 20} 03:04:35 GMT", None),
        (f"Fri, 02 Jan 2026 03:04:35 +{'9' * 20}", None),
    ],
)
def test_retry_after(text: str, expected: float | None) -> None:
    """Seconds or a date; what cannot be understood asks for nothing."""
    assert retry_after_s(text, int(NOW.timestamp()) * NS_PER_S) == expected
