"""The command that finds out all that can be found out before a run."""

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from loadprobe.cli.scenarios import LogLevel, choose_scenario, run_async
from loadprobe.config.file import load_config
from loadprobe.config.keys import Config
from loadprobe.errors import PreflightError

if TYPE_CHECKING:
    from loadprobe.control.scenario.file import Scenario


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
    log_level: LogLevel = "warning",
) -> None:
    """Check everything that can be found out before a run; change nothing."""
    loaded = load_config(config)
    chosen = None
    if scenario is not None or variables:
        loaded, chosen = choose_scenario(loaded, scenario, variables or [])
    run_async(_check(loaded, config, chosen), log_level=log_level)


async def _check(config: Config, path: str, scenario: "Scenario | None") -> None:
    from loadprobe.control.provider.shared import SharedApi
    from loadprobe.control.reach.ways import tunnelled
    from loadprobe.outputs.live.console import make_console
    from loadprobe.run.plan import RunOptions
    from loadprobe.run.preflight import preflight
    from loadprobe.run.preparing import plan_run

    dormant: frozenset[str] = frozenset()
    console = make_console()
    failed: list[str] = []
    end = "can be run, but not all is well"
    async with SharedApi() as shared, AsyncExitStack() as stack:
        if scenario is not None:
            options = RunOptions(scenario=scenario)
            plan, _ = await plan_run(config, options, shared)
            config, dormant = plan.config, plan.dormant
        must_exist = scenario is None or scenario.creates is None
        config, _ = await stack.enter_async_context(tunnelled(config, to_all=True))
        async for line in preflight(
            config, shared, dormant=dormant, must_exist=must_exist
        ):
            mark = "[green]pass[/green]" if line.passed else "[red]FAIL[/red]"
            console.print(f"{mark}  {line.name:<14} ", end="", markup=True)
            console.print(line.detail, markup=False, highlight=False, soft_wrap=True)
            if not line.passed:
                failed.append(f"{line.name}: {line.detail}")
                end = "cannot be run" if line.is_needed else end
    if failed:
        more = f" (and {len(failed) - 1} more, see above)" if failed[1:] else ""
        raise PreflightError(f"{path} {end}: {failed[0]}{more}")
    console.print("ready to run", markup=False)
