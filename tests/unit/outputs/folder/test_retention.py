"""What is kept, how fine, and what goes first."""

from pathlib import Path

import pytest

from loadprobe.outputs.folder.retention import (
    Remove,
    Retention,
    Shrink,
    StoredItem,
    by_age,
    to_make_room,
)

H = 3600 * 1_000_000_000
NOW = 1_000_000 * H


def held(name: str, age_h: float) -> StoredItem:
    """Return an hour that ended so many hours ago."""
    ended = NOW - round(age_h * H)
    return StoredItem(Path(name), ended - H, ended)


@pytest.mark.parametrize(
    ("age_h", "step_s", "latencies_s"),
    [
        (0, 1, 1),
        (1.9, 1, 1),
        (2, 1, 60),
        (5.9, 1, 60),
        (6, 60, 60),
        (7 * 24 - 1, 60, 60),
        (7 * 24, 3600, 3600),
        (89 * 24, 3600, 3600),
    ],
)
def test_coarser_with_age(age_h: float, step_s: int, latencies_s: int) -> None:
    """Seconds become minutes, minutes hours, latencies before counts."""
    part = held("a", age_h)
    assert list(by_age([part], Retention(), NOW)) == [Shrink(part, step_s, latencies_s)]


def test_too_old() -> None:
    """What is older than retain_days goes."""
    part = held("a", 90 * 24)
    assert list(by_age([part], Retention(), NOW)) == [Remove(part, "retain_days")]


def test_what_goes_first() -> None:
    """All fine data goes before any segment, and the oldest incident after the last."""
    parts = [held("a", 3), held("b", 2)]
    incidents = [held("i", 9), held("j", 1)]
    assert list(to_make_room(parts, incidents, "retain_gb")) == [
        Shrink(parts[0], 3600, 3600),
        Shrink(parts[1], 3600, 3600),
        Remove(parts[0], "retain_gb"),
        Remove(parts[1], "retain_gb"),
        Remove(incidents[0], "retain_gb"),
        Remove(incidents[1], "retain_gb"),
    ]
