"""``loadprobe bench``: the same thing many times, in many ways, and then compared.

Imports what it needs inside of its functions, so that --help stays fast.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from loadprobe.cli.saying import say, warn
from loadprobe.cli.scenarios import LogLevel, run_async
from loadprobe.errors import UsageError

if TYPE_CHECKING:
    from loadprobe.bench.axes import Axis
    from loadprobe.bench.manifest import BenchManifest, Where

_MOST_SEED = 1_000_000


def bench(
    config: Annotated[
        str | None,
        typer.Argument(
            metavar="CONFIG",
            help="TOML file. Without [target] and [control] in it, every cell has a "
            "local cluster of its own.",
        ),
    ] = None,
    *,
    scenario: Annotated[
        str | None,
        typer.Option(
            metavar="NAME_OR_FILE",
            help="What is done to the cluster in each cell; nothing without it.",
        ),
    ] = None,
    duration: Annotated[
        str | None,
        typer.Option("--for", help="Load of each cell, for example 30s."),
    ] = None,
    capacity: Annotated[
        bool,
        typer.Option(
            "--capacity",
            help="Each cell finds the highest rate that meets [slo]; --for is the "
            "length of a trial.",
        ),
    ] = False,
    repeat: Annotated[int, typer.Option(min=1, help="Runs of each cell.")] = 6,
    shards: Annotated[str | None, typer.Option(help="For example 2,3,4.")] = None,
    replicas: Annotated[str | None, typer.Option(help="Of each shard: 1,2.")] = None,
    engine: Annotated[
        str | None, typer.Option(help="For example redis-7.0,valkey-9.1.")
    ] = None,
    driver: Annotated[
        str | None, typer.Option(help="Of all lanes, for example wire,redis-py.")
    ] = None,
    tls: Annotated[str | None, typer.Option(help="Of all lanes: on,off.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUES",
            help="A key of the configuration, for example lanes.read_ratio=0.5,0.9.",
        ),
    ] = None,
    variables: Annotated[
        list[str] | None,
        typer.Option("--var", metavar="KEY=VALUES", help="A variable of the scenario."),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(min=0, max=_MOST_SEED, help="Of the order; drawn without it."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder; runs/<utc>-bench without it.")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Go on with this bench.")
    ] = None,
    create: Annotated[
        str | None,
        typer.Option(
            metavar="NODE_TYPE",
            help="Create the group of [control] for each cell, and delete it after it.",
        ),
    ] = None,
    yes_create: Annotated[
        bool, typer.Option("--yes-create", help="Agree to what that costs.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Agree to changes of the given cluster.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Tell what would be run; run nothing.")
    ] = False,
    log_level: LogLevel = "warning",
) -> None:
    """Run a matrix of cells in random order, each many times, and compare them."""
    from loadprobe.bench.manifest import read_manifest, write_manifest
    from loadprobe.bench.runner import set_aside_unended

    if resume is not None:
        if config is not None:
            raise UsageError("--resume needs no CONFIG: the folder holds it")
        folder, manifest = resume, read_manifest(resume)
        set_aside_unended(folder, manifest)
    else:
        if config is None:
            raise UsageError(
                "name a CONFIG, or a folder to go on with: --resume FOLDER"
            )
        axes = _axes(
            {
                "shards": shards,
                "replicas": replicas,
                "engine": engine,
                "driver": driver,
                "tls": tls,
            },
            settings or [],
            variables or [],
        )
        manifest = _manifest(
            config,
            scenario,
            axes,
            repeats=repeat,
            seed=seed,
            duration=duration or "",
            node_type=create,
            finds_capacity=capacity,
        )
        folder = output or _new_folder(manifest)
    _explain(manifest, folder)
    if dry_run:
        return
    _agree(manifest, is_created=yes_create, is_changed=yes)
    if resume is None:
        write_manifest(folder, manifest)
    is_whole = run_async(_run(folder, manifest), log_level=log_level)
    if not is_whole:
        say(f"stopped; go on with: loadprobe bench --resume {folder}")
        raise typer.Exit(1)
    _compare(folder)


def _axes(
    named: dict[str, str | None], settings: list[str], variables: list[str]
) -> "list[Axis]":
    from loadprobe.bench.axes import parse_axis

    axes = [parse_axis(name, text) for name, text in named.items() if text is not None]
    for option, prefix, texts in (
        ("--set", "", settings),
        ("--var", "var.", variables),
    ):
        for text in texts:
            key, equals, values = text.partition("=")
            if not (key and equals):
                raise UsageError(f"{option} {text!r} is not of the form KEY=VALUES")
            axes.append(parse_axis(prefix + key, values))
    return axes


def _manifest(
    path: str,
    scenario: str | None,
    axes: "list[Axis]",
    *,
    repeats: int,
    seed: int | None,
    duration: str,
    node_type: str | None,
    finds_capacity: bool,
) -> "BenchManifest":
    """Return the bench, after everything was checked that can be."""
    import platform
    from secrets import randbelow

    from loadprobe import __version__
    from loadprobe.bench.capacity import check_capacity
    from loadprobe.bench.cell_files import make_config, make_scenario
    from loadprobe.bench.manifest import BenchManifest
    from loadprobe.bench.places import check_axes
    from loadprobe.cli.durations import parse_duration
    from loadprobe.config.file import parse_config
    from loadprobe.config.toml import decode, read_file
    from loadprobe.control.scenario.file import find_scenario

    if duration:
        parse_duration(duration, option="--for")
        if finds_capacity and scenario is not None:
            raise UsageError("--capacity is about a steady load: leave --scenario out")
    elif scenario is None:
        raise UsageError("without --scenario a cell needs a length; give --for")
    text = read_file(path)
    where = _where(decode(text, where=path), node_type)
    file = find_scenario(scenario) if scenario is not None else None
    manifest = BenchManifest(
        config=text,
        config_name=path,
        scenario=read_file(file) if file is not None else "",
        scenario_name=file.name if file is not None else "",
        axes=axes,
        repeats=repeats,
        seed=randbelow(_MOST_SEED) if seed is None else seed,
        duration=duration,
        where=where,
        node_type=node_type or "",
        versions={"loadprobe": __version__, "python": platform.python_version()},
        finds_capacity=finds_capacity,
    )
    check_axes(manifest)
    sections = {"target": {"host": "local"}} if where == "local" else {}
    for cell in manifest.cells():
        made = make_config(text, cell.values, sections=sections, where=path)
        if finds_capacity:
            check_capacity(parse_config(made, where=path))
        if file is not None:
            make_scenario(
                manifest.scenario,
                cell.values,
                create=None,
                where=manifest.scenario_name,
            )
    return manifest


def _where(raw: dict[str, object], node_type: str | None) -> "Where":
    if node_type is not None:
        if "control" not in raw:
            raise UsageError(
                "--create needs to know which group to create: add [control] "
                "replication_group to the configuration"
            )
        return "created"
    return "given" if {"target", "control"} & raw.keys() else "local"


def _new_folder(manifest: "BenchManifest") -> Path:
    from datetime import UTC, datetime

    from loadprobe.clock import NS_PER_S, wall_now_ns

    at = datetime.fromtimestamp(wall_now_ns() // NS_PER_S, UTC)
    what = Path(manifest.scenario_name).stem or "load"
    return Path("runs") / f"{at:%Y%m%dT%H%M%SZ}-bench-{what}"


def _explain(manifest: "BenchManifest", folder: Path) -> None:
    """Say what is going to be run, and what that costs."""
    from loadprobe.bench.places import node_count

    cells = manifest.cells()
    points = len(cells) // manifest.repeats
    say(f"{points} cells x {manifest.repeats} repeats = {len(cells)} runs in {folder}")
    for axis in manifest.axes:
        say(f"  {axis.name}: {', '.join(axis.values)}")
    say(f"  order: random, seed {manifest.seed}")
    if manifest.where == "created":
        nodes = sum(node_count(cell.values) for cell in cells)
        say(
            f"  creates {len(cells)} groups one after the other, {nodes} nodes of "
            f"{manifest.node_type} in all, and deletes each after its run. That costs "
            f"{nodes} node hours or more (a part of an hour is billed as a whole one)"
        )


def _agree(manifest: "BenchManifest", *, is_created: bool, is_changed: bool) -> None:
    if manifest.where == "created" and not is_created:
        raise UsageError("nothing was created; agree to what it costs: --yes-create")
    if manifest.where == "given" and manifest.scenario and not is_changed:
        raise UsageError(
            f"scenario {manifest.scenario_name} changes the cluster that the "
            "configuration names, again and again; agree to it: --yes"
        )


async def _run(folder: Path, manifest: "BenchManifest") -> bool:
    from loadprobe.bench.runner import BenchRunner
    from loadprobe.signals import Stopping

    stopping = Stopping()
    with stopping.caught():
        return await BenchRunner(folder, manifest, stopping, tell=say).run()


def _compare(folder: Path) -> None:
    from loadprobe.bench.groups import groups_of_bench
    from loadprobe.cli.compare import write_comparison_page
    from loadprobe.core.comparing.comparison import compare_groups
    from loadprobe.outputs.comparing.markdown import render_markdown
    from loadprobe.outputs.comparing.text import render_comparison
    from loadprobe.outputs.comparing.words import shown_figures
    from loadprobe.outputs.folder.documents import encode_document
    from loadprobe.outputs.live.console import make_console

    groups, axes = groups_of_bench(folder, None, warn)
    document = compare_groups(groups, axes=axes)
    shown = shown_figures(document, chosen=frozenset(), is_full=False)
    (folder / "compare.json").write_bytes(encode_document(document))
    (folder / "compare.md").write_text(render_markdown(document, shown))
    make_console().print(render_comparison(document, shown))
    try:
        write_comparison_page(folder / "compare.html", document, shown)
    except (OSError, UsageError) as exc:  # which costs nothing but the page itself
        warn(f"compare.html was not written: {exc}")
    say(f"Bench: {folder} (compare it again: loadprobe compare {folder})")
    if len(groups) < 2:
        warn("one point only: there is nothing to compare it with")
