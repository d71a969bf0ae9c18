"""What a capacity is asked of."""

import pytest

from loadprobe.bench.capacity import check_capacity
from loadprobe.config.file import parse_config
from loadprobe.errors import UsageError

TEXT = """
[target]
host = "h"

[slo]
{slo}

[[lanes]]
name = "tcp"
{lane}
"""


def check(slo: str, lane: str = "") -> None:
    """Check a configuration with such keys."""
    check_capacity(parse_config(TEXT.format(slo=slo, lane=lane), where="x"))


@pytest.mark.parametrize(
    "slo", ["p99_ms = 5", "availability = 0.999", "max_outage_ms = 0"]
)
def test_any_threshold_will_do(slo: str) -> None:
    """With one of them a rate is carried or not."""
    check(slo)
    check(slo, 'schedule = "poisson"')


@pytest.mark.parametrize(
    ("slo", "lane", "said"),
    [
        ("", "", "has no threshold; add for example p99_ms"),
        ("p99_ms = 5", 'loop = "closed"', "lane tcp has loop 'closed'"),
        (
            "p99_ms = 5",
            'schedule = "ramp"\nramp_s = 5\nramp_from_per_s = 1',
            "schedule 'ramp'",
        ),
        ("p99_ms = 5", "incident_rate_per_s = 5000", "has an incident_rate_per_s"),
    ],
)
def test_what_has_no_capacity(slo: str, lane: str, said: str) -> None:
    """Without a threshold, or with a rate that changes, there is nothing to find."""
    with pytest.raises(UsageError, match=said):
        check(slo, lane)
