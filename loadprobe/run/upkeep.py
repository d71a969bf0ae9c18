"""Has the run folder kept small by a process of its own, and shows how it stands.

The supervisor's loop does not wait for it: it looks at the disk, starts the process
when there is something to do, and reads what that found.
"""

import asyncio
import logging
import os
import sys
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress

import msgspec

from loadprobe.clock import NS_PER_S, mono_now_ns
from loadprobe.config.keys import Output
from loadprobe.outputs.folder.folder import RunFolder
from loadprobe.outputs.folder.retention import Retention
from loadprobe.outputs.folder.upkeep import Order, Report, used_ratio
from loadprobe.outputs.metrics.run_metrics import RunMetrics
from loadprobe.run.incident_keeping import IncidentKeeping

LOOK_EVERY_S = 10.0
KEEP_EVERY_NS = 3600 * NS_PER_S
MAKE_ROOM_EVERY_NS = 60 * NS_PER_S
"""While the disk is too full."""

VERIFY_EVERY_NS = 24 * KEEP_EVERY_NS
LONGEST_S = 1800.0
"""A process that takes longer hangs; the next one goes on where it was."""

MOST_AT_ONCE = 20
"""Folders of incidents that one process makes."""

_MODULE = "loadprobe.outputs.folder.upkeep"

logger = logging.getLogger(__name__)


def retention_of(output: Output) -> Retention:
    """Return what of run folders is kept."""
    return Retention(
        seconds_hours=output.seconds_hours,
        latency_seconds_hours=output.latency_seconds_hours,
        minutes_days=output.minutes_days,
        retain_days=output.retain_days,
        retain_gb=output.retain_gb,
        max_disk_ratio=output.max_disk_ratio,
    )


class FolderUpkeep:
    """Keeps the folder of a run (see the module).

    Args:
        folder: the run folder.
        metrics: where it is shown.
        incidents: of which folders are made.
        held: returns how many of what the supervisor holds.
        withheld: environment variables that the process does not inherit.
        now_ns: monotonic clock.

    Attributes:
        retention: what is kept; may be replaced at any time.
    """

    def __init__(
        self,
        folder: RunFolder,
        retention: Retention,
        metrics: RunMetrics,
        *,
        incidents: IncidentKeeping | None = None,
        held: Callable[[], Mapping[str, int]] = dict,
        withheld: Collection[str] = (),
        now_ns: Callable[[], int] = mono_now_ns,
    ) -> None:
        self.retention = retention
        self._folder = folder
        self._path = folder.path
        self._metrics = metrics
        self._incidents = incidents
        self._held = held
        self._withheld = withheld
        self._now_ns = now_ns
        self._segment = folder.segment
        self._kept_ns = now_ns()
        self._verified_ns: int | None = None
        self._report = Report()
        self._problem = ""

    @property
    def problems(self) -> list[str]:
        """Return what the operator should know, as sentences."""
        texts = []
        if self._problem:
            texts.append(f"the run folder is not kept small: {self._problem}")
        if self._report.damaged:
            texts.append(
                f"{self._report.damaged} files of the run folder are damaged, and were "
                "set aside"
            )
        return texts

    async def run(self) -> None:
        """Look after the folder until cancelled."""
        while True:
            self.look()
            if self.is_due():
                await self.keep()
            await asyncio.sleep(LOOK_EVERY_S)

    def look(self) -> None:
        """Show how much there is, and how much waits or is lost."""
        metrics, folder = self._metrics, self._folder
        metrics.set("folder_disk_used_ratio", value=used_ratio(self._path))
        sizes: dict[tuple[str, ...], float] = {
            ("open",): folder.size_bytes,
            ("segments",): self._report.segments_bytes,
            ("incidents",): self._report.incidents_bytes,
        }
        metrics.replace("folder_bytes", sizes)
        for what, count in self._held().items():
            metrics.set("held_items", what, value=count)
        for name, waiting in folder.waiting_bytes.items():
            metrics.set("folder_waiting_bytes", name, value=waiting)
            metrics.set("folder_lost_chunks_total", name, value=folder.losses[name])

    def is_due(self) -> bool:
        """Tell whether there is something to do."""
        since_ns = self._now_ns() - self._kept_ns
        if self._folder.segment != self._segment or since_ns >= KEEP_EVERY_NS:
            return True
        if self._incidents and self._incidents.waiting and not self._problem:
            return True
        is_full = used_ratio(self._path) > self.retention.max_disk_ratio
        return is_full and since_ns >= MAKE_ROOM_EVERY_NS

    async def keep(self) -> None:
        """Let a process do what is to be done, and show what it found."""
        now_ns = self._kept_ns = self._now_ns()
        self._segment = self._folder.segment
        is_verified = self._verified_ns is not None and (
            now_ns - self._verified_ns < VERIFY_EVERY_NS
        )
        incidents = (
            [] if self._incidents is None else self._incidents.take(MOST_AT_ONCE)
        )
        order = Order(
            str(self._path.absolute()),
            self.retention,
            first_growing=self._folder.first_growing,
            verify=not is_verified,
            incidents=incidents,
        )
        problem = await self._carry_out(order)
        if problem and self._incidents is not None:
            self._incidents.put_back(incidents)
        if problem != self._problem and problem:
            logger.warning("upkeep_failed", extra={"lp_reason": problem})
        self._problem = problem
        if not is_verified and not problem:
            self._verified_ns = now_ns
        self._show()

    async def _carry_out(self, order: Order) -> str:
        """Carry an order out; return what went wrong, "" if nothing did."""
        environment = {k: v for k, v in os.environ.items() if k not in self._withheld}
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                _MODULE,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=environment,
                start_new_session=True,  # a Ctrl-C at the terminal is for us
            )
        except OSError as exc:
            return f"no process can be started: {exc.strerror or exc}"
        try:
            async with asyncio.timeout(LONGEST_S):
                out, err = await process.communicate(msgspec.json.encode(order))
        except TimeoutError:
            return f"it took longer than {LONGEST_S:.0f} s"
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        if process.returncode or not out:
            lines = err.decode(errors="replace").strip().splitlines()
            return lines[-1] if lines else f"exit code {process.returncode}"
        self._report = msgspec.json.decode(out, type=Report)
        self._metrics.add(
            "folder_removed_total", "segments", by=self._report.removed_segments
        )
        self._metrics.add(
            "folder_removed_total", "incidents", by=self._report.removed_incidents
        )
        return self._report.problem

    def _show(self) -> None:
        self._metrics.set("folder_damaged_files", value=self._report.damaged)
        self.look()
