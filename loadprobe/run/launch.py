"""How a run is started: prepared, carried out, and its group deleted in the end."""

import logging
import os
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial

from rich.console import Console

from loadprobe.config.keys import Config
from loadprobe.control.created import markers
from loadprobe.control.created.cleanup import delete_created
from loadprobe.control.provider.api import ElastiCacheApi
from loadprobe.control.provider.shared import SharedApi
from loadprobe.control.scenario.file import Scenario, with_lanes
from loadprobe.errors import LoadprobeError, RunError, UsageError
from loadprobe.outputs.live.console import make_console
from loadprobe.run.endings import tell_stopped_early
from loadprobe.run.going_on import Past, find_past, past_at
from loadprobe.run.plan import Reread, RunOptions, RunPlan
from loadprobe.run.preparing import prepare
from loadprobe.run.run import Run
from loadprobe.run.service import Service
from loadprobe.run.succession import Succession
from loadprobe.signals import EXIT_INTERRUPTED, Stopping

__all__ = ["RunOptions", "launch", "run_load"]

logger = logging.getLogger(__name__)


async def run_load(
    config: Config,
    options: RunOptions,
    *,
    console: Console | None = None,
    is_last: bool = False,
) -> int:
    """Check everything, run, report; return the exit code.

    Args:
        config: what to measure and how, without the lanes of the scenario.
        options: what the command line adds.
        console: where the live view and the report go.
        is_last: the process ends after this: once told to end it takes no signals.

    Raises:
        UsageError: nothing was started, and why.
        RunError: the run ended early; what was measured is in the run folder.
    """
    if options.scenario is not None:
        config = with_lanes(config, options.scenario)
    async with SharedApi() as shared:
        return await launch(config, options, shared, console=console, is_last=is_last)


async def launch(
    config: Config,
    options: RunOptions,
    shared: SharedApi,
    *,
    console: Console | None = None,
    is_last: bool = False,
) -> int:
    """Do what ``run_load`` does, with lanes and API that are there already.

    A group that the scenario created is deleted after the load and its report, whatever
    ended them, unless the scenario keeps it.

    Args:
        config: what to measure and how, with the lanes of the scenario.
        options: what the command line adds.
        shared: the API of the group; closed when it is over.
        console: where the live view and the report go.
        is_last: as for ``run_load``.

    Raises:
        UsageError, RunError: as for ``run_load``.
    """
    console = console or make_console()
    service = Service.of(os.environ)
    stopping = Stopping(is_reloaded=options.reread is not None)
    with stopping.caught(deaf_after=is_last):
        async with shared, AsyncExitStack() as stack:
            found = await stopping.unless_set(
                prepare(
                    config,
                    options,
                    shared,
                    find=lambda plan: _find(plan, options),
                    stack=stack,
                )
            )
            if found is None:
                code = tell_stopped_early(console, options.scenario)
                return EXIT_INTERRUPTED if stopping.is_urged else code
            plan, api, past = found
            succession = _succession(config, options, shared)

            def make(plan: RunPlan, past: Past | None) -> Run:
                run = plan, api, console, stopping, service
                return Run(*run, past=past, succession=succession)

            try:
                code = await _run_on(make, plan, past, succession)
            except BaseException:
                await _end_created(plan, api, console, stopping)
                raise
            is_ended = await _end_created(plan, api, console, stopping)
            if stopping.is_urged:
                return EXIT_INTERRUPTED
            return code if is_ended else RunError.exit_code


def _find(plan: RunPlan, options: RunOptions) -> Past | None:
    """Return the run of before that is to go on, if one is wanted and there is one.

    Raises:
        UsageError: it is asked for, and the cluster is to be changed.
    """
    if plan.scenario is None:
        is_wanted = options.resume or plan.config.output.resume
        return find_past(plan.config) if is_wanted else None
    if options.resume:
        raise UsageError(
            f"scenario {plan.scenario.name} cannot go on where a run was interrupted; "
            "leave --resume out"
        )
    return None


def _succession(config: Config, options: RunOptions, shared: SharedApi) -> Succession:
    """Return how segments follow each other, by the configuration as it is read."""
    reread, scenario = options.reread, options.scenario
    if reread is not None and scenario is not None:
        reread = partial(_with_lanes_of, reread, scenario)
    return Succession(config, options, shared, reread=reread)


def _with_lanes_of(reread: Reread, scenario: Scenario) -> Config:
    return with_lanes(reread(), scenario)


async def _run_on(
    make: Callable[[RunPlan, Past | None], Run],
    plan: RunPlan,
    past: Past | None,
    succession: Succession,
) -> int:
    """Run, and go over into further segments; return the exit code of the last.

    Args:
        make: makes a run.
        plan: what to run.
        past: the run that goes on, if one does.
        succession: what follows.
    """
    while True:
        try:
            code = await make(plan, past).run()
        finally:
            if not succession.is_left:
                await succession.give_up()
        successor = await succession.take()
        if successor is None:
            await succession.end()
            return code
        assert succession.path is not None, "it was left"
        plan, past = successor.plan, past_at(succession.path)


async def _end_created(
    plan: RunPlan, api: ElastiCacheApi | None, console: Console, stopping: Stopping
) -> bool:
    """Delete the group that the run created, or let it go; tell how, and if it failed.

    Returns:
        False if it is there although it should not be.
    """

    def tell(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    create = plan.scenario.creates if plan.scenario is not None else None
    if api is None or plan.config.control is None or create is None:
        return True
    group = plan.config.control.cache
    left = f"{group} is left behind and costs; delete it: loadprobe cleanup"
    try:
        marker = markers.own(plan.config.control)
        if marker is not None and create.keep:
            markers.remove(marker.control)
            tell(
                f"{marker.where}: stays, as the scenario says (keep = true), and costs "
                "until you delete it"
            )
        elif marker is not None:
            tell(
                f"{marker.where}: this run created it, so it is deleted now (a second "
                "signal leaves it to loadprobe cleanup)"
            )
            await stopping.unless_urged(delete_created(api, marker, tell=tell))
            if stopping.is_urged:
                tell(left)
    except Exception as exc:
        # Whatever it is must not hide what ended the run, nor that the group costs.
        if not isinstance(exc, LoadprobeError):
            logger.exception("unexpected_error", extra={"lp_in": "deleting the group"})
        reason = str(exc) or type(exc).__name__
        tell(f"PROBLEM  {left} (deleting it failed: {reason})")
        return False
    return True
