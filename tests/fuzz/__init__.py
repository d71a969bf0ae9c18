"""Property tests with hostile input: short in ``make test``, long in ``make fuzz``."""

from hypothesis import HealthCheck, settings

from tests.support import examples as shared


def examples(count: int) -> settings:
    """Return settings for so many examples, with whatever hypothesis would mind."""
    return shared.examples(count, unchecked=tuple(HealthCheck))
