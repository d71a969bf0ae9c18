"""The command that finds out all that can be found out before a run."""

import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from loadprobe.cli.saying import say
from loadprobe.cli.scenarios import LogLevel, choose_scenario, run_async
from loadprobe.config.file import load_config
from loadprobe.config.keys import Config
from loadprobe.errors import PreflightError
from loadprobe.harmless import harmless_json

if TYPE_CHECKING:
    from loadprobe.control.scenario.file import Scenario
    from loadprobe.run.checks import Check

_MARKS = {
    "pass": "[green]pass[/green]",
    "warn": "[yellow]warn[/yellow]",
    "fail": "[red]FAIL[/red]",
}


def check(
    config: Annotated[str, typer.Argument(metavar="CONFIG", help="TOML file.")],
    *,
    scenario: Annotated[
        str | None,
        typer.Option(
            metavar="NAME_OR_FILE",
            help="Check for a run with this scenario, which may create the group.",
        ),
    ] = None,
    variables: Annotated[
        list[str] | None,
        typer.Option("--var", metavar="KEY=VALUE", help="A variable of the scenario."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Write what was found as one JSON document.")
    ] = False,
    log_level: LogLevel = "warning",
) -> None:
    """Check everything that can be found out before a run; change nothing.

    A line each: pass; warn, with what that means for a run; or FAIL, with what to do:
    a run cannot begin, and the exit code is not 0.
    """
    loaded = load_config(config)
    chosen = None
    if scenario is not None or variables:
        loaded, chosen = choose_scenario(loaded, scenario, variables or [])
    run_async(_check(loaded, config, chosen, as_json=as_json), log_level=log_level)


async def _check(
    config: Config, path: str, scenario: "Scenario | None", *, as_json: bool
) -> None:
    from loadprobe.outputs.folder.documents import encode_document

    found: list[Check] = []
    async for check in _look(config, scenario):
        found.append(check)
        if not as_json:
            _show(check)
    states = [check.state for check in found]
    if as_json:
        document = {
            "config": path,
            "is_ready": "fail" not in states,
            "checks": [
                {"name": check.name, "state": check.state, "detail": check.detail}
                for check in found
            ],
        }
        sys.stdout.buffer.write(harmless_json(encode_document(document)))
        sys.stdout.flush()
    failed = [check for check in found if check.state == "fail"]
    if failed:
        first = failed[0]
        more = f" (and {len(failed) - 1} more, see above)" if failed[1:] else ""
        raise PreflightError(
            f"{path} cannot be run: {first.name}: {first.detail}{more}"
        )
    if not as_json:
        warned = states.count("warn")
        lines = "line" if warned == 1 else "lines"
        say(f"ready to run{f', with {warned} {lines} to read' if warned else ''}")


async def _look(config: Config, scenario: "Scenario | None") -> "AsyncIterator[Check]":
    """Yield all checks; those of how well a run will see only if one can begin."""
    from loadprobe.control.provider.shared import SharedApi
    from loadprobe.control.reach.ways import tunnelled
    from loadprobe.run.examining.examine import examine
    from loadprobe.run.permission_check import check_permissions
    from loadprobe.run.plan import RunOptions
    from loadprobe.run.preflight import preflight
    from loadprobe.run.preparing import plan_run

    dormant: frozenset[str] = frozenset()
    async with SharedApi() as shared, AsyncExitStack() as stack:
        if scenario is not None:
            options = RunOptions(scenario=scenario)
            plan, _ = await plan_run(config, options, shared)
            config, dormant = plan.config, plan.dormant
        must_exist = scenario is None or scenario.creates is None
        config, _ = await stack.enter_async_context(tunnelled(config, to_all=True))
        is_ready = True
        async for check in preflight(
            config, shared, dormant=dormant, must_exist=must_exist
        ):
            is_ready = is_ready and check.state != "fail"
            yield check
        if is_ready:
            async for check in examine(config, shared, dormant=dormant):
                yield check
        if is_ready and config.control is not None:
            steps = () if scenario is None else scenario.steps
            operations = tuple(step.operation for step in steps)
            yield await check_permissions(config.control, shared, operations)


def _show(check: "Check") -> None:
    from loadprobe.outputs.live.console import make_console

    console = make_console()
    console.print(f"{_MARKS[check.state]}  {check.name:<14} ", end="", markup=True)
    console.print(check.detail, markup=False, highlight=False, soft_wrap=True)
