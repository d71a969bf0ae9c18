"""The commands: their options, and with which exit codes they end.

Exit codes: 0 ok, 1 the run or its scenario failed, or the scenario was stopped, 2 usage
or preflight, 3 thresholds or expectations not met or data differs, 130 interrupted hard
(a second Ctrl-C, a second or more after the first).
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, cast

import typer

from loadprobe import __version__, compiled, hangup
from loadprobe.cli import quick
from loadprobe.cli.access import access_app
from loadprobe.cli.bench import bench
from loadprobe.cli.check import check
from loadprobe.cli.clean import clean
from loadprobe.cli.compare import compare
from loadprobe.cli.dashboards import dashboards
from loadprobe.cli.durations import parse_duration
from loadprobe.cli.fail_if import FailIf, with_limits
from loadprobe.cli.init import init
from loadprobe.cli.local import local_app
from loadprobe.cli.options import ConfigOrUrl, Full, Junit, Open
from loadprobe.cli.parity import parity
from loadprobe.cli.saying import say, warn
from loadprobe.cli.scenarios import (
    LogLevel,
    choose_scenario,
    cleanup,
    confirm_changes,
    mention_left_behind,
    one_loop,
    run_async,
    scenarios,
)
from loadprobe.cli.webhooks import webhooks_app
from loadprobe.config.file import load_config
from loadprobe.config.keys import Config
from loadprobe.config.url import is_url
from loadprobe.errors import LoadprobeError, UsageError
from loadprobe.harmless import harmless_json
from loadprobe.logs import Level

if TYPE_CHECKING:
    from loadprobe.run.plan import RunOptions

EXIT_INTERRUPTED = 130

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
app.add_typer(access_app, name="access")
app.add_typer(local_app, name="local")
app.add_typer(webhooks_app, name="webhooks")

T = TypeVar("T")


def _show_version(is_asked: bool) -> None:
    if is_asked:
        version()
        raise typer.Exit


@app.callback()
def _options(
    *,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version."
        ),
    ] = False,
) -> None:
    """Take the options that stand before a command."""


@app.command()
def demo(
    *,
    shards: Annotated[int, typer.Option(min=1, max=9, help="Shards.")] = 3,
    seconds: Annotated[
        float, typer.Option(min=10, max=600, help="Length of the load in seconds.")
    ] = 25.0,
    output: Annotated[str, typer.Option(help="Folder for run folders.")] = "runs",
    is_opened: Open = False,
    full: Full = False,
    log_level: LogLevel = "warning",
) -> None:
    """Fail a shard of a real local cluster over, under load, and tell what happened.

    No AWS and no configuration: servers of this machine on loopback, TCP and TLS lanes.
    """
    from loadprobe.cli.demo import run_demo

    running = run_demo(
        shards=shards,
        duration_s=seconds,
        output_dir=output,
        is_full=full,
        is_opened=is_opened,
    )
    raise typer.Exit(run_async(running, log_level=log_level))


@app.command()
def run(
    config: ConfigOrUrl,
    *,
    duration: Annotated[
        str | None,
        typer.Option(
            "--for", "--duration", help="How long at least, for example 90s or 10m."
        ),
    ] = None,
    fail_if: FailIf = None,
    junit: Junit = None,
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
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with the newest run of this configuration that was "
            "interrupted or has ended.",
        ),
    ] = False,
    is_opened: Open = False,
    full: Full = False,
    log_level: LogLevel = "warning",
    rate: quick.Rate = None,
    workers: quick.Workers = None,
    tls: quick.Tls = False,
    cacert: quick.CaFile = None,
    user: quick.User = None,
    password_env: quick.PasswordEnv = None,
    password_file: quick.PasswordFile = None,
    ratio: quick.Ratio = None,
    data_size: quick.DataSize = None,
    keys: quick.Keys = None,
) -> None:
    """Put load on a cluster and measure its downtime until SIGTERM or --for.

    CONFIG is a file, or a URL of the endpoint: redis://host:port.
    """
    said = quick.Quick(
        rate=rate,
        workers=workers,
        tls=tls,
        cacert=cacert,
        user=user,
        password_env=password_env,
        password_file=password_file,
        ratio=ratio,
        data_size=data_size,
        keys=keys,
    )

    if is_url(config):
        hangup.release()  # there is no file to read again

    def read() -> Config:
        return with_limits(_read(config, said), fail_if or ())

    loaded = read()
    duration_s = (
        parse_duration(duration, option="--for") if duration is not None else None
    )
    baseline_s = parse_duration(failover_after, option="--failover-after")
    wait_s = parse_duration(wait, option="--wait") if wait is not None else None
    chosen = None
    if scenario is not None or failover is not None or variables or dry_run:
        loaded, chosen = choose_scenario(
            loaded, scenario, variables or [], failover=failover, baseline_s=baseline_s
        )
    from loadprobe.run.plan import RunOptions  # slow: a wrong command is told before

    code = _run(
        loaded,
        RunOptions(
            duration_s=duration_s,
            scenario=chosen,
            resume=resume,
            reread=None if is_url(config) else read,
            is_full=full,
            junit=junit,
            is_opened=is_opened,
        ),
        wait_s=wait_s,
        is_asked=is_url(config),
        is_dry=dry_run,
        is_agreed=yes or failover is not None,
        log_level=log_level,
    )
    raise typer.Exit(code)


def _read(config: str, said: quick.Quick) -> Config:
    """Return the configuration of a file, or of a URL and what was said beside it."""
    if is_url(config):
        return said.config(config)
    said.refuse(config)
    quick.refuse_bare_endpoint(config)
    return load_config(config)


def _run(
    config: Config,
    options: "RunOptions",
    *,
    wait_s: float | None,
    is_asked: bool,
    is_dry: bool,
    is_agreed: bool,
    log_level: Level,
) -> int:
    """Wait, rehearse, ask and run, with one API that is opened once.

    All is on one event loop, which stands still while a person is asked: what waits at
    a prompt has to be ended by Ctrl-C.

    Args:
        config: what to measure and how.
        options: what the command line adds.
        wait_s: how long to wait for a cluster that is not there yet.
        is_asked: the endpoint tells whether it is in cluster mode.
        is_dry: tell what would be done, and do nothing.
        is_agreed: do not ask before a group is changed.
        log_level: what is logged.
    """
    from loadprobe.control.provider.shared import SharedApi
    from loadprobe.control.scenario.rehearsal import rehearse
    from loadprobe.outputs.live.console import make_console
    from loadprobe.run.launch import launch
    from loadprobe.run.waiting import wait_until_there

    scenario, shared = options.scenario, SharedApi()
    with one_loop(log_level) as runner:
        try:
            if is_asked:
                config = runner.run(quick.with_cluster_mode(config, wait_s=wait_s))
            if wait_s is not None:
                console = make_console()
                waiting = wait_until_there(
                    config,
                    scenario,
                    shared,
                    wait_s=wait_s,
                    console=console,
                    is_reloaded=options.reread is not None,
                )
                code = runner.run(waiting)
                if code is not None:
                    return code
            if scenario is not None:
                lines = runner.run(rehearse(config, scenario, shared))
                if is_dry:
                    say("\n".join(lines))
                    return 0
                if not is_agreed:
                    confirm_changes(config, scenario, lines)
            mention_left_behind()
            return runner.run(launch(config, options, shared, is_last=True))
        finally:
            runner.run(shared.aclose())


app.command()(check)
app.command()(init)
app.command()(scenarios)
app.command()(clean)
app.command()(cleanup)
app.command()(dashboards)
app.command()(bench)
app.command()(compare)
app.command()(parity)


@app.command()
def report(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    *,
    full: Full = False,
    junit: Junit = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Machine-readable, on standard output.")
    ] = False,
    as_markdown: Annotated[
        bool, typer.Option("--markdown", help="For a ticket, on standard output.")
    ] = False,
    as_html: Annotated[
        bool, typer.Option("--html", help="Write the page of the run, and say where.")
    ] = False,
    as_png: Annotated[
        bool,
        typer.Option(
            "--png", help="Draw the verdict and the film, with Chromium, and say where."
        ),
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="With --html or --png: write it here, not to report.html or film.png "
            "in the run folder.",
        ),
    ] = None,
) -> None:
    """Show a run again, also one that was interrupted or still runs."""
    from loadprobe.outputs.live.console import make_console
    from loadprobe.outputs.report.brief import render_brief
    from loadprobe.outputs.report.report import render_json, render_text
    from loadprobe.run.aftermath import load_any_run
    from loadprobe.run.junit import write_junit

    data = load_any_run(run_folder, is_partial=True)
    if junit is not None:
        write_junit(junit, data)
    if as_html or as_png or output is not None:
        from loadprobe.cli.pages import save

        save(data, output, has_page=as_html or not as_png, has_picture=as_png)
    elif as_markdown:
        from loadprobe.outputs.page.markdown import render_markdown

        say(render_markdown(data))
    elif as_json:
        sys.stdout.buffer.write(harmless_json(render_json(data)))
        sys.stdout.buffer.write(b"\n")
    else:
        render = render_text if full else render_brief
        make_console().print(render(data), crop=False)


@app.command()
def version() -> None:
    """Print the version, and whether the loop that measures is compiled."""
    typer.echo(f"{__version__} ({compiled.HOW} loop)")


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
        warn(f"loadprobe: {text}")
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
        warn(f"loadprobe: {text}; see {command} --help")
