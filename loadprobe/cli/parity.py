"""The command that compares the data of two servers or clusters."""

import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from loadprobe.cli.durations import parse_duration
from loadprobe.cli.quick import Quick, refuse_bare_endpoint, with_cluster_mode
from loadprobe.cli.saying import say, warn
from loadprobe.cli.scenarios import LogLevel, run_async
from loadprobe.config.file import parse_config
from loadprobe.config.keys import Config
from loadprobe.config.toml import read_file
from loadprobe.config.url import is_url
from loadprobe.errors import LoadprobeError, UsageError
from loadprobe.harmless import harmless_json

if TYPE_CHECKING:
    from loadprobe.parity.parity import Parity, ParityPlan, ParityProgress

_EXIT_NOT_COMPLETE = 1
_EXIT_DIFFERENT = 3
_TOLD_EVERY_S = 5.0
_KEYS_PER_S = 10_000
_SOURCE = "The source, if it is a URL"
_TARGET = "The target, if it is a URL"


def _env(panel: str) -> typer.models.OptionInfo:
    help_ = "Environment variable with the password."
    option: typer.models.OptionInfo = typer.Option(
        metavar="NAME", help=help_, rich_help_panel=panel
    )
    return option


def _file(panel: str) -> typer.models.OptionInfo:
    help_ = "File with the password in line 1."
    option: typer.models.OptionInfo = typer.Option(
        metavar="FILE", help=help_, rich_help_panel=panel
    )
    return option


def _ca(panel: str) -> typer.models.OptionInfo:
    help_ = "Certificate authorities to trust (those of the system)."
    option: typer.models.OptionInfo = typer.Option(
        metavar="FILE", help=help_, rich_help_panel=panel
    )
    return option


@dataclass(frozen=True, slots=True)
class _End:
    """One end of the comparison, as the command names it."""

    name: str
    place: str
    said: Quick


def parity(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE", help="redis[s]://[user@]host:port, or a file."
        ),
    ],
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET", help="redis[s]://[user@]host:port, or a file."
        ),
    ],
    *,
    prefix: Annotated[str, typer.Option(help="Only keys whose names begin so.")] = "",
    sample: Annotated[
        float,
        typer.Option(
            min=0.0,
            max=1.0,
            help="Look at this share of the keys: 0.01 is a hundredth.",
        ),
    ] = 1.0,
    rate: Annotated[
        int,
        typer.Option(
            min=0, help="Keys to look at a second at most; 0: as many as can be."
        ),
    ] = _KEYS_PER_S,
    settle: Annotated[
        str,
        typer.Option(help="A difference counts if it stands unchanged for so long."),
    ] = "5s",
    ttl_tolerance: Annotated[
        str, typer.Option(help="By how much TTLs may differ.")
    ] = "2s",
    state: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Keep there how far it is, and go on from there."
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Machine-readable, on standard output.")
    ] = False,
    source_password_env: Annotated[str | None, _env(_SOURCE)] = None,
    source_password_file: Annotated[str | None, _file(_SOURCE)] = None,
    source_cacert: Annotated[str | None, _ca(_SOURCE)] = None,
    target_password_env: Annotated[str | None, _env(_TARGET)] = None,
    target_password_file: Annotated[str | None, _file(_TARGET)] = None,
    target_cacert: Annotated[str | None, _ca(_TARGET)] = None,
    log_level: LogLevel = "warning",
) -> None:
    """Compare the data of two servers or clusters, both ways; only read.

    Exit code 3: something differs.
    """
    from loadprobe.core.parity.state import ParityTerms
    from loadprobe.parity.parity import ParityPlan

    if not sample:
        raise UsageError("--sample 0 looks at nothing; give a share above 0")
    ends = [
        _End(
            "source",
            source,
            Quick(
                cacert=source_cacert,
                password_env=source_password_env,
                password_file=source_password_file,
            ),
        ),
        _End(
            "target",
            target,
            Quick(
                cacert=target_cacert,
                password_env=target_password_env,
                password_file=target_password_file,
            ),
        ),
    ]
    configs = [_config(end) for end in ends]
    tolerance_s = parse_duration(ttl_tolerance, option="--ttl-tolerance")
    plan = ParityPlan(
        # Where they are is completed when that is known.
        terms=ParityTerms("", "", prefix.encode(), sample, tolerance_s),
        keys_per_s=rate,
        settle_s=parse_duration(settle, option="--settle"),
        state_path=state,
    )
    running = _compare(configs, plan, as_json=as_json)
    raise typer.Exit(run_async(running, log_level=log_level))


def _config(end: _End) -> Config:
    """Return the configuration of an end; the environment has a word in neither."""
    if is_url(end.place):
        return end.said.config(end.place, where=end.name.upper(), environ={})
    if end.said != Quick():
        raise UsageError(
            f"--{end.name}-... options are for a URL; set it in {end.place}"
        )
    refuse_bare_endpoint(end.place)
    return parse_config(read_file(end.place), where=end.place, environ={})


async def _compare(configs: list[Config], plan: "ParityPlan", *, as_json: bool) -> int:
    import msgspec

    from loadprobe.parity.opening import make_side, open_sides
    from loadprobe.parity.parity import Parity
    from loadprobe.parity.state_file import load_state
    from loadprobe.signals import Stopping

    first, second = [await _completed(config) for config in configs]
    source, target = make_side("source", first), make_side("target", second)
    terms = msgspec.structs.replace(
        plan.terms, source=source.where, target=target.where
    )
    plan = plan.with_terms(terms)
    state = load_state(plan.state_path, terms) if plan.state_path else None
    stopping = Stopping()
    try:
        for warning in await open_sides(source, target):
            warn(f"loadprobe: {warning}")
        comparison = Parity(source, target, plan, state)
        with stopping.caught(deaf_after=True):
            is_over = await stopping.unless_set(_run(comparison))
            comparison.save()
    finally:
        source.close()
        target.close()
    _report(comparison, as_json=as_json)
    figures = comparison.figures
    if is_over and figures.tally.different:
        return _EXIT_DIFFERENT
    return 0 if figures.is_complete else _EXIT_NOT_COMPLETE


async def _completed(config: Config) -> Config:
    """Return a configuration with what endpoint or API tell."""
    from loadprobe.control.provider.shared import SharedApi
    from loadprobe.run.plan import RunOptions
    from loadprobe.run.preparing import plan_run

    if config.control is not None:
        async with SharedApi() as shared:
            plan, _ = await plan_run(config, RunOptions(), shared)
            return plan.config
    return await with_cluster_mode(config, wait_s=None)


async def _run(comparison: "Parity") -> bool:
    """Compare, and tell how far it is; True when it is over.

    Raises:
        LoadprobeError: a side does not answer any more, or refuses. What was found
            until then is kept.
    """
    from loadprobe.run.endings import first_error

    try:
        async with asyncio.TaskGroup() as group:
            telling = group.create_task(_tell(comparison))
            await comparison.run()
            telling.cancel()
    except BaseExceptionGroup as failed:
        error = first_error(failed)
        if isinstance(error, LoadprobeError):
            comparison.save()
        raise error from failed
    return True


async def _tell(comparison: "Parity") -> None:
    """Tell how far it is, again and again."""
    before = comparison.looked
    while True:
        await asyncio.sleep(_TOLD_EVERY_S)
        now = comparison.looked
        warn(_line(comparison.progress(max(0, now - before) / _TOLD_EVERY_S)))
        before = now


def _line(progress: "ParityProgress") -> str:
    of = f" of about {progress.total:,}" if progress.total else ""
    left = ""
    if progress.left_s is not None:
        minutes, seconds = divmod(round(progress.left_s), 60)
        left = f", about {minutes} min {seconds:02} s left"
    return (
        f"{progress.direction}: {progress.done:,}{of} keys, "
        f"{progress.keys_per_s:,.0f} keys/s{left}; {progress.different:,} differ, "
        f"{progress.suspects:,} to be looked at again"
    )


def _report(comparison: "Parity", *, as_json: bool) -> None:
    import orjson

    from loadprobe.core.parity.report import parity_document, parity_lines

    if as_json:
        document = orjson.dumps(
            parity_document(comparison.figures), option=orjson.OPT_INDENT_2
        )
        sys.stdout.buffer.write(harmless_json(document) + b"\n")
        sys.stdout.buffer.flush()
    else:
        say("\n".join(map(_one_line, parity_lines(comparison.figures))))


def _one_line(text: str) -> str:
    """Return a text that stays on its line, whatever is in the names of keys."""
    return text.replace("\n", "\\n").replace("\t", "\\t")
