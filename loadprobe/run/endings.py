"""How a run can end: what is said, and with which exit code."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from rich.console import Console

from loadprobe.control.scenario.file import Scenario
from loadprobe.core.verdict.headline import ended_badly, find_missed
from loadprobe.core.verdict.summary import Summary
from loadprobe.drivers.errors import is_defect
from loadprobe.errors import RunError

EXIT_SLO = 3
STOPPED_EARLY = "stopped before the load began; nothing was measured"
UNDONE = "the scenario was not begun: nothing was changed"

logger = logging.getLogger(__name__)

_ErrorT = TypeVar("_ErrorT", bound=Exception)


def tell_stopped_early(console: Console, scenario: Scenario | None) -> int:
    """Say that there is nothing to report, nor was done; return the exit code."""
    console.print(STOPPED_EARLY)
    if scenario is None or not scenario.steps:
        return 0
    console.print(UNDONE)
    return RunError.exit_code


def exit_code(summary: Summary) -> int:
    """Return what a run that came to its end says by its exit code."""
    if ended_badly(summary.scenario) is not None:
        return RunError.exit_code
    return EXIT_SLO if find_missed(summary.scenario, summary.slo) else 0


def defect(what: str, error: Exception) -> RunError:
    """Return a problem to report for an error that nothing expects, and log it."""
    logger.error("unexpected_error", exc_info=error, extra={"lp_in": what})
    return RunError(
        f"{what} met an error it has no name for; this is a defect of loadprobe, "
        f"please report it: {type(error).__name__}: {error}"
    )


async def send_last(
    console: Console, **flushes: Callable[[], Coroutine[None, None, None]]
) -> bool:
    """Send what is left to send; tell whether nothing unexpected came up.

    Args:
        console: where that is told. The report is written by now, and stands.
        flushes: what is sent -> what sends it.
    """

    async def send(what: str, flush: Callable[[], Coroutine[None, None, None]]) -> bool:
        try:
            await flush()
        except Exception as exc:  # noqa: BLE001 - see above
            text = str(defect(f"sending the last {what}", exc))
            console.print(f"PROBLEM  {text}", markup=False, highlight=False)
            return False
        return True

    async with asyncio.TaskGroup() as group:
        sending = [group.create_task(send(*each)) for each in flushes.items()]
    return all(task.result() for task in sending)


def on_loop_error(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log what the event loop reports; a lost TLS connection is told elsewhere."""
    if is_defect(context):
        loop.default_exception_handler(context)


def first_error(group: BaseExceptionGroup[_ErrorT]) -> _ErrorT:
    """Return the first error of a group, however deep it lies."""
    first = group.exceptions[0]
    if isinstance(first, BaseExceptionGroup):
        return first_error(first)
    return first
