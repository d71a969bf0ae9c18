"""Runs whose process is gone, and those that go on with them, in virtual time."""

from pathlib import Path

from loadprobe.core.intervals import Interval
from loadprobe.outputs.folder.locking import LOCK
from tests.support.recorded import MS, Recorded

DARK = (1500 * MS, 2600 * MS)
"""When the server is dark."""


def killed(directory: Path, until_ms: int = 2000, **more: object) -> Recorded:
    """Return a run whose process is gone after a time."""
    run = Recorded(directory, **{"dark": DARK, **more})  # type: ignore[arg-type]
    run.measure(until_ms * MS)
    run.folder.close()
    (run.folder.path / LOCK).write_text("1\n")
    return run


def again(
    directory: Path, until_ms: int = 4000, dark: Interval = DARK, lane: str = "tcp"
) -> Recorded:
    """Return a process that has gone on with it, half a second later."""
    run = Recorded(directory, dark=dark, resume=True, lane=lane)
    run.measure(until_ms * MS)
    return run


def counted(run: Recorded) -> dict[tuple[str, object], float]:
    """Return the counters that the run shows."""
    return {
        (metric, labels): value
        for metric, series in run.published.metrics.snapshot().values.items()
        if metric.endswith("_total")
        for labels, value in series.items()
    }


def outages_counted(run: Recorded) -> tuple[float, float]:
    """Return how many outages the counters have, and how long these were, in s."""
    shown = counted(run)
    number, length_s = (
        sum(value for (name, _), value in shown.items() if name == metric)
        for metric in ("outages_total", "outage_seconds_total")
    )
    return number, round(length_s, 1)
