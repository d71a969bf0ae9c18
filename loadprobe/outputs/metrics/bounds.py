"""Upper bounds of the buckets of histograms: how exact a quantile read from them is."""


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

SHARD_BOUNDS_NS = _decades((100, 200, 500), 50_000, 50_000_000_000)
"""19 bounds from 50 us to 50 s."""

OUTAGE_BOUNDS_NS = (
    *_decades((100, 200, 500), 1_000_000, 100_000_000),
    *(ms * 1_000_000 for ms in (250, 500, 1_000, 2_000, 3_000, 5_000, 10_000)),
    *(s * 1_000_000_000 for s in (20, 30, 60, 120, 180, 300)),
)
"""20 bounds from 1 ms to 300 s."""

ERROR_BOUNDS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
"""Failed arrivals of a millisecond. One without any is not counted."""

HEALTH_BOUNDS_NS = _decades((100, 200, 500), 100_000, 1_000_000_000)
"""13 bounds from 0.1 ms to 1 s."""
