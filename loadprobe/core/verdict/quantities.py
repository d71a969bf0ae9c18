"""Lengths with error bars and quantiles, in ms, as documents hold them. Pure."""

import msgspec


class Bounds(msgspec.Struct, frozen=True):
    """A time with error bars, in ms: lower <= estimate <= upper.

    ``unseen`` is how much of the upper bound the probe did not see.
    """

    estimate: float
    lower: float
    upper: float
    unseen: float = 0.0


class DowntimeMs(msgspec.Struct, frozen=True):
    """Dark time: any shard (union), all shards at once (intersection), each shard."""

    any_shard: Bounds
    all_shards: Bounds
    shards: dict[str, Bounds]


NO_TIME = Bounds(0.0, 0.0, 0.0)
NO_DOWNTIME = DowntimeMs(NO_TIME, NO_TIME, {})


class Quantiles(msgspec.Struct, frozen=True):
    """Quantiles of a latency in ms; null if nothing was recorded."""

    p50: float | None
    p90: float | None
    p99: float | None
    p99_9: float | None
    max: float | None
    count: int
