"""``loadprobe access``: ways for a probe outside to a cluster inside.

Imports what it needs inside of its functions, so that --help stays fast.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from loadprobe.cli.saying import say, warn
from loadprobe.cli.scenarios import LogLevel, run_async
from loadprobe.config.file import load_config
from loadprobe.config.values import LARGEST_PORT
from loadprobe.errors import UsageError

if TYPE_CHECKING:
    from loadprobe.config.keys import Config
    from loadprobe.control.reach.nat import NatPlan

EXIT_DIFFERENT = 3
Form = Literal["all", "toml", "nft", "iptables"]

access_app = typer.Typer(
    no_args_is_help=True, help="Ways for a probe outside to a cluster inside."
)


@access_app.callback()
def access() -> None:
    """Have a group of commands, though there is one."""


@access_app.command("nat")
def access_nat(
    config: Annotated[str, typer.Argument(metavar="CONFIG", help="TOML file.")],
    *,
    outside: Annotated[
        str,
        typer.Option(metavar="IP", help="Address or name at which the NAT is reached."),
    ],
    first_port: Annotated[
        int,
        typer.Option(
            min=1,
            max=LARGEST_PORT,
            help="The nodes get ports from here on; those of address_map stay.",
        ),
    ],
    form: Annotated[Form, typer.Option("--format", help="What is printed.")] = "all",
    check: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|-",
            help="Compare rules (iptables-save, or nft list ruleset) with the nodes "
            "that there are: what is missing, what is stale. Ends with 3 if any is.",
        ),
    ] = None,
    log_level: LogLevel = "warning",
) -> None:
    """Print the address map and the rules of a NAT with a port for every node.

    Run it where the cluster can be reached: on the NAT instance, or outside with the
    address map that is in force. Nothing is changed, here or there.
    """
    loaded = load_config(config)
    leads = None if check is None else _read(check)
    plan = run_async(
        _plan(loaded, outside=outside, first_port=first_port), log_level=log_level
    )
    if leads is None:
        say(_render(plan, form), end="")
        return
    from loadprobe.control.reach.nat import compare_rules
    from loadprobe.control.reach.rules import read_rules

    problems = compare_rules(plan, read_rules(leads), loaded.target.address_map)
    for problem in problems:
        say(problem)
    if problems:
        warn(
            f"loadprobe: {len(problems)} of the rules and entries are not as they "
            "should be"
        )
        raise typer.Exit(EXIT_DIFFERENT)
    say(f"all {len(plan.openings)} nodes are reached, and no rule is stale")


def _read(path: str) -> str:
    """Return the text of a file, or of standard input."""
    try:
        return sys.stdin.read() if path == "-" else Path(path).read_text()
    except (OSError, ValueError) as exc:
        raise UsageError(
            f"{path!r} cannot be read: {exc}; expected what iptables-save or nft list "
            "ruleset printed"
        ) from exc


async def _plan(config: "Config", *, outside: str, first_port: int) -> "NatPlan":
    from loadprobe.control.provider.shared import SharedApi
    from loadprobe.run.access import find_nat
    from loadprobe.run.plan import RunOptions
    from loadprobe.run.preparing import plan_run

    async with SharedApi() as shared:
        plan, _ = await plan_run(config, RunOptions(), shared)
    return await find_nat(plan.config, outside=outside, first_port=first_port)


def _render(plan: "NatPlan", form: Form) -> str:
    from loadprobe.control.reach.rules import (
        jumps,
        render_iptables,
        render_nft,
        render_toml,
    )

    made = {"toml": render_toml, "nft": render_nft, "iptables": render_iptables}
    if form != "all":
        return made[form](plan)
    return "\n".join(
        [
            "# for the configuration of the probe outside",
            render_toml(plan),
            "# for the NAT, with nftables: save as FILE, then nft -f FILE",
            render_nft(plan),
            "# or with iptables: save as FILE, then iptables-restore --noflush FILE",
            "# and once, for all times:",
            *(f"#   {jump}" for jump in jumps()),
            render_iptables(plan),
        ]
    )
