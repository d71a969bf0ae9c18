"""Where a scenario is, told from the controller's events as they come.

Pure: time is given. The live view shows it on one line.
"""

import re
from collections.abc import Sequence

from loadprobe.clock import NS_PER_S
from loadprobe.core.events import (
    Event,
    HoldBegun,
    PhaseEntered,
    ScenarioBegun,
    ScenarioEnded,
    StepBegun,
    StepEnded,
)
from loadprobe.core.verdict.texts import duration_text

BEGUN = "begun"
_PART = re.compile(r"/[^#]*")


class ScenarioProgress:
    """What a scenario is doing now.

    Args:
        steps: names of its steps in their order; a step that goes over shards has one
            name here, and "/0001" and so on behind it in the events.
    """

    def __init__(self, steps: Sequence[str] = ()) -> None:
        self._steps = list(steps)
        self._name = ""
        self._state = ""
        self._index = -1
        self._step = ""
        self._begun_ns: int | None = None
        self._phase = ""
        self._phase_ns = 0
        self._hold_until_ns = 0

    def take(self, event: Event) -> None:
        """Take an event; those that are not the controller's change nothing."""
        match event:
            case ScenarioBegun() | ScenarioEnded():
                self._name, self._state = event.name, event.state
                self._begun_ns = None
            case HoldBegun():
                self._hold_until_ns = event.mono_ns + int(event.seconds * NS_PER_S)
            case StepBegun():
                self._begin_step(event)
            case StepEnded():
                self._hold_until_ns = 0
                self._begun_ns = None
            case PhaseEntered():
                self._enter(event.details.phase, event.mono_ns)

    def _begin_step(self, event: StepBegun) -> None:
        self._hold_until_ns = 0
        name, operation = event.step, event.operation
        planned = name if name in self._steps else _PART.sub("", name)
        if planned in self._steps:
            self._index = self._steps.index(planned)
        self._step = name if name == operation else f"{name} ({operation})"
        self._begun_ns = event.mono_ns
        self._enter(BEGUN, event.mono_ns)

    def _enter(self, phase: str, at_ns: int) -> None:
        self._phase, self._phase_ns = phase, at_ns

    def line(self, now_ns: int) -> str:
        """Return where the scenario is, "" as long as there is none."""
        if not self._name:
            return ""
        parts = [f"scenario {self._name}"]
        if self._begun_ns is not None:
            if self._index >= 0:
                parts.append(f"step {self._index + 1} of {len(self._steps)}")
            parts.append(self._step)
            parts.append(f"{self._phase} for {_length(self._phase_ns, now_ns)}")
            if self._phase != BEGUN:
                parts.append(f"{_length(self._begun_ns, now_ns)} in all")
        elif self._state != BEGUN:
            parts.append(self._state)
        if now_ns < self._hold_until_ns:
            parts.append(f"hold, {_length(now_ns, self._hold_until_ns)} left")
        if self._state == BEGUN:
            later = self._steps[self._index + 1 :]
            parts.append(f"next: {later[0] if later else 'the end'}")
        return "  ".join(parts)


def _length(start_ns: int, end_ns: int) -> str:
    return duration_text(max(0, end_ns - start_ns))
