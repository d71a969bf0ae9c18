"""The runs of a bench, in groups that are compared."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from loadprobe.bench.axes import labels_in_order
from loadprobe.bench.manifest import CELLS, Ended, read_ended, read_manifest
from loadprobe.core.comparing.comparison import ComparedRun, RunGroup
from loadprobe.core.comparing.figures import Figure
from loadprobe.core.verdict.quantities import Bounds
from loadprobe.errors import UsageError
from loadprobe.outputs.comparing.reading import RunReader


def groups_of_bench(
    folder: Path, by: str | None, reader: RunReader, warn: Callable[[str], None]
) -> tuple[list[RunGroup], list[str]]:
    """Return the runs of a bench in groups, and what differs between those.

    Args:
        folder: of the bench.
        by: an axis: one group for each of its values; None: one for each point.
        reader: reads the runs.
        warn: takes what is to be known of the figures.

    Raises:
        UsageError: there is no such axis, or a run cannot be read.
    """
    manifest = read_manifest(folder)
    names = [axis.name for axis in manifest.axes]
    if by is not None and by not in names:
        raise UsageError(
            f"--by {by}: {str(folder)!r} has no such axis; it has "
            f"{', '.join(names) or 'none'}"
        )
    values = {cell.label: cell.values for cell in manifest.cells()}
    labels = {
        label: label if by is None else f"{by}={values[label][by]}"
        for label in labels_in_order(manifest.axes)
    }
    runs: dict[str, list[ComparedRun]] = {group: [] for group in labels.values()}
    for ended in read_ended(folder):
        if ended.label not in labels:
            raise UsageError(
                f"{str(folder / CELLS)!r} tells of the cell {ended.label!r}, which "
                "this bench does not have"
            )
        run = reader.read(folder / ended.run)
        runs[labels[ended.label]].append(_with_capacity(run, ended, warn))
    groups = [RunGroup(label, of) for label, of in runs.items() if of]
    differs = [_fact(name) for name in names]
    if manifest.finds_capacity:  # each run is the one at the rate that was found
        differs.append("lanes.rate_per_s")
    return groups, differs


def _with_capacity(
    run: ComparedRun, ended: Ended, warn: Callable[[str], None]
) -> ComparedRun:
    """Return a run with the capacity that its cell found, if it has an upper bound."""
    if ended.capacity_per_s is None:
        return run
    kept, failed = ended.capacity_per_s
    if failed is None:
        warn(
            f"{ended.label}, repeat {ended.repeat}: the capacity is above {kept:,.0f} "
            "per second, where the probe's own limit is"
        )
        return run
    bars = Bounds(kept, kept, failed)
    return replace(run, figures={**run.figures, Figure("capacity_per_s"): bars})


def _fact(axis: str) -> str:
    """Return what an axis is called among the circumstances of a run."""
    return {"driver": "lanes.driver", "tls": "lanes.tls"}.get(axis, axis)
