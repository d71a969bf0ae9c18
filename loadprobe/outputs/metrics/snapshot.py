"""What a scrape reads: the values of one moment, which nobody changes any more.

Nothing is counted here. A source is asked where it is changed, in the event loop, and
what it gave can be written out by any thread.
"""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from loadprobe.core.judging.histogram import Histogram

Labels = tuple[str, ...]
"""Label values, in the order of the catalogue and without the name of the target."""


class MetricsSnapshot(NamedTuple):
    """All series of one moment, by metric (no prefix) and labels.

    Args:
        cluster: name of the target, which every series carries.
        values: counters and gauges.
        histograms: copies.
    """

    cluster: str
    values: Mapping[str, Mapping[Labels, float]]
    histograms: Mapping[str, Mapping[Labels, Histogram]]


class MetricsSource(Protocol):
    """What has metrics to show."""

    def snapshot(self) -> MetricsSnapshot:
        """Return all series of this moment, in a few milliseconds at most."""
        ...
