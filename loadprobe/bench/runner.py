"""Runs the cells of a bench, one after the other, each in a process of its own.

A cell that has not ended leaves nothing that counts: its run folder is set aside, and
the bench goes on with that very cell the next time.
"""

from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from loadprobe.bench.axes import BenchCell
from loadprobe.bench.capacity import Capacity, find_capacity
from loadprobe.bench.cell_files import make_config, make_scenario, with_rates
from loadprobe.bench.child import ChildRun, run_child, run_folders
from loadprobe.bench.manifest import BenchManifest, Ended, add_ended, read_ended
from loadprobe.bench.places import Place, place_of
from loadprobe.clock import NS_PER_S, mono_now_ns
from loadprobe.config.file import parse_config
from loadprobe.config.keys import Config
from loadprobe.core.verdict.texts import duration_text
from loadprobe.errors import RunError, UsageError
from loadprobe.signals import Stopping

ASIDE = "aside"
FILES = "files"
_JUDGED = {0, 1, 3}
"""Exit codes of runs that ended and were judged, whatever they found."""


class _Found(NamedTuple):
    """What the work of a cell came to."""

    run: Path
    code: int
    capacity_per_s: tuple[float, float | None] | None = None


class BenchRunner:
    """Runs what is left of a bench (see the module).

    Args:
        folder: of the bench.
        manifest: what it is.
        stopping: whether we were told to end.
        tell: takes a line about how it goes.
    """

    def __init__(
        self,
        folder: Path,
        manifest: BenchManifest,
        stopping: Stopping,
        tell: Callable[[str], None],
    ) -> None:
        self._folder = folder
        self._manifest = manifest
        self._stopping = stopping
        self._tell = tell
        self._ended = read_ended(folder)

    async def run(self) -> bool:
        """Run the cells that have not ended; False if we were told to end before all.

        Raises:
            UsageError: a cell cannot be run at all, which ends the bench.
            RunError: a cell ended without having been judged.
        """
        cells = self._manifest.cells()
        done = {(ended.label, ended.repeat) for ended in self._ended}
        for number, cell in enumerate(cells, start=1):
            if (cell.label, cell.repeat) in done:
                continue
            if self._stopping.is_set:
                return False
            left = self._time_left(len(cells) - len(self._ended))
            self._tell(f"[{number}/{len(cells)}] {cell.name}{left}")
            if not await self._run_cell(cell):
                return False
        return True

    def _time_left(self, cells: int) -> str:
        if not self._ended:
            return ""
        each = fmean(ended.seconds for ended in self._ended)
        return f", about {duration_text(round(each * cells * NS_PER_S))} to go"

    async def _run_cell(self, cell: BenchCell) -> bool:
        """Run a cell and write down that it has ended; False if it was told to end."""
        begun_ns = mono_now_ns()
        has_tls = any(lane.tls for lane in self._config_of(cell).lanes)
        async with place_of(self._manifest, cell.values, has_tls=has_tls) as place:
            if self._manifest.finds_capacity:
                found = await self._find_capacity(cell, place)
            else:
                found = await self._run_once(cell, place)
        if found is None:
            return False
        seconds = (mono_now_ns() - begun_ns) / NS_PER_S
        where = str(found.run.relative_to(self._folder))
        ended = Ended(
            cell.label, cell.repeat, where, found.code, seconds, found.capacity_per_s
        )
        self._ended.append(ended)
        add_ended(self._folder, self._ended)
        return True

    async def _run_once(self, cell: BenchCell, place: Place) -> _Found | None:
        """Return the run of a cell and its exit code; None if we were told to end."""
        ran = await self._run_child(cell, place, self._folder / cell.label)
        if ran is None:
            return None
        assert ran.folder is not None
        return _Found(ran.folder, ran.code)

    async def _find_capacity(self, cell: BenchCell, place: Place) -> _Found | None:
        """Return the run at the capacity, and that; None if we were told to end."""
        runs = capacity_folder(self._folder, cell.label, cell.repeat)

        async def run_at(multiple: float) -> ChildRun | None:
            return await self._run_child(cell, place, runs, multiple)

        runs.mkdir(parents=True, exist_ok=True)
        found: Capacity | None = None
        try:
            found = await find_capacity(
                self._config_of(cell), runs, run_at, tell=self._tell
            )
        finally:
            if found is None:
                self._set_aside(runs)
        if found is None:
            return None
        return _Found(found.run, 0, (found.kept_per_s, found.failed_per_s))

    def _config_of(self, cell: BenchCell) -> Config:
        """Return the configuration of a cell, wherever it is run."""
        given = self._manifest
        sections = {"target": {"host": "any"}} if given.where == "local" else {}
        text = make_config(
            given.config, cell.values, sections=sections, where=given.config_name
        )
        return parse_config(text, where="")

    async def _run_child(
        self, cell: BenchCell, place: Place, runs: Path, multiple: float = 1.0
    ) -> ChildRun | None:
        """Run a cell's command to its end; None if we were told to end.

        Args:
            cell: which cell.
            place: where it is run.
            runs: where its run folder is made.
            multiple: of the rates of all lanes.

        Raises:
            UsageError: it cannot be run at all, which ends the bench.
            RunError: it ended without having been judged.
        """
        words = self._write_files(cell, place, runs, multiple)
        log = self._folder / FILES / cell.label / f"repeat-{cell.repeat}.log"
        ran = await run_child(words, runs=runs, log=log, stopping=self._stopping)
        if self._stopping.is_set:
            self._set_aside(ran.folder)
            return None
        if ran.folder is None or ran.code not in _JUDGED:
            self._set_aside(ran.folder)
            kind = UsageError if ran.code == UsageError.exit_code else RunError
            raise kind(f"{cell.name}: the run ended with {ran.code}: {ran.said}")
        return ran

    def _write_files(
        self, cell: BenchCell, place: Place, runs: Path, multiple: float
    ) -> list[str]:
        """Write the files of a cell; return the words of the command that runs it."""
        given = self._manifest
        files = self._folder / FILES / cell.label
        files.mkdir(parents=True, exist_ok=True)
        sections = {name: dict(keys) for name, keys in place.sections.items()}
        sections["output"] = {"dir": str(runs)}
        config = files / "config.toml"
        text = make_config(
            given.config, cell.values, sections=sections, where=given.config_name
        )
        config.write_text(text if multiple == 1 else with_rates(text, multiple))
        words = ["run", str(config)]
        if given.scenario:
            scenario = files / f"{Path(given.scenario_name).stem}.toml"
            scenario.write_text(
                make_scenario(
                    given.scenario,
                    cell.values,
                    create=place.create,
                    where=given.scenario_name,
                )
            )
            words += ["--scenario", str(scenario), "--yes"]
        if given.duration:
            words += ["--for", given.duration]
        return words

    def _set_aside(self, run: Path | None) -> None:
        """Keep the folder of a cell that has not ended where it is not counted."""
        if run is None or not run.exists():
            return
        aside = self._folder / ASIDE
        aside.mkdir(exist_ok=True)
        at, number = aside / _aside_name(run), 1
        while at.exists():
            number += 1
            at = aside / f"{_aside_name(run)}-{number}"
        run.rename(at)


def capacity_folder(folder: Path, label: str, repeat: int) -> Path:
    """Return where the runs of a cell are that finds a capacity."""
    return folder / label / f"capacity-{repeat}"


def set_aside_unended(folder: Path, manifest: BenchManifest) -> None:
    """Set aside what a bench that was killed has left of its last cell."""
    ended = read_ended(folder)
    counted = {folder / each.run for each in ended}
    ends = {(each.label, each.repeat) for each in ended}
    left = [
        run
        for label in dict.fromkeys(cell.label for cell in manifest.cells())
        for run in run_folders(folder / label)
        if run not in counted
    ]
    left += [
        runs
        for cell in manifest.cells()
        if (cell.label, cell.repeat) not in ends
        and (runs := capacity_folder(folder, cell.label, cell.repeat)).exists()
    ]
    for path in left:
        (folder / ASIDE).mkdir(exist_ok=True)
        path.rename(folder / ASIDE / _aside_name(path))


def _aside_name(path: Path) -> str:
    return f"{path.parent.name}-{path.name}"
