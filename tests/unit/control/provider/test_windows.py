"""When a maintenance window begins next."""

from datetime import UTC, datetime

import pytest

from loadprobe.clock import NS_PER_S
from loadprobe.control.provider.windows import next_start_unix_ns

SUNDAY = datetime(2026, 11, 29, 16, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("window", "start"),
    [
        ("sun:23:00-mon:01:30", datetime(2026, 11, 29, 23, 0, tzinfo=UTC)),
        ("sun:16:00-sun:17:00", SUNDAY),
        ("sun:15:59-sun:17:00", datetime(2026, 12, 6, 15, 59, tzinfo=UTC)),
        ("Mon:00:00-mon:01:00", datetime(2026, 11, 30, tzinfo=UTC)),
        ("sat:05:30-sat:06:30", datetime(2026, 12, 5, 5, 30, tzinfo=UTC)),
    ],
)
def test_the_next_start(window: str, start: datetime) -> None:
    """Once a week, in UTC; one that begins now is the next."""
    now_ns = int(SUNDAY.timestamp()) * NS_PER_S
    assert next_start_unix_ns(window, now_ns) == int(start.timestamp()) * NS_PER_S


@pytest.mark.parametrize("window", ["", "none", "foo:01:00-foo:02:00", "sun:25:00-x"])
def test_what_cannot_be_read_has_none(window: str) -> None:
    """No guess is made."""
    assert next_start_unix_ns(window, 0) is None
