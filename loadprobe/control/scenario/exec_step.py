"""Runs a program as a step of a scenario, to its end.

Its process group is killed at the timeout, on cancellation and when it has ended.
"""

import asyncio
from collections.abc import Collection, Sequence

from loadprobe.control.programs.program import (
    OutputJournal,
    end_program,
    finish_program,
    masked,
    start_program,
)
from loadprobe.control.provider.secret import Secret
from loadprobe.core.events import Emit
from loadprobe.errors import ControlError


async def run_command(
    command: Sequence[str],
    *,
    step: str,
    emit: Emit,
    timeout_s: float,
    secrets: Sequence[Secret] = (),
    withheld: Collection[str] = (),
) -> None:
    """Run a program to its end; its output goes to the journal.

    Emits ``ExecLine`` for each line, and ``ExecEnded``.

    Args:
        command: program and arguments.
        step: name of the step.
        emit: where events go.
        timeout_s: its process group is killed after this time.
        secrets: values that are masked wherever they occur in the output.
        withheld: variables of ours that it does not inherit.

    Raises:
        ControlError: it could not be started, took too long, or ended with another
            exit code than 0.
    """
    shown = masked(" ".join(command), secrets)
    try:
        process = await start_program(command, withheld=withheld)
    except (OSError, ValueError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else str(exc)
        raise ControlError(
            f"step {step}: {shown!r} could not be started: {why}; give a program and "
            "its arguments as a list, without shell syntax"
        ) from exc
    journal = OutputJournal(step, emit, secrets)
    try:
        async with asyncio.timeout(timeout_s):
            code = await finish_program(process, journal.add)
    except TimeoutError:
        raise ControlError(
            f"step {step}: {shown!r} ran longer than {timeout_s:g} s and was killed; "
            "raise timeout_s, or find out what it waits for"
        ) from None
    finally:
        await end_program(process)
    journal.close(code)
    if code != 0:
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        last = f"; its last line: {journal.last}" if journal.last else ""
        raise ControlError(f"step {step}: {shown!r} ended with {how}{last}")
