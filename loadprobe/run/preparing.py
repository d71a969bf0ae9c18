"""What can be found out before a run: everything is checked, and nothing is changed.

Whoever refuses does so before a single arrival.
"""

from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from loadprobe.config.keys import Config
from loadprobe.control.provider.api import ElastiCacheApi
from loadprobe.control.provider.faults import may_come
from loadprobe.control.provider.shared import SharedApi
from loadprobe.control.reach.ways import tunnelled
from loadprobe.control.scenario.described import check_transports, described_endpoint
from loadprobe.control.scenario.engine_choice import with_engine
from loadprobe.control.scenario.file import Scenario
from loadprobe.control.scenario.fitting_steps import check_fitting
from loadprobe.control.scenario.group_need import missing_group, needs_group
from loadprobe.control.scenario.known_steps import check_known
from loadprobe.control.scenario.lanes import (
    begins_with_group,
    dormant_lanes,
    never_served,
)
from loadprobe.core.topology.topology import join_address
from loadprobe.errors import ControlError, NotThereYet, PreflightError, UsageError
from loadprobe.run.plan import RunOptions, RunPlan
from loadprobe.run.preflight import preflight

if TYPE_CHECKING:  # of all that reads run folders a check needs nothing
    from loadprobe.run.going_on import Past


def _none(_: RunPlan) -> "Past | None":
    return None


async def prepare(
    config: Config,
    options: RunOptions,
    shared: SharedApi,
    *,
    find: "Callable[[RunPlan], Past | None]" = _none,
    stack: AsyncExitStack | None = None,
) -> "tuple[RunPlan, ElastiCacheApi | None, Past | None]":
    """Find out what can be found out before the run.

    Args:
        config: what to measure and how, with the lanes of the scenario.
        options: what the command line adds.
        shared: the API of the group, which stays open.
        find: returns the run that goes on. It does so also in an outage, to measure
            the rest of it: what may come is not waited for.
        stack: ends the tunnel, if there is one; without it that is ended on return.

    Returns:
        What to run, the open API if there is a group, and the run that goes on.

    Raises:
        NotThereYet: the cluster cannot be reached, or is not ready.
        UsageError: anything else that a run could not begin with.
    """
    async with AsyncExitStack() as own:
        plan, api = await plan_run(config, options, shared)
        opening = tunnelled(plan.config, withheld=plan.withheld)
        config, tunnel = await (stack or own).enter_async_context(opening)
        plan = replace(plan, config=config, tunnel=tunnel)
        past = find(plan)
        await _check(plan, shared, is_going_on=past is not None)
    return plan, api, past


async def _check(plan: RunPlan, shared: SharedApi, *, is_going_on: bool) -> None:
    """Make every check; raise what ``prepare`` raises."""
    async for check in preflight(
        plan.config, shared, dormant=plan.dormant, must_exist=not plan.creates
    ):
        if is_going_on and check.may_come:
            continue
        if not check.passed and check.is_needed:
            kind = NotThereYet if check.may_come else PreflightError
            raise kind(f"{check.name}: {check.detail}")


async def check_next(plan: RunPlan, shared: SharedApi, *, is_serving: bool) -> None:
    """Make every check for another configuration of a run that goes on.

    Args:
        plan: what is to be run then.
        shared: the API of the group.
        is_serving: this process has the address that HTTP is to be served at.

    Raises:
        UsageError: it could not go on by it.
    """
    address = plan.config.http.address
    if is_serving and address is not None:
        # Any port will do to see whether the rest is right.
        listen = join_address(address[0], 0)
        http = msgspec.structs.replace(plan.config.http, listen=listen)
        plan = replace(plan, config=msgspec.structs.replace(plan.config, http=http))
    await _check(plan, shared, is_going_on=True)


async def plan_run(
    config: Config, options: RunOptions, shared: SharedApi
) -> tuple[RunPlan, ElastiCacheApi | None]:
    """Complete the configuration with what scenario and API tell; see ``prepare``.

    Raises:
        UsageError: they do not fit, or the API refused or did not answer.
    """
    scenario = options.scenario
    if scenario is not None and config.control is not None:
        check_fitting(scenario, config.control)
        check_known(scenario, is_serverless=config.control.is_serverless)
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
    if scenario is not None and needs_group(scenario):
        raise missing_group(scenario)
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
        is_opened=options.is_opened,
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
