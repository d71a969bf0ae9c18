"""The metric catalogue: the one table from which metrics and their page are made.

Pure. A metric that is not in ``CATALOGUE`` cannot be exported, and every label is of
a bounded kind: never a key, a worker, an address of a client or the text of an error.
Times are seconds and counters of time move in steps of one millisecond, so that the
difference of two scrapes is exact.
"""

from dataclasses import dataclass
from enum import StrEnum

PREFIX = "loadprobe_"
CLUSTER_LABEL = "cluster"


class MetricKind(StrEnum):
    """The Prometheus type of a metric."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """One entry of the catalogue.

    Args:
        name: name without prefix; counters end in ``_total``.
        kind: its type.
        unit: "s", "unix s" or "1" (a count or a flag).
        labels: label names after ``cluster``, in order.
        help: one sentence.
        bounds_ns: inclusive upper bounds of a histogram's buckets, in ns, ascending;
            the bucket ``+Inf`` is implied.
    """

    name: str
    kind: MetricKind
    unit: str
    labels: tuple[str, ...]
    help: str
    bounds_ns: tuple[int, ...] = ()

    @property
    def full_name(self) -> str:
        """Return the name as exported."""
        return PREFIX + self.name


def _decades(steps: tuple[int, ...], first_ns: int, last_ns: int) -> tuple[int, ...]:
    """Return steps x 10^n between two bounds (both included).

    ``steps`` are hundredths of one decade, so that all bounds stay integers.
    """
    bounds = (step * 10**n for n in range(10) for step in steps)
    return tuple(bound for bound in bounds if first_ns <= bound <= last_ns)


RESPONSE_BOUNDS_NS = _decades(
    (100, 125, 160, 200, 250, 315, 400, 500, 630, 800), 50_000, 40_000_000_000
)
"""60 bounds from 50 us to 40 s: a quantile read from them is off by at most 10 %."""

HEALTH_BOUNDS_NS = _decades((100, 200, 500), 100_000, 1_000_000_000)
"""13 bounds from 0.1 ms to 1 s."""

_SCOPE = ("lane", "shard", "op")


def _counter(name: str, unit: str, labels: tuple[str, ...], text: str) -> Metric:
    return Metric(name, MetricKind.COUNTER, unit, labels, text)


def _gauge(name: str, unit: str, labels: tuple[str, ...], text: str) -> Metric:
    return Metric(name, MetricKind.GAUGE, unit, labels, text)


def _histogram(
    name: str, labels: tuple[str, ...], text: str, bounds_ns: tuple[int, ...]
) -> Metric:
    return Metric(name, MetricKind.HISTOGRAM, "s", labels, text, bounds_ns)


CATALOGUE: tuple[Metric, ...] = (
    _counter(
        "operations_total",
        "1",
        (*_SCOPE, "outcome"),
        "Judged arrivals by outcome.",
    ),
    _counter(
        "operation_errors_total",
        "1",
        ("lane", "shard", "class"),
        "Arrivals that were not served, by error class.",
    ),
    _histogram(
        "response_seconds",
        ("lane", "op"),
        "Response time: reply parsed minus due time (what a user would feel).",
        RESPONSE_BOUNDS_NS,
    ),
    _histogram(
        "service_seconds",
        ("lane", "op"),
        "Service time: reply parsed minus time of sending.",
        RESPONSE_BOUNDS_NS,
    ),
    _counter(
        "observed_time_seconds_total",
        "s",
        _SCOPE,
        "Milliseconds with at least one judged arrival, in seconds.",
    ),
    _counter(
        "dark_time_seconds_total",
        "s",
        _SCOPE,
        "Observed milliseconds in which every arrival failed, in seconds.",
    ),
    _counter(
        "grey_time_seconds_total",
        "s",
        _SCOPE,
        "Observed milliseconds in which some arrivals failed, in seconds.",
    ),
    _counter(
        "blind_time_seconds_total",
        "s",
        _SCOPE,
        "Milliseconds in which the probe itself was stalled; never downtime.",
    ),
    _counter(
        "outages_total",
        "1",
        (*_SCOPE, "attribution"),
        "Outages that have ended.",
    ),
    _counter(
        "outage_seconds_total",
        "s",
        (*_SCOPE, "attribution"),
        "Estimated length of the outages that have ended.",
    ),
    _gauge(
        "outage_active",
        "1",
        _SCOPE,
        "1 while an outage of the scope is open, else 0.",
    ),
    _gauge(
        "outage_current_seconds",
        "s",
        _SCOPE,
        "Length so far of the open outage, 0 if there is none.",
    ),
    _gauge(
        "outage_last_start_timestamp_seconds",
        "unix s",
        _SCOPE,
        "Estimated start of the latest outage of the scope.",
    ),
    _gauge(
        "outage_last_end_timestamp_seconds",
        "unix s",
        _SCOPE,
        "Estimated end of the latest outage of the scope that has ended.",
    ),
    _counter(
        "redirects_total",
        "1",
        ("lane", "kind"),
        "MOVED and ASK redirects that were followed.",
    ),
    _counter(
        "topology_refreshes_total",
        "1",
        ("lane",),
        "Slot map refreshes of the drivers.",
    ),
    _gauge(
        "connections",
        "1",
        ("lane", "shard"),
        "Usable connections.",
    ),
    _counter(
        "reconnects_total",
        "1",
        ("lane", "result"),
        "Connection attempts by result: ok, or the error class.",
    ),
    _histogram(
        "connect_seconds",
        ("lane",),
        "Time to open a usable connection (TCP, TLS and login).",
        RESPONSE_BOUNDS_NS,
    ),
    _histogram(
        "loop_lag_seconds",
        ("process",),
        "How late the event loop of a probe process woke up.",
        HEALTH_BOUNDS_NS,
    ),
    _histogram(
        "schedule_lateness_seconds",
        ("lane",),
        "Time of sending minus due time.",
        HEALTH_BOUNDS_NS,
    ),
    _histogram(
        "gc_pause_seconds",
        ("process",),
        "Length of the garbage collections of a probe process.",
        HEALTH_BOUNDS_NS,
    ),
    _counter(
        "acknowledged_writes_total",
        "1",
        ("lane", "shard"),
        "Writes the server acknowledged.",
    ),
    _counter(
        "stale_reads_total",
        "1",
        ("lane", "shard"),
        "Reads that returned an older version than one acknowledged before.",
    ),
    _counter(
        "wrong_values_total",
        "1",
        ("lane", "shard"),
        "Replies that do not match what was written.",
    ),
    _gauge(
        "controller_phase",
        "1",
        ("operation", "phase"),
        "1 for the latest phase of an operation, 0 for the phases before it.",
    ),
    _gauge(
        "controller_phase_start_timestamp_seconds",
        "unix s",
        ("operation", "phase"),
        "When a phase of an operation began.",
    ),
    _gauge(
        "provider_event_timestamp_seconds",
        "unix s",
        ("kind",),
        "The provider's own timestamp of its latest event of a kind.",
    ),
    _gauge("cluster_shards", "1", (), "Shards of the target."),
    _gauge("cluster_nodes", "1", (), "Nodes of the target, replicas included."),
    _gauge(
        "node_role",
        "1",
        ("role", "shard", "node"),
        "1 for the present role of a node.",
    ),
    _gauge("build_info", "1", ("version",), "1; the version of loadprobe."),
    _gauge(
        "run_info",
        "1",
        ("run", "scenario", "shards", "engine"),
        "1; what is being run.",
    ),
)

BY_NAME = {metric.name: metric for metric in CATALOGUE}


def metrics_page() -> str:
    """Return the reference page of all metrics (``docs/metrics.md``)."""
    rows = "\n".join(_row(metric) for metric in CATALOGUE)
    return _PAGE.format(
        rows=rows,
        response=_bounds_text(RESPONSE_BOUNDS_NS),
        health=_bounds_text(HEALTH_BOUNDS_NS),
    )


def _row(metric: Metric) -> str:
    labels = ", ".join((CLUSTER_LABEL, *metric.labels))
    text = metric.help
    if metric.bounds_ns:
        table = "response" if metric.bounds_ns == RESPONSE_BOUNDS_NS else "health"
        text = f"{text} Buckets: {table}."
    name = f"`{metric.full_name}`"
    return f"| {name} | {metric.kind} | {metric.unit} | {labels} | {text} |"


def _bounds_text(bounds_ns: tuple[int, ...]) -> str:
    return ", ".join(f"{bound / 1e9:g}" for bound in bounds_ns)


_PAGE = """\
# Metrics

`/metrics` serves these metrics as Prometheus text, or as OpenMetrics 1.0 where the
scraper asks for it. The table is made from `loadprobe/outputs/catalogue.py`, as are
the metrics themselves. What the words mean is said in [measuring](measuring.md).

| metric | type | unit | labels | meaning |
|---|---|---|---|---|
{rows}

Histogram bounds, in seconds and inclusive; `+Inf` is the last bucket:

* response: {response}
* health: {health}

## Reading them

* A gauge of 0 or 1 that is scraped once a second misses a short outage. Downtime is
  therefore a counter in seconds that moves in steps of 1 ms. Take the difference of
  two readings, `max_over_time(x[w]) - min_over_time(x[w])`: `increase()`
  extrapolates to the ends of its window and overstates.
* Availability of a scope in a window is one minus the growth of
  `loadprobe_dark_time_seconds_total` over the growth of
  `loadprobe_observed_time_seconds_total`.
* Counters describe sealed milliseconds only, so they run behind the clock by the
  deadline and the settling time; what is counted once is never changed.
* Labels are bounded: lanes, shards, nodes, classes. No key, worker or error text.
* There are no `_created` series.
"""
