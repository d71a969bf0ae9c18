"""What a scenario is going to do to a group, told before it is done.

Nothing is changed here. What is certain to fail later is refused: a step that a guard
refuses, and more failovers than the provider allows in a day.
"""

from collections.abc import Iterator
from dataclasses import replace

from loadprobe.config.keys import Config
from loadprobe.control.created.markers import remedy
from loadprobe.control.mutations import guards
from loadprobe.control.mutations.mutation import Mutation
from loadprobe.control.provider.event_texts import EventKind, classify
from loadprobe.control.provider.secret import Secret
from loadprobe.control.provider.shared import SharedApi
from loadprobe.control.provider.state import AVAILABLE, GroupState, Need, no_group
from loadprobe.control.scenario import tokens
from loadprobe.control.scenario.engine_choice import choose_engine
from loadprobe.control.scenario.file import Scenario
from loadprobe.control.scenario.fitting_steps import check_fitting
from loadprobe.control.scenario.group_need import (
    copied_to,
    missing_group,
    needs_group,
)
from loadprobe.control.scenario.keys import (
    RECORDED,
    ApplyUpdateStep,
    AuthRotateStep,
    EngineStep,
    ExecStep,
    ExpectedDark,
    FailoverStep,
    HoldStep,
    Making,
    NodeTypeStep,
    Step,
    WaitStep,
)
from loadprobe.control.scenario.known_steps import check_known
from loadprobe.control.scenario.transfer_keys import CopyStep, CutoverStep, DrainStep
from loadprobe.control.scenario.transfer_plan import check_transfers, told_transfer
from loadprobe.control.scenario.turns import (
    Memory,
    Observation,
    StepTurn,
    Transfer,
    remembered,
    resolve,
    rounds,
    turns,
)
from loadprobe.errors import ControlError, PreflightError

_NEEDS: dict[type[Step], Need] = {
    ApplyUpdateStep: Need.UPDATES,
    EngineStep: Need.ENGINE_VERSIONS,
    FailoverStep: Need.RECORDS,
    NodeTypeStep: Need.NODE_TYPES,
}
_PLACEHOLDER = Secret("a-token-that-is-not-made-before-the-run")
_ANY_MARK = "(random)"


async def rehearse(config: Config, scenario: Scenario, shared: SharedApi) -> list[str]:
    """Ask the provider about the group, and plan a scenario for it.

    Args:
        config: which group it is about.
        scenario: what was read.
        shared: its API, which stays open.

    Raises:
        UsageError: the scenario cannot be carried out, or the API refused or did not
            answer, and why.
    """
    if not scenario.steps:
        return plan_scenario(scenario, None)
    if config.control is None:
        if needs_group(scenario):
            raise missing_group(scenario)
        state = no_group()
        check_transfers(scenario, config.lanes, state, target=config.target)
        return plan_scenario(scenario, state)
    is_serverless = config.control.is_serverless
    check_fitting(scenario, config.control)
    check_known(scenario, is_serverless=is_serverless)
    makes_it = scenario.creates is not None
    needs: set[Need] = set()
    if not is_serverless:
        needs = {_NEEDS[type(step)] for step in scenario.steps if type(step) in _NEEDS}
    is_local = config.control.endpoint_url is not None
    if makes_it and is_local:
        needs.add(Need.ENGINE_VERSIONS)
    try:
        api = await shared.open(config.control, must_exist=not makes_it)
        state = await api.describe_state(needs, missing_ok=makes_it)
    except ControlError as exc:
        raise PreflightError(f"api: {exc}") from exc
    if makes_it and state.is_there:
        raise PreflightError(
            f"scenario {scenario.name} creates the {state.group.named}, which is "
            f"there and {state.group.status!r}; {remedy(config.control)}"
        )
    if makes_it and is_local:
        scenario = choose_engine(scenario, state.engine_versions)
    check_transfers(
        scenario, config.lanes, state, target=config.target, is_local=is_local
    )
    return plan_scenario(scenario, state)


def plan_scenario(scenario: Scenario, state: GroupState | None) -> list[str]:
    """Return what a scenario is going to do, line by line.

    Args:
        scenario: what was read.
        state: the group, with what the steps need to know; None if there are no steps.

    Raises:
        PreflightError: a step is certain to fail.
    """
    lines = [f"scenario {scenario.name}: {scenario.description}"]
    if state is not None and state.group.id:
        lines.append(f"{state.group.kind.word} {_described(state)}")
    if not scenario.steps:
        lines.append("  nothing is changed; load until the run ends")
    else:
        assert state is not None, "it is known with the steps"
        lines += _planned(scenario, state)
    lines += [
        f"a lane of the scenario: {lane.name}, {lane.driver} over "
        f"{'TLS' if lane.tls else 'TCP'}, {lane.rate_per_s:g} arrivals per second on "
        f"{lane.workers} workers"
        for lane in scenario.lanes
    ]
    lines += [_expected(each) for each in scenario.expected]
    lines.append(f"at the end: {_demanded(scenario)}")
    conditions = _conditions(scenario)
    if conditions:
        lines.append(f"aborted by: {conditions}")
    return lines


def changes_existing_group(scenario: Scenario) -> bool:
    """Tell whether a group that was there before is changed."""
    is_changed = any(step.is_mutation for step in scenario.steps)
    return is_changed and scenario.creates is None


def what_changes(config: Config, scenario: Scenario) -> str | None:
    """Return the name of what was there before and is changed, None if nothing is."""
    if not changes_existing_group(scenario):
        return None
    if config.control is None:
        return copied_to(scenario)
    return config.control.cache


def check_failover_quota(scenario: Scenario, state: GroupState, wanted: int) -> None:
    """Check that the provider allows all failovers of a scenario.

    Args:
        scenario: what was read.
        state: the group, with its events of the last 24 hours.
        wanted: how many shards are failed over, of the group as it is by then.

    Raises:
        PreflightError: they are more than the provider allows in a day.
    """
    if not wanted:
        return
    meanings = [
        classify(record, group_id=state.group.id, members=state.members or {})
        for record in state.records or ()
    ]
    called = [m for m in meanings if m.kind is EventKind.TEST_FAILOVER_CALLED]
    allowed = guards.FAILOVERS_PER_DAY
    if wanted + len(called) > allowed:
        raise PreflightError(
            f"scenario {scenario.name} fails {wanted} shards over; {len(called)} test "
            f"failovers were called in the last 24 hours and {allowed} are allowed; "
            "name one shard (shard = ...), lower repeat, or wait"
        )


# --- steps ---------------------------------------------------------------------------


def _planned(scenario: Scenario, state: GroupState) -> Iterator[str]:
    memory = Memory(_ANY_MARK, tokens=_tokens(scenario))
    has_baseline = False
    before = state
    number = failovers = 0
    for round_, step in rounds(scenario):
        if not has_baseline and not isinstance(step, Making):
            has_baseline = True
            yield f"  load for {scenario.baseline_s:g} s, the baseline"
        if step.hold_before_s:
            yield f"  load for {step.hold_before_s:g} s"
        for turn in turns(step, round_, state):
            number += 1
            failovers += isinstance(step, FailoverStep)
            try:
                memory = remembered(memory, step, state)
                what = resolve(turn, state, memory)
                yield from _told(number, turn, what, state)
                state = _after(state, what)
            except ControlError as exc:
                raise PreflightError(
                    f"scenario {scenario.name}, step {turn.name}: {exc}"
                ) from exc
            if step.hold_after_s:
                yield f"     load for {step.hold_after_s:g} s"
    check_failover_quota(scenario, before, failovers)
    yield f"  load for {scenario.after_s:g} s at the end"
    for step in scenario.steps:
        if isinstance(step, Making) and step.keep:
            yield f"  {state.group.id} stays when the run ends, and costs"
        elif isinstance(step, Making):
            yield f"  {state.group.id} is deleted whatever ends the run"


def _told(
    number: int,
    turn: StepTurn,
    what: Mutation | Observation | Transfer,
    state: GroupState,
) -> Iterator[str]:
    head = f"  {number}. {turn.name}:"
    match what:
        case HoldStep():
            yield f"{head} load for {what.seconds:g} s"
        case WaitStep():
            yield f"{head} wait until the {state.group.kind.word} is {what.until}"
        case ExecStep():
            yield f"{head} run {' '.join(what.command)}"
        case CopyStep() | DrainStep() | CutoverStep():
            yield f"{head} {told_transfer(what, state.group)}"
        case _:
            yield f"{head} {what.describe()}"
            calls = what.plan(state)
            yield from (f"     {call.shown()}" for call in calls)
            if not calls:
                yield "     nothing to do: it is so already"
    step = turn.step
    if isinstance(step, AuthRotateStep) and tokens.is_missing(step):
        yield f"     the token is made, and written to {step.token_file}"


def _after(state: GroupState, what: Mutation | Observation | Transfer) -> GroupState:
    match what:
        case WaitStep():
            status = AVAILABLE if what.until == "settled" else what.until
            return replace(state, group=replace(state.group, status=status))
        case HoldStep() | ExecStep() | CopyStep() | DrainStep() | CutoverStep():
            return state
        case _:
            return what.after(state)


def _tokens(scenario: Scenario) -> dict[str, Secret]:
    """Return the tokens of a scenario; one that is not made yet has a stand-in."""
    steps = [step for step in scenario.steps if isinstance(step, AuthRotateStep)]
    return {
        step.label: _PLACEHOLDER if tokens.is_missing(step) else tokens.read_token(step)
        for step in steps
    }


# --- the rest ------------------------------------------------------------------------


def _described(state: GroupState) -> str:
    group = state.group
    if not state.is_there:
        return f"{group.id}, which is not there yet"
    if group.serverless is not None:
        serverless = group.serverless
        return (
            f"{group.id}: {serverless.engine} {serverless.version}, limits "
            f"{serverless.limits}, {group.status}"
        )
    sizes = sorted({len(shard.members) for shard in group.shards.values()})
    nodes = " or ".join(str(size) for size in sizes) or "0"
    server = ""
    if state.clusters:
        first = state.clusters[0]
        server = f", {first.engine} {first.engine_version} on {first.node_type}"
    return (
        f"{group.id}: {len(group.shards)} shards of {nodes} nodes{server}, "
        f"TLS {group.tls_mode}, {group.status}"
    )


def _expected(expected: ExpectedDark) -> str:
    shard = f" (shard {expected.shard})" if expected.shard else ""
    until = (
        f'until "{expected.until_step}" has settled'
        if expected.until_step
        else "to the end"
    )
    lanes = ", ".join(expected.dark)
    return f'dark by plan: {lanes}{shard} from "{expected.from_step}" {until}'


def _demanded(scenario: Scenario) -> str:
    expect = scenario.expect
    lost = "any number of lost writes"
    if expect.max_lost_writes != RECORDED:
        lost = f"at most {expect.max_lost_writes} lost writes"
    return f"{lost}, at most {expect.max_wrong} wrong replies"


def _conditions(scenario: Scenario) -> str:
    abort = scenario.abort
    conditions = []
    if abort.max_outage_ms is not None:
        conditions.append(f"an unplanned outage above {abort.max_outage_ms:g} ms")
    if abort.max_error_ratio is not None:
        conditions.append(f"a ratio of errors above {abort.max_error_ratio:g}")
    if abort.max_wrong is not None:
        conditions.append(f"more than {abort.max_wrong} wrong replies")
    return ", ".join(conditions)
