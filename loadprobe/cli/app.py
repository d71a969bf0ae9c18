"""The commands: their options, and with which exit codes they end.

Exit codes: 0 ok, 1 the run or its scenario failed, or the scenario was stopped, 2 usage
or preflight, 3 thresholds or expectations not met, 130 interrupted hard (a
second Ctrl-C, a second or more after the first).
"""

import re
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, cast

import msgspec
import typer

from loadprobe import __version__, compiled
from loadprobe.cli.dashboards import dashboards
from loadprobe.cli.scenarios import (
    LogLevel,
    choose_scenario,
    cleanup,
    confirm_changes,
    mention_left_behind,
    run_async,
    scenarios,
)
from loadprobe.config.file import load_config
from loadprobe.config.keys import Config
from loadprobe.errors import LoadprobeError, PreflightError, UsageError

if TYPE_CHECKING:
    from loadprobe.control.scenario.file import Scenario
    from loadprobe.local.state import LocalState

EXIT_INTERRUPTED = 130
_LONGEST_S = 366 * 86_400.0

# Bad options and arguments. Typer has a copy of click of its own, or (before 0.26) uses
# the package: the name to import depends on that, this base does not.
_WrongCommand = cast("type[Exception]", typer.BadParameter.__base__)

app = typer.Typer(
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    help="While a Valkey, Redis or ElastiCache cluster was being changed: exactly how "
    "long was it down, for whom, and whose fault was it?",
)
local_app = typer.Typer(
    no_args_is_help=True, help="A local cluster with its control plane, for any use."
)
app.add_typer(local_app, name="local")

T = TypeVar("T")

ConfigPath = Annotated[str, typer.Argument(metavar="CONFIG", help="TOML file.")]


_DURATION = re.compile(r"(?P<number>\d+(?:\.\d+)?)(?P<unit>ms|s|m|h|d)")
_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_duration(text: str, *, option: str) -> float:
    """Return seconds from ``90s``, ``10m``, ``1h30m``.

    Args:
        text: what was given.
        option: the option it was given to, for messages.

    Raises:
        UsageError: there is no unit, or something else in the text; it is 0, or more
            than a year.
    """
    parts = list(_DURATION.finditer(text))
    if not parts or "".join(part[0] for part in parts) != text:
        raise UsageError(
            f"{option} {text!r} is not a duration; write a number with its unit, "
            "for example 90s, 10m or 1h30m"
        )
    seconds = sum(float(part["number"]) * _UNIT_S[part["unit"]] for part in parts)
    if not 0 < seconds <= _LONGEST_S:
        raise UsageError(f"{option} {text}: expected more than 0, and at most 366d")
    return seconds


@app.command()
def demo(
    *,
    shards: Annotated[int, typer.Option(min=1, max=9, help="Shards.")] = 3,
    seconds: Annotated[
        float, typer.Option(min=10, max=600, help="Length of the load in seconds.")
    ] = 25.0,
    output: Annotated[str, typer.Option(help="Folder for run folders.")] = "runs",
    log_level: LogLevel = "warning",
) -> None:
    """Fail a shard of a real local cluster over, under load, and tell what happened.

    No AWS and no configuration: servers of this machine on loopback, TCP and TLS lanes.
    """
    from loadprobe.cli.demo import run_demo

    running = run_demo(shards=shards, duration_s=seconds, output_dir=output)
    raise typer.Exit(run_async(running, log_level=log_level))


@app.command()
def run(
    config: ConfigPath,
    *,
    duration: Annotated[
        str | None,
        typer.Option("--for", help="How long at least, for example 90s or 10m."),
    ] = None,
    scenario: Annotated[
        str | None,
        typer.Option(
            metavar="NAME_OR_FILE",
            help="Change the cluster meanwhile: a scenario of `loadprobe scenarios`, "
            "or a file of your own. Without it nothing of the cluster is changed.",
        ),
    ] = None,
    variables: Annotated[
        list[str] | None,
        typer.Option("--var", metavar="KEY=VALUE", help="A variable of the scenario."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Tell what would be done; do nothing.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do not ask before a group is changed.")
    ] = False,
    failover: Annotated[
        str | None,
        typer.Option(
            metavar="SHARD",
            help="Fail this shard over, for example 0002: short for "
            "--scenario failover --var shard=0002 --yes.",
        ),
    ] = None,
    failover_after: Annotated[
        str, typer.Option(help="Load before the failover of --failover.")
    ] = "5s",
    wait: Annotated[
        str | None,
        typer.Option(help="Wait so long for a cluster that is not there yet."),
    ] = None,
    log_level: LogLevel = "warning",
) -> None:
    """Put load on a cluster and measure its downtime until SIGTERM or --for."""
    from loadprobe.control.scenario.rehearsal import rehearse
    from loadprobe.outputs.live.terminal import make_console
    from loadprobe.run.launch import RunOptions, run_load
    from loadprobe.run.waiting import wait_until_there

    loaded = load_config(config)
    duration_s = (
        parse_duration(duration, option="--for") if duration is not None else None
    )
    baseline_s = parse_duration(failover_after, option="--failover-after")
    wait_s = parse_duration(wait, option="--wait") if wait is not None else None
    chosen = None
    if scenario is not None or failover is not None or variables or dry_run:
        chosen = choose_scenario(
            loaded, scenario, variables or [], failover=failover, baseline_s=baseline_s
        )
    if wait_s is not None:
        console = make_console()
        waiting = wait_until_there(loaded, chosen, wait_s=wait_s, console=console)
        code = run_async(waiting, log_level=log_level)
        if code is not None:
            raise typer.Exit(code)
    if chosen is not None:
        lines = run_async(rehearse(loaded, chosen), log_level=log_level)
        if dry_run:
            print("\n".join(lines))
            return
        if not yes and failover is None:
            confirm_changes(loaded, chosen, lines)
    mention_left_behind()
    options = RunOptions(duration_s=duration_s, scenario=chosen)
    running = run_load(loaded, options, is_last=True)
    raise typer.Exit(run_async(running, log_level=log_level))


app.command()(scenarios)
app.command()(cleanup)
app.command()(dashboards)


@app.command()
def check(
    config: ConfigPath,
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
        chosen = choose_scenario(loaded, scenario, variables or [])
    run_async(_check(loaded, config, chosen), log_level=log_level)


async def _check(config: Config, path: str, scenario: "Scenario | None") -> None:
    from loadprobe.outputs.live.terminal import make_console
    from loadprobe.run.launch import RunOptions, plan_run
    from loadprobe.run.preflight import preflight

    dormant: frozenset[str] = frozenset()
    if scenario is not None:
        async with AsyncExitStack() as stack:
            plan, _ = await plan_run(config, RunOptions(scenario=scenario), stack)
        config, dormant = plan.config, plan.dormant
    must_exist = scenario is None or scenario.creates is None
    console = make_console()
    failed: list[str] = []
    end = "can be run, but not all is well"
    async for line in preflight(config, dormant=dormant, must_exist=must_exist):
        mark = "[green]pass[/green]" if line.passed else "[red]FAIL[/red]"
        console.print(f"{mark}  {line.name:<14} ", end="")
        console.print(line.detail, markup=False, highlight=False, soft_wrap=True)
        if not line.passed:
            failed.append(f"{line.name}: {line.detail}")
            end = "cannot be run" if line.is_needed else end
    if failed:
        more = f" (and {len(failed) - 1} more, see above)" if failed[1:] else ""
        raise PreflightError(f"{path} {end}: {failed[0]}{more}")
    console.print("ready to run", markup=False)


@app.command()
def report(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="Machine-readable, on standard output.")
    ] = False,
) -> None:
    """Show a finished run again."""
    from loadprobe.outputs.folder.reader import load_run
    from loadprobe.outputs.live.terminal import make_console
    from loadprobe.outputs.report.report import render_json, render_text

    data = load_run(run_folder)
    if as_json:
        sys.stdout.buffer.write(render_json(data))
        sys.stdout.buffer.write(b"\n")
    else:
        make_console().print(render_text(data))


@app.command()
def version() -> None:
    """Print the version, and whether the loop that measures is compiled."""
    typer.echo(f"{__version__} ({compiled.HOW} loop)")


@local_app.command("up")
def local_up(
    *,
    name: Annotated[str, typer.Option(help="Name of the cluster.")] = "local",
    shards: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=90,
            show_default="3, or 1 without cluster mode",
            help="Node groups; 0 starts the API alone.",
        ),
    ] = None,
    replicas: Annotated[int, typer.Option(min=0, max=5, help="Per shard.")] = 1,
    cluster_mode: Annotated[
        bool, typer.Option(help="Without it: one primary with replicas.")
    ] = True,
    tls: Annotated[
        bool, typer.Option(help="Serve TLS beside plaintext; short for --tls-mode.")
    ] = True,
    tls_mode: Annotated[
        Literal["none", "preferred", "required"] | None,
        typer.Option(help="Plaintext only, TLS beside plaintext, or TLS only."),
    ] = None,
    password_file: Annotated[
        str | None, typer.Option(help="File whose first line is the password.")
    ] = None,
    server: Annotated[
        str | None, typer.Option(help="Server program; found on PATH by default.")
    ] = None,
    api_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of the ElastiCache API.")
    ] = 0,
    detect_s: Annotated[
        float, typer.Option(min=0, help="Delay before a forced promotion.")
    ] = 3.0,
    event_delay_s: Annotated[
        float, typer.Option(min=0, help="Delay until events can be seen.")
    ] = 0.0,
    modifying_delay_s: Annotated[
        float, typer.Option(min=0, help="Delay until an accepted change shows.")
    ] = 1.0,
    settle_delay_s: Annotated[
        float, typer.Option(min=0, help="Delay until a finished change settles.")
    ] = 1.0,
    endpoint_delay_s: Annotated[
        float,
        typer.Option(min=0, help="Delay of the endpoint without cluster mode."),
    ] = 1.0,
    endpoint_ttl_s: Annotated[
        int, typer.Option(min=0, help="TTL of the name server's answers.")
    ] = 1,
    maintenance_delay_s: Annotated[
        float | None,
        typer.Option(min=0, help="When changes not applied immediately are applied."),
    ] = None,
    log_level: LogLevel = "info",
) -> None:
    """Start a local cluster and its ElastiCache API in the background."""
    from loadprobe.local.background import up
    from loadprobe.local.serve import LocalOptions

    if not tls and tls_mode not in (None, "none"):
        raise UsageError(
            f"loadprobe local up: --no-tls with --tls-mode {tls_mode}: give one of them"
        )
    options = {
        "name": name,
        "shards": shards if shards is not None else (3 if cluster_mode else 1),
        "replicas": replicas,
        "cluster_mode": cluster_mode,
        "tls": tls,
        "tls_mode": tls_mode,
        "password_file": password_file,
        "server": server,
        "api_port": api_port,
        "detect_s": detect_s,
        "event_delay_s": event_delay_s,
        "modifying_delay_s": modifying_delay_s,
        "settle_delay_s": settle_delay_s,
        "maintenance_delay_s": maintenance_delay_s,
        "endpoint_delay_s": endpoint_delay_s,
        "endpoint_ttl_s": endpoint_ttl_s,
        "log_level": log_level,
    }
    try:
        checked = msgspec.convert(options, LocalOptions)
    except msgspec.ValidationError as exc:
        raise UsageError(f"loadprobe local up: {exc}") from exc
    state = run_async(up(checked, progress=lambda text: print(text, file=sys.stderr)))
    _print_local(state)


@local_app.command("down")
def local_down(
    *, name: Annotated[str, typer.Option(help="Name of the cluster.")] = "local"
) -> None:
    """End a local cluster that ``local up`` started."""
    from loadprobe.local.background import down

    ended = run_async(down(name))
    print(f"{name}: {'not running' if ended is None else 'ended'}")


@local_app.command("status")
def local_status(
    *, name: Annotated[str, typer.Option(help="Name of the cluster.")] = "local"
) -> None:
    """Show where a local cluster is reached, and the groups of its API."""
    from loadprobe.local.background import list_groups, status

    state = status(name)
    if state is None:
        raise UsageError(
            f"no local cluster {name!r} runs; start it: "
            f"loadprobe local up --name {name}"
        )
    groups = run_async(list_groups(state))
    _print_local(state)
    print("\n# groups" if groups else "\n# no groups")
    for group in groups:
        where = f" at {group.host}:{group.port}" if group.port is not None else ""
        trust = f", CA {group.ca_file}" if group.ca_file is not None else ""
        print(
            f"# {group.group_id}: {group.status}, {group.engine}, "
            f"{group.shards} shards, {group.nodes} nodes, TLS {group.tls_mode}"
            f"{where}{trust}"
        )


def _print_local(state: "LocalState") -> None:
    """Print where a local cluster is reached, ready to be pasted into a CONFIG."""
    lines = [f"# local cluster {state.name!r}, process {state.pid}"]
    if state.replication_group_id:
        lines += ["[target]", f'host = "{state.host}"', f"port = {state.port}"]
        if not state.cluster_mode:
            lines.append("cluster = false")
            lines.append(f'name_server = "{state.name_server}"')
    elif state.ca_file is not None:
        lines.append("[target]")  # of groups that are yet to be created
        lines.append(f'name_server = "{state.name_server}"')
    if state.tls_port is not None:
        lines.append(f"tls_port = {state.tls_port}")
    if state.ca_file is not None:
        lines.append(f'ca_file = "{state.ca_file}"')
    if state.password_file is not None:
        lines.append(f'password_file = "{state.password_file}"')
    if lines[1:]:
        lines.append("")
    lines.append("[control]")
    if state.replication_group_id:
        lines.append(f'replication_group = "{state.replication_group_id}"')
    lines.append(f'endpoint_url = "{state.endpoint_url}"')
    print("\n".join(lines))


def main() -> None:
    """Run a command; print an error a person can act on as one line."""
    try:
        code = app(prog_name="loadprobe", standalone_mode=False)
    except _WrongCommand as exc:
        _explain(exc)
        code = UsageError.exit_code
    except LoadprobeError as exc:
        # One line, whatever a file or server put in; a report of a defect has more.
        is_usage = isinstance(exc, UsageError)
        text = " ".join(str(exc).split()) if is_usage else str(exc)
        print(f"loadprobe: {text}", file=sys.stderr)
        code = exc.exit_code
    except KeyboardInterrupt:
        code = EXIT_INTERRUPTED
    sys.exit(code)


def _explain(exc: Any) -> None:
    """Say in one line what is wrong with the command; it is empty if help was shown."""
    context = getattr(exc, "ctx", None)
    command = context.command_path if context is not None else "loadprobe"
    text = " ".join(exc.format_message().split()).removesuffix(".")
    if text:
        print(f"loadprobe: {text}; see {command} --help", file=sys.stderr)
