"""Outages of known length while the meter is stopped, paused or starved.

The cases of ``make calibrate`` in a short form: each puts the disturbance across the
start, the middle, the end and all of an outage, and between two.
"""

import pytest

from benchmarks.calibration.case import Order
from benchmarks.calibration.figures import CaseFigures
from benchmarks.calibration.settings import Lengths, Setting
from benchmarks.child import ask_child

pytestmark = [pytest.mark.alone, pytest.mark.timeout(180)]

LENGTHS = Lengths(single_s=0.0, common_s=0.0, moving_s=0.0, disturbed_s=5.0)


@pytest.mark.parametrize(
    "setting",
    [
        Setting(1_000, disturbance="probe stopped"),
        Setting(1_000, processes=2, disturbance="one stopped"),
        Setting(1_000, disturbance="supervisor stopped"),
        Setting(1_000, disturbance="starved"),
        Setting(1_000, disturbance="paused"),
    ],
    ids=lambda setting: setting.disturbance,
)
def test_the_truth_is_inside(setting: Setting) -> None:
    """No bound excludes the truth, and none is wider than what was not seen."""
    case = ask_child(
        "benchmarks.calibration.case",
        Order(setting, LENGTHS, 7),
        CaseFigures,
        timeout_s=120.0,
    )
    assert case.violations == 0, case.problems
    if setting.disturbance == "probe stopped":
        assert case.blind_ms > 0
        assert sum(row.compared for row in case.kinds) > 0
