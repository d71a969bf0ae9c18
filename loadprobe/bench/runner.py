"""Runs the cells of a bench, one after the other, each in a process of its own.

A cell that has not ended leaves nothing that counts: its run folder is set aside, and
the bench goes on with that very cell the next time.
"""

import asyncio
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from loadprobe.bench.axes import Cell
from loadprobe.bench.cell_files import make_config, make_scenario
from loadprobe.bench.manifest import Ended, Manifest, add_ended, read_ended
from loadprobe.bench.places import Place, place_of
from loadprobe.clock import NS_PER_S, mono_now_ns
from loadprobe.config.file import parse_config
from loadprobe.core.verdict.texts import duration_text
from loadprobe.errors import RunError, UsageError
from loadprobe.signals import Stopping

ASIDE = "aside"
FILES = "files"
_RUN = "run.json"
_JUDGED = {0, 1, 3}
"""Exit codes of runs that ended and were judged, whatever they found."""


@dataclass(frozen=True, slots=True)
class CellRun:
    """How the run of a cell ended.

    Args:
        code: its exit code.
        folder: its run folder; None if there is none.
        said: the last lines that it printed.
    """

    code: int
    folder: Path | None
    said: str


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
        manifest: Manifest,
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

    async def _run_cell(self, cell: Cell) -> bool:
        """Run a cell and write down that it has ended; False if it was told to end."""
        begun_ns = mono_now_ns()
        values = cell.values
        has_tls = self._has_tls(cell)
        async with place_of(self._manifest, values, has_tls=has_tls) as place:
            words = self._write_files(cell, place)
            ran = await self._run_child(cell, words)
        if self._stopping.is_set:
            self._set_aside(ran.folder)
            return False
        if ran.folder is None or ran.code not in _JUDGED:
            self._set_aside(ran.folder)
            kind = UsageError if ran.code == UsageError.exit_code else RunError
            raise kind(f"{cell.name}: the run ended with {ran.code}: {ran.said}")
        seconds = (mono_now_ns() - begun_ns) / NS_PER_S
        where = str(ran.folder.relative_to(self._folder))
        self._ended.append(Ended(cell.label, cell.repeat, where, ran.code, seconds))
        add_ended(self._folder, self._ended)
        return True

    def _has_tls(self, cell: Cell) -> bool:
        given = self._manifest
        sections = {"target": {"host": "any"}} if given.where == "local" else {}
        text = make_config(
            given.config, cell.values, sections=sections, where=given.config_name
        )
        return any(lane.tls for lane in parse_config(text, where="").lanes)

    def _write_files(self, cell: Cell, place: Place) -> list[str]:
        """Write the files of a cell; return the words of the command that runs it."""
        given = self._manifest
        files = self._folder / FILES / cell.label
        files.mkdir(parents=True, exist_ok=True)
        sections = {name: dict(keys) for name, keys in place.sections.items()}
        sections["output"] = {"dir": str(self._folder / cell.label)}
        config = files / "config.toml"
        config.write_text(
            make_config(
                given.config, cell.values, sections=sections, where=given.config_name
            )
        )
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

    async def _run_child(self, cell: Cell, words: list[str]) -> CellRun:
        """Run a cell's command to its end; a signal to us is passed on to it."""
        runs = self._folder / cell.label
        before = set(_run_folders(runs))
        log = self._folder / FILES / cell.label / f"repeat-{cell.repeat}.log"
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "loadprobe", *words),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,  # signals of the terminal reach us alone
            )
            code = await self._wait_for(process)
        made = sorted(set(_run_folders(runs)) - before)
        said = log.read_text(errors="replace").strip().splitlines()[-1:]
        return CellRun(code, made[-1] if made else None, "".join(said))

    async def _wait_for(self, process: asyncio.subprocess.Process) -> int:
        try:
            code = await self._stopping.unless_set(process.wait())
            if code is None:  # in order: what it created is deleted
                _send(process, signal.SIGTERM)
                code = await self._stopping.unless_urged(process.wait())
            if code is None:
                _send(process, signal.SIGTERM)
                code = await process.wait()
        except BaseException:
            _send(process, signal.SIGTERM)
            raise
        return code

    def _set_aside(self, run: Path | None) -> None:
        """Keep the folder of a cell that has not ended where it is not counted."""
        if run is None or not run.exists():
            return
        aside = self._folder / ASIDE
        aside.mkdir(exist_ok=True)
        run.rename(aside / f"{run.parent.name}-{run.name}")


def set_aside_unended(folder: Path, manifest: Manifest) -> None:
    """Set aside what a bench that was killed has left of its last cell."""
    counted = {folder / ended.run for ended in read_ended(folder)}
    for label in dict.fromkeys(cell.label for cell in manifest.cells()):
        for run in _run_folders(folder / label):
            if run not in counted:
                (folder / ASIDE).mkdir(exist_ok=True)
                run.rename(folder / ASIDE / f"{label}-{run.name}")


def _run_folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return [child for child in folder.iterdir() if (child / _RUN).is_file()]


def _send(process: asyncio.subprocess.Process, signal_number: int) -> None:
    with suppress(ProcessLookupError):
        process.send_signal(signal_number)
