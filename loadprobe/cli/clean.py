"""The command that deletes the keys of a configuration."""

import sys
from typing import Annotated

import typer

from loadprobe.cli.saying import say, warn
from loadprobe.cli.scenarios import run_async
from loadprobe.config.file import load_config
from loadprobe.config.keys import Config
from loadprobe.errors import UsageError

_KEYS_PER_S = 2_000
_TOLD_EVERY = 10_000


def clean(
    config: Annotated[str, typer.Argument(metavar="CONFIG", help="TOML file.")],
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Count the keys; delete nothing.")
    ] = False,
    keys_per_s: Annotated[
        int, typer.Option(min=1, help="Delete so many keys a second at most.")
    ] = _KEYS_PER_S,
) -> None:
    """Delete the keys that runs of a configuration left in the cluster."""
    loaded = load_config(config)
    run_async(_clean(loaded, yes=yes, dry_run=dry_run, keys_per_s=keys_per_s))


async def _clean(config: Config, *, yes: bool, dry_run: bool, keys_per_s: int) -> None:
    from loadprobe.control.provider.shared import SharedApi
    from loadprobe.control.reach.ways import tunnelled
    from loadprobe.run.cleaning import clean as clean_keys
    from loadprobe.run.cleaning import prefixes
    from loadprobe.run.plan import RunOptions
    from loadprobe.run.preparing import plan_run

    async with SharedApi() as shared:
        plan, _ = await plan_run(config, RunOptions(), shared)
    names = ", ".join(f"{prefix.decode()}*" for prefix in prefixes(plan.config))
    where = f"{plan.config.target.host}"
    if not dry_run and not yes:
        if not sys.stdin.isatty():
            raise UsageError(
                f"all keys {names} at {where} would be deleted, and there is no "
                "terminal to ask at; look at --dry-run, then give --yes"
            )
        warn(f"This deletes all keys {names} at {where}. Type yes to go on: ", end="")
        if sys.stdin.readline().strip() != "yes":
            raise UsageError("that is not 'yes'; nothing was deleted")
    told = 0

    def tell(found: int) -> None:
        nonlocal told
        if found - told >= _TOLD_EVERY:
            told = found
            warn(f"{found:,} keys so far")

    async with tunnelled(plan.config, to_all=True) as (leading, _):
        found = await clean_keys(
            leading, deletes=not dry_run, keys_per_s=keys_per_s, on_progress=tell
        )
    say(f"{found:,} keys {names} at {where} {'found' if dry_run else 'deleted'}")
