"""What a bench is, and how far it is: so it can be gone on with at the very cell.

``bench.json`` is written once, ``cells.ndjson`` grows by a line for each cell that has
ended. What a folder holds beside is the work of a cell that has not.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

from loadprobe.bench.axes import Axis, BenchCell, order_cells
from loadprobe.errors import UsageError
from loadprobe.outputs.folder.regular import read_regular

SCHEMA_VERSION = 1
BENCH = "bench.json"
CELLS = "cells.ndjson"

Where = Literal["local", "given", "created"]
"""``local``: a cluster is made here for each cell; ``given``: the target is there;
``created``: a group is created by the API for each cell, and deleted after it."""


class BenchManifest(msgspec.Struct, frozen=True, kw_only=True):
    """The content of ``bench.json``.

    Args:
        schema_version: version of the format.
        config: the configuration that was given, as TOML.
        config_name: its file, for messages.
        scenario: the scenario, as TOML; "" if nothing is changed.
        scenario_name: its name, for messages.
        axes: what is varied.
        repeats: how often every cell is run.
        seed: of the order.
        duration: as for ``loadprobe run --for``; "" for the length of the scenario.
        where: where the cells are run.
        node_type: of the groups that are created; "" elsewhere.
        versions: of loadprobe and Python.
        finds_capacity: a cell finds the highest rate that meets the thresholds.
    """

    schema_version: int = SCHEMA_VERSION
    config: str
    config_name: str
    scenario: str
    scenario_name: str
    axes: list[Axis]
    repeats: int
    seed: int
    duration: str
    where: Where
    node_type: str
    versions: dict[str, str]
    finds_capacity: bool = False

    def cells(self) -> list[BenchCell]:
        """Return all cells in their order."""
        return order_cells(self.axes, repeats=self.repeats, seed=self.seed)


class Ended(msgspec.Struct, frozen=True):
    """A line of ``cells.ndjson``: a cell that has ended.

    Args:
        label: its point of the matrix.
        repeat: which of its repeats.
        run: its run folder, relative to that of the bench.
        code: exit code of the run.
        seconds: how long it took, with its cluster.
        capacity_per_s: of all lanes: the highest rate that was carried, and the lowest
            one that was not (null if the probe's own limit came first); null if that
            was not asked for.
    """

    label: str
    repeat: int
    run: str
    code: int
    seconds: float
    capacity_per_s: tuple[float, float | None] | None = None


def write_manifest(folder: Path, manifest: BenchManifest) -> None:
    """Begin a bench in a folder.

    Raises:
        UsageError: there is one already, or the folder cannot be written.
    """
    if (folder / BENCH).exists():
        raise UsageError(
            f"{str(folder)!r} holds a bench already; go on with it: loadprobe bench "
            f"--resume {folder}, or choose another folder with --output"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _write(folder / BENCH, msgspec.json.format(msgspec.json.encode(manifest)))
    except OSError as exc:
        raise UsageError(f"cannot write {str(folder)!r}: {exc.strerror}") from exc


def read_manifest(folder: Path) -> BenchManifest:
    """Return what a bench is.

    Raises:
        UsageError: there is none, or it is of another format or damaged.
    """
    path = folder / BENCH
    try:
        manifest = msgspec.json.decode(read_regular(path), type=BenchManifest)
    except OSError as exc:
        raise UsageError(
            f"{str(folder)!r} holds no bench: cannot read {BENCH}: {exc.strerror}"
        ) from exc
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise UsageError(f"{path} is damaged: {exc}") from exc
    if manifest.schema_version != SCHEMA_VERSION:
        raise UsageError(
            f"{path} has schema_version {manifest.schema_version}, expected "
            f"{SCHEMA_VERSION}; use the loadprobe that wrote it"
        )
    return manifest


def is_bench(folder: Path) -> bool:
    """Tell whether a folder holds a bench."""
    return (folder / BENCH).is_file()


def read_ended(folder: Path) -> list[Ended]:
    """Return the cells that have ended; a line that was cut short is none.

    Raises:
        UsageError: the file cannot be read, or is damaged before its end.
    """
    path = folder / CELLS
    ended: list[Ended] = []
    try:
        lines = read_regular(path).splitlines(keepends=True)
    except FileNotFoundError:
        return []
    except OSError as exc:
        raise UsageError(f"cannot read {str(path)!r}: {exc.strerror}") from exc
    for number, line in enumerate(lines, start=1):
        try:
            ended.append(msgspec.json.decode(line, type=Ended))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
            if number == len(lines) and not line.endswith(b"\n"):
                break
            raise UsageError(f"{path}, line {number} is damaged: {exc}") from exc
    return ended


def add_ended(folder: Path, ended: Sequence[Ended]) -> None:
    """Write down which cells have ended, so that it survives the loss of power."""
    lines = b"".join(msgspec.json.encode(cell) + b"\n" for cell in ended)
    _write(folder / CELLS, lines)


def _write(path: Path, content: bytes) -> None:
    """Replace a file by renaming, with its content on the disk before."""
    beside = path.with_name(path.name + ".new")
    with beside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
