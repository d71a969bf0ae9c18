"""From a configuration to a run: the API, the endpoint, what is asked ahead, preflight.

Everything that can be found out before the load begins is found out here, and nothing
is changed: whoever refuses does so before a single arrival.
"""

from contextlib import AsyncExitStack
from dataclasses import dataclass

from rich.console import Console

from loadprobe.config import Config, with_endpoint
from loadprobe.control.api import ElastiCacheApi, open_api
from loadprobe.control.lane_control import dormant_lanes
from loadprobe.control.scenario_file import Scenario, check_lanes
from loadprobe.control.scenario_keys import CreateStep
from loadprobe.control.shapes import Group
from loadprobe.errors import PreflightError, UsageError
from loadprobe.outputs.terminal import make_console
from loadprobe.preflight import preflight
from loadprobe.stopping import Stopping
from loadprobe.supervisor import STOPPED_EARLY, Run, RunPlan


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What the command line adds to a configuration.

    Args:
        duration_s: least length of the load; None is until a signal, or until the
            scenario is over.
        scenario: what to change meanwhile, or None to change nothing.
    """

    duration_s: float | None = None
    scenario: Scenario | None = None


async def run_load(
    config: Config, options: RunOptions, *, console: Console | None = None
) -> int:
    """Check everything, run, report; return the exit code.

    A group that the scenario created is deleted after the load and its report, whatever
    ended them, unless the scenario keeps it.

    Raises:
        UsageError: nothing was started, and why.
        RunError: the run ended early; what was measured is in the run folder.
    """
    console = console or make_console()
    stopping = Stopping()
    with stopping.caught():
        async with AsyncExitStack() as stack:
            found = await stopping.unless_set(_prepare(config, options, stack))
            if found is None:
                console.print(STOPPED_EARLY)
                return 0
            plan, api = found
            try:
                code = await Run(plan, api, console, stopping).run()
            except BaseException:
                await _end_created(plan, api, console, stopping)
                raise
            is_ended = await _end_created(plan, api, console, stopping)
            return code if is_ended else RunError.exit_code


async def _end_created(
    plan: RunPlan, api: ElastiCacheApi | None, console: Console, stopping: Stopping
) -> bool:
    """Delete the group that the run created, or let it go; tell how, and if it failed.

    Returns:
        False if it may be there although it should not.
    """

    def tell(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    control = plan.config.control
    create = _create_step(plan.scenario)
    if api is None or control is None or create is None:
        return True
    left = f"{control.replication_group} is left behind; delete it: loadprobe cleanup"
    try:
        marker = markers.own(control)
        if marker is None:
            return True
        if create.keep:
            await keep_created(api, marker, tell=tell)
            return True
        tell(
            f"{marker.where}: created by this run, so it is deleted before the end "
            "(interrupt to leave it to loadprobe cleanup)"
        )
        stopping.before_exit = lambda: tell(left)
        await delete_created(api, marker, tell=tell)
    except Exception as exc:
        # Whatever it is, it must not hide what ended the run, nor that the group costs.
        if not isinstance(exc, LoadprobeError):
            logger.exception("unexpected_error", extra={"lp_in": "deleting the group"})
        reason = str(exc) or type(exc).__name__
        tell(f"PROBLEM  {left} (deleting it failed: {reason})")
        return False
    return True


def _create_step(scenario: Scenario | None) -> CreateStep | None:
    steps = scenario.steps if scenario is not None else ()
    return next((step for step in steps if isinstance(step, CreateStep)), None)


async def _prepare(
    config: Config, options: RunOptions, stack: AsyncExitStack
) -> tuple[RunPlan, ElastiCacheApi | None]:
    """Find out what can be found out before the run; open the API on the stack."""
    api = await _open_api(config, options, stack)
    plan = await _plan(config, options, api)
    async for check in preflight(plan.config, dormant=plan.dormant):
        if not check.passed:
            raise PreflightError(f"{check.name}: {check.detail}")
    return plan, api


async def _open_api(
    config: Config, options: RunOptions, stack: AsyncExitStack
) -> ElastiCacheApi | None:
    """Open the API before anything is measured: it stalls this process."""
    if config.control is not None:
        makes_it = options.scenario is not None and options.scenario.has(CreateStep)
        opening = open_api(config.control, must_exist=not makes_it)
        return await stack.enter_async_context(opening)
    if options.scenario is not None and options.scenario.steps:
        raise UsageError(
            f"scenario {options.scenario.name} needs to know the replication group: "
            "add [control] replication_group to the configuration"
        )
    return None


async def _plan(
    config: Config, options: RunOptions, api: ElastiCacheApi | None
) -> RunPlan:
    """Complete the configuration with what the API tells."""
    scenario = options.scenario
    if scenario is not None:
        check_lanes(scenario, (lane.name for lane in config.lanes), where=scenario.name)
    dormant: frozenset[str] = frozenset()
    if api is not None and not (scenario is not None and scenario.has(CreateStep)):
        group = await api.describe_group()
        if not config.target.host:
            config = _at_endpoint(config, group)
        if scenario is not None:
            dormant = dormant_lanes(scenario, group, config.lanes)
    elif scenario is not None:
        dormant = frozenset(lane.name for lane in config.lanes)
    return RunPlan(config, options.duration_s, scenario, dormant)


def _at_endpoint(config: Config, group: Group) -> Config:
    """Return the configuration with the group's endpoint as its target."""
    if group.endpoint is None:
        raise PreflightError(
            f"{group.id} is {group.status!r} and has no endpoint yet; wait until it is "
            "available, or set target.host"
        )
    host, port = group.endpoint.host, group.endpoint.port
    return with_endpoint(config, host, port, None)
