"""Property tests with hostile input: short in ``make test``, long in ``make fuzz``."""

import os

from hypothesis import HealthCheck, settings

FACTOR = int(os.environ.get("LOADPROBE_FUZZ_FACTOR", "1"))


def examples(count: int) -> settings:
    """Return settings for so many examples, times LOADPROBE_FUZZ_FACTOR."""
    return settings(
        max_examples=count * FACTOR,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
