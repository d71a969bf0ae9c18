"""From a configuration to a run: the API, the endpoint, what is asked ahead, preflight.

Everything that can be found out before the load begins is found out here, and nothing
is changed: whoever refuses does so before a single arrival.
"""

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
from rich.console import Console

from loadprobe.config.keys import Config
from loadprobe.control.created import markers
from loadprobe.control.created.cleanup import delete_created
from loadprobe.control.provider.api import ElastiCacheApi
from loadprobe.control.provider.faults import may_come
from loadprobe.control.provider.shared import SharedApi
from loadprobe.control.scenario.described import check_transports, described_endpoint
from loadprobe.control.scenario.engine_choice import with_engine
from loadprobe.control.scenario.file import Scenario, with_lanes
from loadprobe.control.scenario.lanes import (
    begins_with_group,
    dormant_lanes,
    never_served,
)
from loadprobe.errors import (
    ControlError,
    LoadprobeError,
    NotThereYet,
    PreflightError,
    RunError,
    UsageError,
)
from loadprobe.outputs.live.console import make_console
from loadprobe.run.endings import tell_stopped_early
from loadprobe.run.going_on import Past, find_past
from loadprobe.run.plan import RunPlan
from loadprobe.run.preflight import preflight
from loadprobe.run.reloading import Reread
from loadprobe.run.run import Run
from loadprobe.run.service import Service
from loadprobe.signals import EXIT_INTERRUPTED, Stopping

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What the command line adds to a configuration.

    Args:
        duration_s: least length of the load; None is until a signal, or until the
            scenario is over.
        scenario: what to change meanwhile, or None to change nothing.
        resume: go on with a run of before, if there is one.
        reread: reads the configuration again as it was read, without the lanes of the
            scenario; None: there is nothing to read.
        is_full: show all of it, not only what fits a screen.
        junit: where to write what it was judged by, for CI servers.
    """

    duration_s: float | None = None
    scenario: Scenario | None = None
    resume: bool = False
    reread: Reread | None = None
    is_full: bool = False
    junit: Path | None = None


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
        async with shared:
            found = await stopping.unless_set(
                prepare(config, options, shared, find=lambda plan: _find(plan, options))
            )
            if found is None:
                code = tell_stopped_early(console, options.scenario)
                return EXIT_INTERRUPTED if stopping.is_urged else code
            plan, api, past = found
            try:
                run = Run(
                    plan,
                    api,
                    console,
                    stopping,
                    service,
                    past=past,
                    rereading=_rereading(config, options),
                )
                code = await run.run()
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


def _none(_: RunPlan) -> Past | None:
    return None


def _rereading(config: Config, options: RunOptions) -> "tuple[Config, Reread | None]":
    """Return the configuration as it was read, and what reads it again so."""
    reread, scenario = options.reread, options.scenario
    if reread is None or scenario is None:
        return config, reread
    return config, lambda: with_lanes(reread(), scenario)


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
    group = plan.config.control.replication_group
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


async def prepare(
    config: Config,
    options: RunOptions,
    shared: SharedApi,
    *,
    find: Callable[[RunPlan], Past | None] = _none,
) -> tuple[RunPlan, ElastiCacheApi | None, Past | None]:
    """Find out what can be found out before the run.

    Args:
        config: what to measure and how, with the lanes of the scenario.
        options: what the command line adds.
        shared: the API of the group, which stays open.
        find: returns the run that goes on. It does so also in an outage, to measure
            the rest of it: what may come is not waited for.

    Returns:
        What to run, the open API if there is a group, and the run that goes on.

    Raises:
        NotThereYet: the cluster cannot be reached, or is not ready.
        UsageError: anything else that a run could not begin with.
    """
    plan, api = await plan_run(config, options, shared)
    past = find(plan)
    async for check in preflight(
        plan.config, shared, dormant=plan.dormant, must_exist=not plan.creates
    ):
        if past is not None and check.may_come:
            continue
        if not check.passed and check.is_needed:
            kind = NotThereYet if check.may_come else PreflightError
            raise kind(f"{check.name}: {check.detail}")
    return plan, api, past


async def plan_run(
    config: Config, options: RunOptions, shared: SharedApi
) -> tuple[RunPlan, ElastiCacheApi | None]:
    """Complete the configuration with what scenario and API tell; see ``prepare``.

    Raises:
        UsageError: they do not fit, or the API refused or did not answer.
    """
    scenario = options.scenario
    try:
        api = await _open_api(config, scenario, shared)
        if api is not None and scenario is not None and _is_elsewhere(config):
            scenario = await with_engine(scenario, api)
            options = replace(options, scenario=scenario)
        return await _plan(config, options, api), api
    except ControlError as exc:
        kind = NotThereYet if may_come(exc) else PreflightError
        raise kind(f"api: {exc}") from exc


def _is_elsewhere(config: Config) -> bool:
    """Tell whether the API is not that of AWS, whose engines can do everything."""
    return config.control is not None and config.control.endpoint_url is not None


async def _open_api(
    config: Config, scenario: Scenario | None, shared: SharedApi
) -> ElastiCacheApi | None:
    """Open the API before anything is measured: it stalls this process."""
    if config.control is not None:
        must_exist = scenario is None or scenario.creates is None
        return await shared.open(config.control, must_exist=must_exist)
    if scenario is not None and scenario.steps:
        raise UsageError(
            f"scenario {scenario.name} needs to know the replication group: "
            "add [control] replication_group to the configuration"
        )
    return None


async def _plan(
    config: Config, options: RunOptions, api: ElastiCacheApi | None
) -> RunPlan:
    """Complete the configuration with what scenario and API tell."""
    scenario = options.scenario
    dormant: frozenset[str] = frozenset()
    if scenario is not None and scenario.creates is not None:
        config = for_created(config, scenario)
        dormant = dormant_lanes(scenario, None, config.lanes)
    elif api is not None:
        is_described = not config.target.host
        if is_described:
            config = await described_endpoint(config, api)
        if scenario is not None:
            group = await api.describe_group()
            dormant = dormant_lanes(scenario, group, config.lanes)
        if is_described:
            await check_transports(config, api, dormant=dormant)
    return RunPlan(
        config,
        options.duration_s,
        scenario,
        dormant,
        is_full=options.is_full,
        junit=options.junit,
    )


def for_created(config: Config, scenario: Scenario) -> Config:
    """Return the configuration for a group that a scenario is going to create.

    There is no endpoint before the group is there, and whether it is in cluster mode
    is the scenario's word. One that is to take over another server's data has the lanes
    at that server first, and nothing of this applies.

    Raises:
        UsageError: the lanes do not fit the group, before it is paid for.
    """
    target = config.target
    if not begins_with_group(scenario):
        if not target.host:
            raise UsageError(
                f"scenario {scenario.name} begins with the lanes at the source of the "
                "migration: set target.host to it"
            )
        return config
    idle = never_served(scenario, config.lanes)
    if idle:
        raise UsageError(
            f"scenario {scenario.name} creates a group that never serves lane "
            f"{idle[0].name} ({'TLS' if idle[0].tls else 'plaintext'}); remove the "
            'lane, or set the mode of the "create" step'
        )
    if target.password_file is not None or target.password_env is not None:
        raise UsageError(
            f"scenario {scenario.name} creates a group without a password, which "
            "refuses one; remove target.password_file or password_env"
        )
    assert scenario.creates is not None, "it begins with its group"
    target = msgspec.structs.replace(
        target, host="", cluster=scenario.creates.shards > 0
    )
    return msgspec.structs.replace(config, target=target)
