"""The marker of a group that a step creates is there before its call is made."""

from pathlib import Path
from typing import Any

import pytest

from loadprobe.control.created import markers
from loadprobe.control.mutations.phase_log import Phases
from loadprobe.control.scenario.brake import Brake
from loadprobe.control.scenario.keys import CreateStep
from loadprobe.control.scenario.step_runner import StepRunner
from loadprobe.control.scenario.surroundings import Surroundings
from loadprobe.control.scenario.turns import turn_of
from loadprobe.core.steps import StepRecord, StepState
from loadprobe.errors import ControlError
from tests.support.control_provider import (
    Lost,
    Provider,
    Story,
    no_connection,
    refusal,
    run,
    virtual_clock,
)
from tests.support.scenario_stage import (
    CONFIG,
    DirectWays,
    Lanes,
    Load,
    stage_scenario,
    step,
)

CREATE = "CreateReplicationGroup"


class Creation:
    """A step that creates a group at a provider that answers by a script.

    Attributes:
        marked: for each call that arrived, whether the marker was there.
        is_denied: the provider refuses to describe anything after the call.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
        self.provider = Provider(shards=3, replicas=1)
        self.marked: list[bool] = []
        self.is_denied = False
        self._home = home
        self._created = self.provider.group
        self._answer = self.provider._answer
        self.provider.group = None
        self.provider.timeline.append((0, self._appear))
        monkeypatch.setattr(self.provider, "_answer", self._look_first)

    def carry_out(self) -> StepRecord:
        """Carry the step out; return how it went."""
        scenario = stage_scenario(step("create", node_type="cache.t4g.micro"))
        (create,) = scenario.steps
        assert isinstance(create, CreateStep)
        around = Surroundings(
            CONFIG,
            Story(self.provider).api,
            self.provider,
            lanes=Lanes(),
            load=Load(),
            emit=lambda _: None,
            ways=DirectWays(),
        )
        runner = StepRunner(scenario, around, Brake())
        records: list[StepRecord] = []
        run(runner.take(turn_of(create, 1), records.append))
        (record,) = records
        return record

    @property
    def is_marked(self) -> bool:
        """Tell whether there is a marker."""
        return any(self._home.rglob("*.json"))

    def _appear(self) -> None:
        self.provider.group = self._created

    def _look_first(self, operation: str, arguments: Any) -> Any:
        if operation == CREATE:
            self.marked.append(self.is_marked)
        elif self.marked and self.is_denied:
            raise refusal("AccessDenied", status=403)
        return self._answer(operation, arguments)


@pytest.fixture
def creation(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Creation:
    """Return a step of a scenario whose markers go to a folder of the test."""
    virtual_clock(monkeypatch)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return Creation(monkeypatch, tmp_path)


def test_no_marker_hangs_on_what_is_told(
    creation: Creation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is there at the call, and stays, though nobody is told any phase."""
    monkeypatch.setattr(Phases, "enter", lambda *_args, **_more: None)
    assert creation.carry_out().state is StepState.SETTLED
    assert creation.marked == [True]
    assert creation.is_marked


def test_what_cannot_be_marked_is_not_asked_for(
    creation: Creation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A marker that cannot be written fails the step before any call."""

    def refuse(*_args: object, **_more: object) -> None:
        raise ControlError("the note of it cannot be written")

    monkeypatch.setattr(markers, "write", refuse)
    record = creation.carry_out()
    assert record.state is StepState.FAILED
    assert "cannot be written" in record.reason
    assert creation.provider.calls == []
    assert "api_call" not in record.phases_ns


@pytest.mark.parametrize(
    ("faults", "calls"),
    [
        ([refusal("InsufficientCacheClusterCapacity")], 1),
        ([no_connection(), refusal("ReplicationGroupAlreadyExists")], 2),
        ([no_connection()] * 10, 7),
    ],
)
def test_what_was_not_applied_leaves_no_marker(
    creation: Creation, faults: list[Exception], calls: int
) -> None:
    """It is there at every attempt, and gone once nothing can have come of them."""
    creation.provider.script[CREATE].extend(faults)
    assert creation.carry_out().state is StepState.FAILED
    assert creation.marked == [True] * calls
    assert not creation.is_marked


def test_a_lost_reply_keeps_the_marker_whatever_reads_meet(creation: Creation) -> None:
    """The call may have been applied, also if the provider then refuses to tell."""
    creation.provider.script[CREATE].append(Lost(is_applied=True))
    creation.is_denied = True
    record = creation.carry_out()
    assert record.state is StepState.FAILED
    assert "AccessDenied" in record.reason
    assert creation.is_marked
