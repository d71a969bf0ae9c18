"""How a run can end: what is said, and with which exit code."""

import asyncio
import logging
import ssl
from collections.abc import Callable, Coroutine, Iterator
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

_OF_THE_NETWORK = (ConnectionError, TimeoutError, ssl.SSLError)

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


def loop_errors(
    tell: Callable[[str, Exception], object],
) -> Callable[[asyncio.AbstractEventLoop, dict[str, Any]], None]:
    """Return what takes errors that the event loop reports: nobody else has them.

    A lost TLS connection is told elsewhere, and what a transport met on the network is
    told to who holds it; that is logged, no more.

    Args:
        tell: takes any other, with what met it.
    """

    def take(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if not is_defect(context):
            return
        error = context.get("exception")
        is_network = isinstance(error, _OF_THE_NETWORK) or (
            "transport" in context and isinstance(error, OSError)
        )
        if isinstance(error, Exception) and not is_network:
            tell("the event loop", error)
        else:
            loop.default_exception_handler(context)

    return take


def all_errors(group: BaseExceptionGroup[_ErrorT]) -> Iterator[_ErrorT]:
    """Yield the errors of a group, however deep they lie."""
    for each in group.exceptions:
        if isinstance(each, BaseExceptionGroup):
            yield from all_errors(each)
        else:
            yield each


def first_error(group: BaseExceptionGroup[_ErrorT]) -> _ErrorT:
    """Return the first error of a group."""
    return next(all_errors(group))
