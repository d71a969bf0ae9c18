"""``loadprobe webhooks``: whether notices arrive.

Imports what it needs inside of its functions, so that --help stays fast.
"""

from typing import TYPE_CHECKING, Annotated

import typer

from loadprobe.cli.scenarios import LogLevel, run_async
from loadprobe.config.file import load_config
from loadprobe.errors import RunError, UsageError

if TYPE_CHECKING:
    from loadprobe.config.keys import Config
    from loadprobe.config.webhooks import Webhook

webhooks_app = typer.Typer(no_args_is_help=True, help="The receivers of notices.")


@webhooks_app.callback()
def webhooks() -> None:
    """Have a group of commands, though there is one."""


@webhooks_app.command("test")
def webhooks_test(
    config: Annotated[str, typer.Argument(metavar="CONFIG", help="TOML file.")],
    *,
    name: Annotated[
        str | None, typer.Option(help="This webhook only; by default all of them.")
    ] = None,
    log_level: LogLevel = "warning",
) -> None:
    """Send the opening and the closing of no incident, to see whether they arrive.

    They are sent once; nothing is measured, and no queue is touched.
    """
    loaded = load_config(config)
    chosen = [w for w in loaded.webhooks if name in (None, w.name)]
    if not chosen:
        known = ", ".join(w.name for w in loaded.webhooks) or "none"
        raise UsageError(
            f"{config} has no webhook{f' {name!r}' if name else ''} (known: {known}); "
            "add a [[webhooks]] section"
        )
    failed = run_async(_try(loaded, chosen), log_level=log_level)
    if failed:
        raise RunError(f"{failed} of {len(chosen)} webhooks did not take the test")


async def _try(config: "Config", chosen: list["Webhook"]) -> int:
    """Send to each, say what became of it, and return how many failed."""
    import platform

    from loadprobe.clock import wall_now_ns
    from loadprobe.core.verdict.notice_queue import Fate
    from loadprobe.core.verdict.notices import trial_notices
    from loadprobe.outputs.live.console import make_console
    from loadprobe.outputs.webhooks.receiver import send_notice

    console = make_console()
    notices = trial_notices(
        run=config.name,
        target=config.target.host or "a group",
        probe_host=platform.node(),
        lanes=[lane.name for lane in config.lanes],
        now_ns=wall_now_ns(),
    )
    failed = 0
    for webhook in chosen:
        for notice in notices:
            reply = await send_notice(webhook, notice)
            if reply.fate is not Fate.TAKEN:
                break
        is_taken = reply.fate is Fate.TAKEN
        failed += not is_taken
        mark = "[green]sent[/green]" if is_taken else "[red]FAIL[/red]"
        console.print(f"{mark}  {webhook.name:<14} ", end="", markup=True)
        console.print(reply.text, markup=False, highlight=False, soft_wrap=True)
    return failed
