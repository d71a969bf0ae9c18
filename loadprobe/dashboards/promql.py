"""PromQL from the catalogue: a name or label that is not in it cannot be asked for.

Pure. Counters are read by differences, not with ``increase``, which extrapolates to the
ends of its window: what is shown is what was counted.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from loadprobe.core.judging.outcome import OpKind
from loadprobe.outputs.metrics.catalogue import BY_NAME, MILLISECONDS
from loadprobe.outputs.metrics.metric import CLUSTER_LABEL, Metric, MetricKind

DARK = "dark_time_seconds_total"
PLANNED = "planned_dark_seconds_total"
_METRICS: Mapping[str, Metric] = BY_NAME | {m.name: m for m in MILLISECONDS}
_OP = "op"
_HELD = "1m"
"""So long may scrapes fail without a loss to a graph."""
APART = "|".join(op.label for op in OpKind if op.is_apart)
"""Op kinds that count in no figure of the load, as a regular expression."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where series are taken from.

    Args:
        matchers: label -> what it has to match, operator included; for every metric
            that has the label. Labels of the scrape (job, instance) are always there.
    """

    matchers: Mapping[str, str] = field(default_factory=dict)

    def __call__(
        self, name: str, window: str = "", *, part: str = "", **more: str
    ) -> str:
        """Return a selector.

        Arrivals that count in no figure of the load are left out, unless ``op`` is
        given.

        Args:
            name: of a metric, without prefix.
            window: turns it into a range, for example ``5m``.
            part: ``bucket``, ``count`` or ``sum`` of a histogram.
            more: further matchers, for example ``outcome='!="served"'``; a word of the
                language gets an underscore at its end (``class_``).

        Raises:
            ValueError: the catalogue has no such metric, or the metric no such label
                or part.
        """
        metric = _METRICS.get(name)
        if metric is None:
            raise ValueError(f"not in the metric catalogue: {name!r}")
        if bool(part) != (metric.kind is MetricKind.HISTOGRAM):
            raise ValueError(f"{name} is a {metric.kind}, asked for part {part!r}")
        labels = (CLUSTER_LABEL, *metric.labels)
        given = {label.removesuffix("_"): text for label, text in more.items()}
        unknown = given.keys() - set(labels)
        if unknown:
            raise ValueError(f"{name} has labels {labels}, not {sorted(unknown)}")
        found = {
            label: text
            for label, text in self.matchers.items()
            if label in labels or label == "job"
        }
        if _OP in labels:
            found[_OP] = f'!~"{APART}"'
        found |= given
        pairs = ",".join(label + text for label, text in found.items() if text)
        return (
            metric.full_name
            + (f"_{part}" if part else "")
            + (f"{{{pairs}}}" if pairs else "")
            + (f"[{window}]" if window else "")
        )

    def last(self, name: str, window: str, **more: str) -> str:
        """Return the last values in a window, also of a run that has ended since."""
        return f"last_over_time({self(name, window, **more)})"

    def growth(self, name: str, window: str, **more: str) -> str:
        """Return how much a counter grew, exactly; after a restart, an estimate.

        For counters that begin at zero when their series does.
        """
        ranged = self(name, window, **more)
        return (
            f"(((max_over_time({ranged}) - min_over_time({ranged}))"
            f" and resets({ranged}) == 0) or increase({ranged}))"
        )

    def since(self, name: str, window: str, **more: str) -> str:
        """Return how much a counter grew of which a series begins with its first count.

        What was not there when the window began counts from zero.
        """
        ranged = self(name, window, **more)
        before = f"{self(name, **more)} offset {window}"
        last = f"last_over_time({ranged})"
        return f"({last} - (({before} <= {last}) or 0 * {last}))"

    def step(
        self, name: str, step: str = "$__interval", *, part: str = "", **more: str
    ) -> str:
        """Return how much a counter grew in a step of a graph.

        Steps do not overlap, so those of a graph add up to the whole. A scrape that
        failed leaves a gap; what was counted in it is in the step after.
        """
        before = self._held(name, f" offset {step}", part=part, **more)
        return f"clamp_min({self(name, part=part, **more)} - {before}, 0)"

    def burst(self, name: str, step: str = "$__interval", **more: str) -> str:
        """Return the same of a counter of which a series begins with its first count.

        It counts from zero if the probe was scraped before, so that the end of a long
        gap is not taken for a burst.
        """
        new = (
            f"{self(name, **more)} unless {self._held(name, f' offset {step}', **more)}"
        )
        probe = self._held("build_info", f" offset {step}")
        return (
            f"({self.step(name, step, **more)}"
            f" or ({new}) and on (job, instance, {CLUSTER_LABEL}) {probe})"
        )

    def ahead(self, name: str, **more: str) -> str:
        """Return the growth in the step that begins at each point.

        State timelines draw a value from its point on.
        """
        after = self._held(name, " offset -$__interval", **more)
        return f"clamp_min({after} - {self._held(name, '', **more)}, 0)"

    def _held(self, name: str, offset: str, *, part: str = "", **more: str) -> str:
        """Return the last value, also if the last scrapes have failed."""
        ranged = self(name, _HELD, part=part, **more)
        return f"last_over_time({ranged}{offset})"

    def rate(self, name: str, *, part: str = "", **more: str) -> str:
        """Return the growth of a counter in a second, for a graph."""
        return f"rate({self(name, '$__rate_interval', part=part, **more)})"

    def quantile(self, q: float, name: str, *labels: str, **more: str) -> str:
        """Return a quantile of a histogram by some of its labels, for a graph."""
        buckets = by("sum", self.rate(name, part="bucket", **more), *labels, "le")
        return f"histogram_quantile({q}, {buckets})"


def by(operator: str, expr: str, *labels: str) -> str:
    """Return an aggregation that keeps some labels; without any, over everything."""
    return (
        f"{operator} by ({', '.join(labels)}) ({expr})"
        if labels
        else (f"{operator}({expr})")
    )


def chosen(*labels: str) -> Source:
    """Return the series that the variables of a dashboard choose, by their labels."""
    return Source({label: f'=~"${label}"' for label in labels})


def unplanned(read: Callable[[str], str]) -> str:
    """Return the dark time that was not by plan.

    Args:
        read: returns how much a counter grew, exactly: ``rate`` and ``increase`` add
            more to a counter that has counted before than to one that begins at zero.
    """
    return f"clamp_min({read(DARK)} - {read(PLANNED)}, 0)"


def share(part: str, whole: str) -> str:
    """Return a share, at most 1; nothing where the whole is nothing.

    After a restart that no scrape saw, less may be known of the whole than of its part.
    """
    return f"clamp_max({part} / ({whole} > 0), 1)"


def open_unplanned(read: Callable[[str], str]) -> str:
    """Return the length of each open outage without what is by plan; 0 without one."""
    current, planned = "outage_current_seconds", "outage_current_planned_seconds"
    return f"({read(current)} - {read(planned)})"
