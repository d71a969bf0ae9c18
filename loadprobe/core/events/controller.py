"""What the controller tells of a scenario: its steps, its programs, its endpoints.

Pure. Phases of a mutation are in ``core.events.phases``.
"""

from typing import Literal

from loadprobe.core.events.fact import Fact
from loadprobe.core.steps import ScenarioState, StepState


class ScenarioBegun(Fact, frozen=True, tag="controller/scenario/begun"):
    """A scenario began.

    Args:
        name: its name.
        state: always the same.
        reason: always empty.
    """

    name: str
    state: Literal["begun"] = "begun"
    reason: str = ""


class ScenarioEnded(Fact, frozen=True, tag="controller/scenario/ended"):
    """A scenario ended.

    Args:
        name: its name.
        state: how it ended.
        reason: why it ended early, else "".
    """

    name: str
    state: ScenarioState
    reason: str


class StepBegun(Fact, frozen=True, tag="controller/step/begun"):
    """A step began.

    Args:
        step: its name.
        operation: what it does.
        state: always the same.
        reason: always empty.
    """

    step: str
    operation: str
    state: Literal["begun"] = "begun"
    reason: str = ""


class StepEnded(Fact, frozen=True, tag="controller/step/ended"):
    """A step ended.

    Args:
        step: its name.
        operation: what it did.
        state: how it ended.
        reason: why it failed or was skipped, else "".
    """

    step: str
    operation: str
    state: StepState
    reason: str


class HoldBegun(Fact, frozen=True, tag="controller/hold"):
    """Nothing is changed for a while.

    Args:
        seconds: for how long.
    """

    seconds: float


class EndpointSeen(Fact, frozen=True, tag="controller/endpoint"):
    """An endpoint that ends or begins is served otherwise than before.

    Args:
        host: its name.
        port: its port.
        tls: its transport.
        state: of new connections, or "cut": the one that was kept open ended.
        reason: how that showed, "" if it serves.
        gap_ms: the change lies within this time before; None if it was not looked at
            before.
    """

    host: str
    port: int
    tls: bool
    state: Literal["accepting", "refused", "cut"]
    reason: str
    gap_ms: float | None


class ExecLine(Fact, frozen=True, tag="controller/exec/line"):
    """A program of a step printed a line.

    Args:
        step: name of the step.
        stream: where it printed it.
        line: without its end, cut to a bounded length; secrets are masked.
    """

    step: str
    stream: Literal["stdout", "stderr"]
    line: str


class ExecEnded(Fact, frozen=True, tag="controller/exec/ended"):
    """A program of a step ended.

    Args:
        step: name of the step.
        exit_code: of the program, negative for a signal.
        lines: how many it printed.
        kept: how many of them are in the journal.
    """

    step: str
    exit_code: int
    lines: int
    kept: int


class TokenMade(Fact, frozen=True, tag="controller/token"):
    """A new token was made, and written to its file.

    Args:
        step: label of the step that needs it.
        text: where it is.
    """

    step: str
    text: str


class LanesBegun(Fact, frozen=True, tag="controller/lanes_begun"):
    """Lanes that wait for TLS were told to begin.

    Args:
        step: name of the step that made TLS be served.
        text: how late.
    """

    step: str
    text: str


class StepProblem(Fact, frozen=True, tag="controller/problem"):
    """A step has settled, but something is not as it should be.

    Args:
        step: name of the step.
        text: what.
    """

    step: str
    text: str


class CopySeen(Fact, frozen=True, tag="controller/copy"):
    """How far a tool is that copies the source.

    Args:
        step: name of the step that began it.
        state: in the words of the tool.
        done_bytes: what it has copied of the full copy; None if it does not tell.
        all_bytes: of how much; None if it does not tell.
        lag_bytes: what of the source's stream it has not passed on; None if it does
            not tell.
    """

    step: str
    state: str
    done_bytes: int | None
    all_bytes: int | None
    lag_bytes: int | None


class LaneWentOver(Fact, frozen=True, tag="controller/went_over"):
    """A lane sends its arrivals to another cluster, and looked up its keys there.

    Args:
        step: name of the step.
        lane: its name.
        checked: keys with an acknowledged write that were read there.
        lost: those whose acknowledged value, or a newer one, was not there.
        overwritten: those that were written there before they were looked at.
        unread: those that could not be read; None: it did not say in time.
    """

    step: str
    lane: str
    checked: int
    lost: int
    overwritten: int
    unread: int | None
