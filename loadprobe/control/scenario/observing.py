"""Carries out the steps that change nothing of the group: hold, wait, exec."""

from collections.abc import Sequence
from typing import assert_never

from loadprobe.clock import NS_PER_S, mono_now_ns
from loadprobe.control.provider.faults import (
    ApiRefused,
    ApiUnanswered,
    ApiUnreachable,
    Patience,
)
from loadprobe.control.provider.secret import Secret
from loadprobe.control.provider.state import AVAILABLE
from loadprobe.control.scenario.brake import Brake
from loadprobe.control.scenario.exec_step import run_command
from loadprobe.control.scenario.keys import ExecStep, HoldStep, WaitStep
from loadprobe.control.scenario.surroundings import Surroundings
from loadprobe.control.scenario.turns import Observation
from loadprobe.core.events import HoldBegun
from loadprobe.errors import ControlError

_PATIENCE_S = 60.0


class Observing:
    """Carries out observations, one at a time.

    Args:
        around: the run.
        brake: ends holds and waits.
    """

    def __init__(self, around: Surroundings, brake: Brake) -> None:
        self._around = around
        self._brake = brake

    async def take(
        self, step: Observation, *, name: str, secrets: Sequence[Secret]
    ) -> None:
        """Carry one out.

        Args:
            step: what to do.
            name: of its turn, for the journal.
            secrets: what must not be told.

        Raises:
            ControlError: the group did not get there, or the program failed.
        """
        emit = self._around.emit
        match step:
            case HoldStep():
                emit(HoldBegun(mono_now_ns(), step.seconds))
                await self._brake.pause(step.seconds)
            case WaitStep():
                await self._wait(step)
            case ExecStep():
                await run_command(
                    step.command,
                    step=name,
                    emit=emit,
                    timeout_s=step.timeout_s,
                    secrets=secrets,
                    withheld=self._around.withheld_from_others,
                )
            case _:
                assert_never(step)

    async def _wait(self, step: WaitStep) -> None:
        deadline_ns = mono_now_ns() + int(step.deadline_s * NS_PER_S)
        patience = Patience(limit_s=_PATIENCE_S)
        while not self._brake.reason:
            try:
                state = await self._around.group_api.describe_state()
            except (ApiRefused, ApiUnanswered, ApiUnreachable) as fault:
                patience.tolerate(fault)
                if mono_now_ns() >= deadline_ns:
                    raise
                await self._brake.pause(self._around.poll_s)
                continue
            patience.reset()
            status = state.group.status
            wanted = AVAILABLE if step.until == "settled" else step.until
            pending = state.pending if step.until == "settled" else {}
            if status == wanted and not pending:
                return
            if mono_now_ns() >= deadline_ns:
                left = f", pending: {', '.join(pending)}" if pending else ""
                raise ControlError(
                    f"step {step.label}: the {state.group.named} is {status!r}"
                    f"{left} after {step.deadline_s:g} s, not {step.until!r}; raise "
                    "deadline_s, or see its events for the reason"
                )
            await self._brake.pause(self._around.poll_s)
