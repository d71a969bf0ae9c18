"""``loadprobe compare``: runs beside each other.

Imports what it needs inside of its functions, so that --help stays fast.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from loadprobe.cli.saying import say, warn
from loadprobe.errors import UsageError
from loadprobe.harmless import harmless_json

if TYPE_CHECKING:
    from loadprobe.core.comparing.comparison import RunGroup
    from loadprobe.core.comparing.document import (
        ComparisonDocument,
        FigureComparison,
    )

EXIT_NOT_MET = 3
_RUN = "run.json"


def compare(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="[LABEL=]RUN...",
            help="Run folders, or folders of them. All of one label, or of one folder, "
            "are repeats of the same thing; the first is the baseline. Or the folder "
            "of a bench.",
        ),
    ],
    *,
    differs: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY",
            help="What differs on purpose, for example lanes.tls.driver or versions.",
        ),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(metavar="AXIS", help="Group the runs of a bench by this axis."),
    ] = None,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Compare what should not be compared.")
    ] = False,
    figures: Annotated[
        list[str] | None,
        typer.Option("--figure", help="Show this one, for example p99_9_ms."),
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Show every figure.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Machine-readable, on standard output.")
    ] = False,
    as_markdown: Annotated[
        bool, typer.Option("--markdown", help="Markdown, on standard output.")
    ] = False,
    fail_if: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CONDITION",
            help="Exit with 3 if this holds, for example 'dark_ms.p50 > 1.1x' (of the "
            "baseline) or 'dark_ms.max > 500'.",
        ),
    ] = None,
    junit: Annotated[
        Path | None, typer.Option(help="Write the conditions to this file, too.")
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(help="Write a page to this file, too; it opens from disk."),
    ] = None,
) -> None:
    """Compare runs: what differs, by how much, and how sure that is."""
    from loadprobe.core.comparing.comparison import compare_groups
    from loadprobe.core.comparing.conditions import parse_condition
    from loadprobe.outputs.wording import printable

    try:
        conditions = [parse_condition(text) for text in fail_if or ()]
    except ValueError as exc:
        raise UsageError(f"--fail-if {exc}") from exc
    groups, axes = _groups(runs, by)
    document = compare_groups(groups, axes=frozenset([*axes, *(differs or ())]))
    if document.obstacles and not anyway:
        first, *others = document.obstacles
        more = f" (and {len(others)} more)" if others else ""
        raise UsageError(
            f"these runs should not be compared: {first}{more}; name what differs on "
            "purpose with --differs, or compare them with --anyway"
        )
    shown = _shown(document, frozenset(figures or ()), full)
    _show(document, shown, as_json, as_markdown)
    if html is not None:
        try:
            write_comparison_page(html, document, shown)
        except OSError as exc:
            raise UsageError(
                f"--html: cannot write {str(html)!r}: {exc.strerror or exc}"
            ) from exc
    try:
        checked = {c.text: c.check(document) for c in conditions}
    except ValueError as exc:
        raise UsageError(f"--fail-if {exc}") from exc
    if junit is not None:
        _write_junit(junit, document, checked)
    held = [sentence for sentences in checked.values() for sentence in sentences]
    for sentence in held:
        warn(f"loadprobe: {printable(sentence)}")
    if held:
        raise typer.Exit(EXIT_NOT_MET)


def _shown(
    document: "ComparisonDocument", chosen: frozenset[str], is_full: bool
) -> "list[FigureComparison]":
    from loadprobe.outputs.comparing.words import shown_figures

    known = {name for f in document.figures for name in (f.figure, f.kind)}
    if unknown := sorted(chosen - known):
        raise UsageError(
            f"--figure {unknown[0]!r}: no run has it; there are "
            + ", ".join(f.figure for f in document.figures)
        )
    return shown_figures(document, chosen=chosen, is_full=is_full)


def _show(
    document: "ComparisonDocument",
    shown: "Sequence[FigureComparison]",
    as_json: bool,
    as_markdown: bool,
) -> None:
    from loadprobe.outputs.comparing.markdown import render_markdown
    from loadprobe.outputs.comparing.text import render_comparison
    from loadprobe.outputs.folder.documents import encode_document
    from loadprobe.outputs.live.console import make_console

    if as_json:
        sys.stdout.buffer.write(harmless_json(encode_document(document)) + b"\n")
    elif as_markdown:
        say(render_markdown(document, shown), end="")
    else:
        make_console().print(render_comparison(document, shown))


def write_comparison_page(
    path: Path, document: "ComparisonDocument", shown: "Sequence[FigureComparison]"
) -> None:
    """Write the page of a comparison.

    Its runs are read once more, one after the other: together they may be large.

    Args:
        path: of the page.
        document: the comparison.
        shown: those of its figures that are open.

    Raises:
        UsageError: a run cannot be read or shown.
        OSError: the file cannot be written.
    """
    from loadprobe.outputs.comparing.page import make_comparison_page
    from loadprobe.outputs.page.overlay import overlaid_run
    from loadprobe.outputs.page.page import keep_page
    from loadprobe.run.aftermath import load_any_run

    runs = [run for group in document.groups for run in group.runs]
    overlaid = {run: overlaid_run(load_any_run(Path(run))) for run in runs}
    keep_page(path, make_comparison_page(document, shown, overlaid))


def _groups(named: Sequence[str], by: str | None) -> tuple[list["RunGroup"], list[str]]:
    """Return groups of runs, and what differs between them on purpose."""
    from loadprobe.bench.groups import groups_of_bench
    from loadprobe.bench.manifest import is_bench

    if len(named) == 1 and is_bench(Path(named[0])):
        return groups_of_bench(Path(named[0]), by, warn)
    if by is not None:
        raise UsageError(f"--by {by} is about the folder of one bench; name that alone")
    return load_groups(named), []


def load_groups(named: Sequence[str]) -> list["RunGroup"]:
    """Read runs, in the groups in which they are named.

    Args:
        named: ``PATH`` or ``LABEL=PATH``; without a label it is the name of the folder.

    Raises:
        UsageError: there are fewer than two groups, or a folder cannot be read.
    """
    from loadprobe.core.comparing.comparison import RunGroup
    from loadprobe.outputs.comparing.circumstances import compared_run
    from loadprobe.run.aftermath import load_any_run

    folders: dict[str, list[Path]] = {}
    for name in named:
        label, path = _label(name, folders)
        folders.setdefault(label, []).extend(_runs_in(path))
    if len(folders) < 2:
        raise UsageError(
            f"one group of runs ({', '.join(folders)}) cannot be compared; name two or "
            "more folders, or give repeats labels: before=RUN before=RUN after=RUN"
        )
    return [
        RunGroup(label, [compared_run(load_any_run(path)) for path in paths])
        for label, paths in folders.items()
    ]


def _label(name: str, taken: dict[str, list[Path]]) -> tuple[str, Path]:
    label, is_given, path = name.partition("=")
    if is_given and label and not Path(name).exists():
        return label, Path(path)
    label = Path(name).name or name
    # Two folders of one name in different places are two groups.
    return (name if label in taken else label), Path(name)


def _runs_in(path: Path) -> list[Path]:
    """Return a run folder, or those in a folder by name."""
    if (path / _RUN).is_file():
        return [path]
    try:
        inside = sorted(child for child in path.iterdir() if (child / _RUN).is_file())
    except OSError as exc:
        raise UsageError(
            f"cannot read {str(path)!r}: {exc.strerror or exc}; name a run folder, or "
            "a folder of run folders"
        ) from exc
    if not inside:
        raise UsageError(f"{str(path)!r} is no run folder, and there is none in it")
    return inside


def _write_junit(
    path: Path, document: "ComparisonDocument", checked: dict[str, list[str]]
) -> None:
    from loadprobe.outputs.comparing.junit import render_junit

    name = " against ".join(group.label for group in document.groups)
    try:
        path.write_bytes(render_junit(name, checked))
    except OSError as exc:
        raise UsageError(
            f"--junit: cannot write {str(path)!r}: {exc.strerror or exc}"
        ) from exc
