"""The commands. The only module that prints and decides on exit codes.

Exit codes: 0 ok, 1 the run failed, 2 usage or preflight, 3 thresholds not met,
130 interrupted hard (second Ctrl-C).
"""

import asyncio
import re
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, cast

import msgspec
import typer
import uvloop

from loadprobe import __version__
from loadprobe.config import Config
from loadprobe.config_file import load_config
from loadprobe.errors import LoadprobeError, PreflightError, UsageError

if TYPE_CHECKING:
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


def run_async(main: Coroutine[object, object, T]) -> T:
    """Run on uvloop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


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
) -> None:
    """Fail a shard of a real local cluster over, under load, and tell what happened.

    No AWS and no configuration: servers of this machine on loopback, TCP and TLS lanes.
    """
    from loadprobe.demo import run_demo

    raise typer.Exit(
        run_async(run_demo(shards=shards, duration_s=seconds, output_dir=output))
    )


@app.command()
def run(
    config: ConfigPath,
    *,
    duration: Annotated[
        str | None,
        typer.Option("--for", help="How long, for example 90s or 10m; else for ever."),
    ] = None,
    failover: Annotated[
        str | None,
        typer.Option(
            metavar="SHARD",
            help="Fail this shard over through the ElastiCache API, for example 0002. "
            "Without it nothing of the cluster is changed.",
        ),
    ] = None,
    failover_after: Annotated[
        str, typer.Option(help="Load before the failover, the baseline.")
    ] = "5s",
) -> None:
    """Put load on a cluster and measure its downtime until SIGTERM or --for."""
    from loadprobe.supervisor import RunOptions, run_load

    loaded = load_config(config)
    options = RunOptions(
        duration_s=(
            parse_duration(duration, option="--for") if duration is not None else None
        ),
        failover=failover,
        failover_after_s=parse_duration(failover_after, option="--failover-after"),
    )
    raise typer.Exit(run_async(run_load(loaded, options)))


@app.command()
def check(config: ConfigPath) -> None:
    """Check everything that can be found out before a run; change nothing."""
    loaded = load_config(config)
    run_async(_check(loaded, config))


async def _check(config: Config, path: str) -> None:
    from loadprobe.outputs.terminal import make_console
    from loadprobe.preflight import preflight

    console = make_console()
    failed: list[str] = []
    async for line in preflight(config):
        mark = "[green]pass[/green]" if line.passed else "[red]FAIL[/red]"
        console.print(f"{mark}  {line.name:<14} ", end="")
        console.print(line.detail, markup=False, highlight=False, soft_wrap=True)
        if not line.passed:
            failed.append(f"{line.name}: {line.detail}")
    if failed:
        more = f" (and {len(failed) - 1} more, see above)" if failed[1:] else ""
        raise PreflightError(f"{path} cannot be run: {failed[0]}{more}")
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
    from loadprobe.outputs.report import render_json, render_text
    from loadprobe.outputs.run_reader import load_run
    from loadprobe.outputs.terminal import make_console

    data = load_run(run_folder)
    if as_json:
        sys.stdout.buffer.write(render_json(data))
        sys.stdout.buffer.write(b"\n")
    else:
        make_console().print(render_text(data))


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


@local_app.command("up")
def local_up(
    *,
    name: Annotated[str, typer.Option(help="Name of the cluster.")] = "local",
    shards: Annotated[int, typer.Option(min=1, max=90)] = 3,
    replicas: Annotated[int, typer.Option(min=0, max=5, help="Per shard.")] = 1,
    tls: Annotated[bool, typer.Option(help="Serve TLS beside plaintext.")] = True,
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
) -> None:
    """Start a local cluster and its ElastiCache API in the background."""
    from loadprobe.local.background import up
    from loadprobe.local.serve import LocalOptions

    options = {
        "name": name,
        "shards": shards,
        "replicas": replicas,
        "tls": tls,
        "password_file": password_file,
        "server": server,
        "api_port": api_port,
        "detect_s": detect_s,
        "event_delay_s": event_delay_s,
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
    """Show where a local cluster is reached."""
    from loadprobe.local.background import status

    state = status(name)
    if state is None:
        raise UsageError(
            f"no local cluster {name!r} runs; start it: "
            f"loadprobe local up --name {name}"
        )
    _print_local(state)


def _print_local(state: "LocalState") -> None:
    """Print where a local cluster is reached, ready to be pasted into a CONFIG."""
    lines = [
        f"# local cluster {state.name!r}, process {state.pid}",
        "[target]",
        f'host = "{state.host}"',
        f"port = {state.port}",
    ]
    if state.tls_port is not None:
        lines += [f"tls_port = {state.tls_port}", f'ca_file = "{state.ca_file}"']
    if state.password_file is not None:
        lines.append(f'password_file = "{state.password_file}"')
    lines += [
        "",
        "[control]",
        f'replication_group = "{state.replication_group_id}"',
        f'endpoint_url = "{state.endpoint_url}"',
    ]
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
