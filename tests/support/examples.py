"""How many examples a property is tried with: few in ``make test``, many at night.

``make fuzz`` multiplies every count by LOADPROBE_FUZZ_FACTOR.
"""

import os

from hypothesis import HealthCheck, settings

FACTOR = int(os.environ.get("LOADPROBE_FUZZ_FACTOR", "1"))
_LARGE = (HealthCheck.too_slow, HealthCheck.data_too_large)


def examples(count: int, *, unchecked: tuple[HealthCheck, ...] = _LARGE) -> settings:
    """Return settings for so many examples, times LOADPROBE_FUZZ_FACTOR.

    Args:
        count: examples in ``make test``.
        unchecked: what hypothesis is not to mind; without more, that examples are large
            and take long.
    """
    return settings(
        max_examples=count * FACTOR, deadline=None, suppress_health_check=unchecked
    )
