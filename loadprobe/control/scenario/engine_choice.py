"""Which engine a group that a scenario creates is made with.

The provider's own engines can all be encrypted. The local control plane has the
programs of its machine, and says of each whether it was built with TLS: one that cannot
do what the scenario needs is passed over, or refused before anything is created.
"""

from dataclasses import replace

import msgspec

from loadprobe.control.mutations.guards import is_version
from loadprobe.control.provider.api import ElastiCacheApi
from loadprobe.control.provider.replies import EngineVersion
from loadprobe.control.provider.state import Need
from loadprobe.control.scenario.file import Scenario
from loadprobe.control.scenario.keys import AuthRotateStep, Making, TlsStep
from loadprobe.errors import PreflightError

_ENGINES = ("valkey", "redis")


async def with_engine(scenario: Scenario, api: ElastiCacheApi) -> Scenario:
    """Return a scenario whose create step has an engine that the API offers.

    Raises:
        ControlError: the API did not answer.
        PreflightError: none offered there can do what the scenario needs.
    """
    if scenario.creates is None:
        return scenario
    state = await api.describe_state({Need.ENGINE_VERSIONS}, missing_ok=True)
    return choose_engine(scenario, state.engine_versions)


def choose_engine(
    scenario: Scenario, offered: tuple[EngineVersion, ...] | None
) -> Scenario:
    """Return a scenario whose create step has an engine that is offered.

    Args:
        scenario: what is going to be carried out.
        offered: what the provider offers; None if that is not known.

    Raises:
        PreflightError: none of it can do what the scenario needs.
    """
    create = scenario.creates
    if create is None or not offered:
        return scenario
    needs_tls = create.mode != "none" or scenario.has(TlsStep, AuthRotateStep)
    fitting = {
        each.engine
        for each in offered
        if (each.has_tls or not needs_tls)
        and (create.version is None or is_version(each.version, create.version))
    }
    wanted = _ENGINES if create.engine is None else (create.engine,)
    chosen = next((engine for engine in wanted if engine in fitting), None)
    if chosen is None:
        known = ", ".join(each.description or each.version for each in offered)
        version = f" {create.version}" if create.version is not None else ""
        raise PreflightError(
            f"scenario {scenario.name} creates a group of "
            f"{' or '.join(wanted)}{version}"
            f"{', with TLS,' if needs_tls else ''} and that is not offered "
            f"there; offered: {known}; set engine and version of the create step"
        )
    made = msgspec.structs.replace(create, engine=chosen)
    steps = tuple(made if isinstance(step, Making) else step for step in scenario.steps)
    return replace(scenario, steps=steps)
