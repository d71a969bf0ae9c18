"""Writes that no process knows of any more: how many are lost is not known then."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from loadprobe.config.keys import Config, Lane, Target
from loadprobe.core.judging.before import Before
from loadprobe.probe.fleet import Death
from loadprobe.probe.messages import ReadBack
from loadprobe.run import load as module
from loadprobe.run.going_on import Past
from loadprobe.run.hearing import Listeners
from loadprobe.run.load import Measurement
from loadprobe.run.standby import Standby


class QuietProbe:
    """A probe process that takes what it is told and says nothing."""

    def __init__(self, process: int, *_: object, **__: object) -> None:
        self.process = process

    def start(self, _message: object) -> None:
        """Begin."""


@pytest.fixture(autouse=True)
def _no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start nothing."""
    monkeypatch.setattr(module, "FleetProbe", QuietProbe)


def measuring(*, read_only: bool = False) -> Measurement:
    """Return a measurement with one lane."""
    lane = Lane(name="tcp", read_only=read_only)
    config = Config(target=Target(host="127.0.0.1"), lanes=(lane,))
    return Measurement(config, listeners=Listeners(emit=lambda _: None))


def read_back(measurement: Measurement) -> int | None:
    """Return how many writes are lost if all that is left could be read."""
    measurement.hearing.take(ReadBack(0, "tcp", 10, 0, 0, {}, b"", 0))
    return measurement.lost_writes


def past(written: object) -> Past:
    """Return a run to go on with, of which only this is known."""
    replay = SimpleNamespace(nodes={}, written=written)
    before = Before(
        until_ns=1,
        lane_totals={},
        scope_totals={},
        outages=[],
        dropped_outages=0,
        going_on={},
        served_ns={},
    )
    found: Any = SimpleNamespace(before=before, replay=replay, remembered={})
    return cast(Past, found)


@pytest.mark.parametrize(
    ("read_only", "has_begun", "lost"),
    [(False, True, None), (True, True, 0), (False, False, 0)],
    ids=["writes", "reads", "not yet"],
)
def test_what_a_dead_process_wrote_is_not_known(
    read_only: bool, has_begun: bool, lost: int | None
) -> None:
    """The next one reads back its own writes alone: that is not all of them."""
    measurement = measuring(read_only=read_only)
    death = Death(0, 1, "signal 9")
    if not has_begun:
        measurement._take_death(death)
    measurement.begin()
    if has_begun:
        measurement._take_death(death)
    assert read_back(measurement) == lost


@pytest.mark.parametrize("is_standby", [True, False])
@pytest.mark.parametrize(
    ("written", "is_all"),
    [
        (SimpleNamespace(lost=2, is_complete=True), True),
        (SimpleNamespace(lost=2, is_complete=False), False),
        (None, False),
    ],
    ids=["all", "some", "none"],
)
def test_what_a_segment_did_not_read_back_is_not_known(
    is_standby: bool, written: object, is_all: bool
) -> None:
    """Probes that were ready before it ended do not look for it; others do."""
    measurement = measuring()
    if is_standby:
        measurement.standby = Standby([])
    measurement.go_on(past(written))
    measurement.begin()
    known = 0 if written is None else 2
    assert read_back(measurement) == (None if is_standby and not is_all else known)
