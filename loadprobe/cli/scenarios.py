"""What the command line has to do with scenarios: choose, rehearse, ask, clean up.

Imports what it needs inside of its functions, so that --help stays fast.
"""

import asyncio
import sys
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
import uvloop

from loadprobe.cli.saying import say, warn
from loadprobe.config.keys import Config
from loadprobe.errors import ControlError, UsageError
from loadprobe.logs import Level, logging_to_stderr

if TYPE_CHECKING:
    from loadprobe.control.scenario.file import Scenario

T = TypeVar("T")


LogLevel = Annotated[
    Level,
    typer.Option(
        help="What is logged on standard error, and all that is worse: JSON lines, "
        "on a terminal lines for people."
    ),
]


@contextmanager
def one_loop(log_level: Level = "warning") -> Iterator[asyncio.Runner]:
    """Give a uvloop; what is logged meanwhile is on standard error when it is over."""
    with (
        logging_to_stderr(log_level),
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        yield runner


def run_async(main: Coroutine[object, object, T], *, log_level: Level = "warning") -> T:
    """Run on a uvloop of its own (see ``one_loop``)."""
    with one_loop(log_level) as runner:
        return runner.run(main)


def choose_scenario(
    config: Config,
    name: str | None,
    variables: list[str],
    *,
    failover: str | None = None,
    baseline_s: float = 0.0,
) -> "tuple[Config, Scenario]":
    """Return the scenario that the options of a run name, and the configuration for it.

    Args:
        config: what it is about.
        name: name or file of a scenario.
        variables: texts of the form KEY=VALUE.
        failover: shard to fail over instead.
        baseline_s: load before that failover.

    Returns:
        The configuration with the lanes of the scenario, and the scenario.

    Raises:
        UsageError: the options do not name exactly one that fits the configuration.
    """
    from loadprobe.control.scenario.file import load_scenario, with_lanes

    if (name is None) == (failover is None):
        both = "--scenario and --failover exclude each other; give one of them"
        missing = "--var and --dry-run are about a scenario; give --scenario"
        raise UsageError(missing if name is None else both)
    if failover is not None:
        if config.control is None:
            raise UsageError(
                f"--failover {failover} needs to know the replication group: "
                "add [control] replication_group to the configuration"
            )
        shard = failover.zfill(4) if failover.isdigit() else failover
        scenario = load_scenario("failover", {"shard": shard})
        return config, replace(scenario, baseline_s=baseline_s)
    assert name is not None, "one of the two is given"
    scenario = load_scenario(name, _parse_variables(variables))
    return with_lanes(config, scenario, where=name), scenario


def _parse_variables(texts: list[str]) -> dict[str, str]:
    pairs = [text.partition("=") for text in texts]
    for text, (key, equals, _) in zip(texts, pairs, strict=True):
        if not (key and equals):
            raise UsageError(
                f"--var {text!r} is not of the form KEY=VALUE, for example shard=0002"
            )
    return {key: value for key, _, value in pairs}


def confirm_changes(config: Config, scenario: "Scenario", lines: list[str]) -> None:
    """Have a person agree to changes of a group, or cluster, that was there before.

    Raises:
        UsageError: the answer is not its name, or there is nobody to ask.
    """
    from loadprobe.control.scenario.rehearsal import what_changes

    name = what_changes(config, scenario)
    if name is None:
        return
    kind = "cluster at"
    if config.control is not None:
        kind = "serverless cache" if config.control.is_serverless else "group"
    if not sys.stdin.isatty():
        raise UsageError(
            f"scenario {scenario.name} changes the existing {kind} {name}, and there "
            "is no terminal to ask at; look at --dry-run, then give --yes"
        )
    warn("\n".join(lines))
    _ask_for_name(name, question=f"This changes {name}.")


def _ask_for_name(name: str, *, question: str) -> None:
    warn(f"{question} Type its name to go on: ", end="")
    if sys.stdin.readline().strip() != name:
        raise UsageError(f"that is not {name!r}; nothing was changed")


def mention_left_behind() -> None:
    """Say which groups earlier runs created and left behind."""
    from loadprobe.control.created.markers import left_behind

    try:
        found = left_behind()
    except ControlError as exc:  # no reason not to run
        warn(f"loadprobe: {exc}")
        return
    for marker in found:
        warn(
            f"loadprobe: an earlier run created {marker.where} and left it behind; "
            "delete it: loadprobe cleanup"
        )


def scenarios(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Show this one.")
    ] = None,
) -> None:
    """List the scenarios that come with loadprobe, or show one."""
    from loadprobe.config.toml import read_file
    from loadprobe.control.scenario.file import describe_file, find_scenario, shipped

    if name is not None:
        say(read_file(find_scenario(name)), end="")
        return
    width = max(map(len, shipped()), default=0)
    for each, path in shipped().items():
        say(f"{each:<{width}}  {describe_file(path)}")


def cleanup(
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    force: Annotated[
        bool,
        typer.Option("--force", help="Also those of other hosts and containers."),
    ] = False,
) -> None:
    """Delete the groups that earlier runs created and left behind."""
    from loadprobe.control.created.cleanup import clean_up
    from loadprobe.control.created.markers import foreign, left_behind

    found, elsewhere = left_behind(), foreign()
    if force:
        found += elsewhere
    else:
        for marker in elsewhere:
            warn(
                f"loadprobe: {marker.where} is left alone: {marker.owner} created it "
                "and may still run; --force deletes it all the same"
            )
    if not found and not elsewhere:
        say("no run left a group behind")
    problem: ControlError | None = None
    for marker in found:
        if not yes:
            if not sys.stdin.isatty():
                raise UsageError(
                    f"{marker.where} was left behind, and there is no terminal to ask "
                    "at; give --yes to delete it"
                )
            _ask_for_name(
                marker.group, question=f"This deletes {marker.where} with its data."
            )
        try:
            run_async(clean_up(marker, tell=say))
        except ControlError as exc:  # the others are not to wait for this one
            warn(f"loadprobe: {marker.where} is still there: {exc}")
            problem = exc
    if problem is not None:
        raise typer.Exit(problem.exit_code)
