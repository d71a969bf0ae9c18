"""``loadprobe access``: what has to be allowed elsewhere for a run to work.

Imports what it needs inside of its functions, so that --help stays fast.
"""

from typing import Annotated

import typer

from loadprobe.cli.saying import say
from loadprobe.cli.scenarios import choose_scenario
from loadprobe.config.file import load_config
from loadprobe.errors import UsageError

access_app = typer.Typer(
    no_args_is_help=True, help="What has to be allowed elsewhere for a run."
)


@access_app.callback()
def access() -> None:
    """Have a group of commands, though there is one."""


@access_app.command()
def iam(
    config: Annotated[str, typer.Argument(metavar="CONFIG", help="TOML file.")],
    *,
    scenario: Annotated[
        str | None,
        typer.Option(
            metavar="NAME_OR_FILE", help="Allow what this scenario does, too."
        ),
    ] = None,
    variables: Annotated[
        list[str] | None,
        typer.Option("--var", metavar="KEY=VALUE", help="A variable of the scenario."),
    ] = None,
    account: Annotated[
        str | None, typer.Option(metavar="NUMBER", help="The AWS account of the group.")
    ] = None,
) -> None:
    """Print the IAM policy that a run of CONFIG needs, and no more. Asks nobody."""
    import orjson

    from loadprobe.control.permissions.needed import policy_of

    loaded = load_config(config)
    operations: tuple[str, ...] = ()
    if scenario is not None or variables:
        loaded, chosen = choose_scenario(loaded, scenario, variables or [])
        operations = tuple(step.operation for step in chosen.steps)
    if account is not None and not (account.isdecimal() and len(account) == 12):
        raise UsageError(f"--account {account!r} is no account of AWS: 12 digits")
    policy = policy_of(loaded, operations, account=account or "*")
    say(orjson.dumps(policy, option=orjson.OPT_INDENT_2).decode())
