"""Lengths and quantiles as the documents write them: ns become ms. Pure."""

from collections.abc import Iterable, Sequence

from loadprobe.clock import NS_PER_MS
from loadprobe.core.judging.histogram import Histogram
from loadprobe.core.judging.outages import Outage
from loadprobe.core.verdict.incidents import DarkTime, Downtime, downtime
from loadprobe.core.verdict.quantities import Bounds, DowntimeMs, Quantiles


def ms(ns: float) -> float:
    """Return nanoseconds in milliseconds."""
    return round(ns / NS_PER_MS, 6)


def bounds(time: DarkTime) -> Bounds:
    """Return a length with its error bars."""
    return Bounds(
        ms(time.estimate_ns), ms(time.lower_ns), ms(time.upper_ns), ms(time.unseen_ns)
    )


def downtime_ms(
    outages: Iterable[Outage], shards: Sequence[str], *, of_shards: bool = False
) -> DowntimeMs:
    """Return the downtime over the given shards; see ``incidents.downtime``."""
    return as_downtime_ms(downtime(outages, shards, of_shards=of_shards))


def as_downtime_ms(value: Downtime) -> DowntimeMs:
    """Return a downtime in ms."""
    return DowntimeMs(
        bounds(value.any_shard),
        bounds(value.all_shards),
        {shard: bounds(time) for shard, time in value.shards.items()},
    )


def quantiles_ms(histogram: Histogram) -> Quantiles:
    """Return the usual quantiles of a histogram of ns, in ms."""

    def at(q: float) -> float | None:
        value = histogram.quantile(q)
        return None if value is None else ms(value)

    longest = histogram.max_ns if histogram.count else None
    return Quantiles(
        p50=at(0.5),
        p90=at(0.9),
        p99=at(0.99),
        p99_9=at(0.999),
        max=None if longest is None else ms(longest),
        count=histogram.count,
    )
