"""The measuring part of a run: probe processes in, judged arrivals out.

Everything a run needs to measure and nothing it needs to show: the supervisor adds the
controller, the files and the view; a benchmark or a calibration needs none of them.
"""

import asyncio
from array import array
from collections.abc import Callable
from dataclasses import dataclass

from loadprobe.clock import NS_PER_MS, NS_PER_S, mono_now_ns, wall_now_ns
from loadprobe.config import Config
from loadprobe.core.aggregate import Aggregate, LaneInfo, Sealed
from loadprobe.core.columns import Block, Scope
from loadprobe.core.events import Emit, Event
from loadprobe.core.outcome import OpKind
from loadprobe.core.topology import Topology
from loadprobe.probe.fleet import Death, Probe
from loadprobe.probe.messages import (
    FromProbe,
    Plan,
    Progress,
    ReadBack,
    Snapshot,
    Start,
    TopologySeen,
)
from loadprobe.probe.plan import share_out

_HEAD_START_NS = 200 * NS_PER_MS
_DRAIN_PATIENCE_S = 15.0
_SILENCE_NS = 5 * NS_PER_S
_AWAY_NS = NS_PER_S
"""If nothing was sealed for so long, it was us who did not get to run."""


@dataclass(frozen=True, slots=True)
class Prefilled:
    """How far the prefill of all lanes is, in keys."""

    done: int
    written: int
    total: int


def _ignore(_: object) -> None:
    return None


class Measurement:
    """Probe processes, and the aggregate that judges what they send.

    Args:
        config: what to measure and how.
        emit: receives stalls and deaths of probes.
        on_snapshot: receives every snapshot, for its health part.
        on_prefill: receives the progress of the prefill.

    ``end_ns`` is the end of the load (monotonic ns), None before it.
    """

    def __init__(
        self,
        config: Config,
        *,
        emit: Emit = _ignore,
        on_snapshot: Callable[[Snapshot], None] = _ignore,
        on_prefill: Callable[[Prefilled], None] = _ignore,
    ) -> None:
        self._config = config
        self._emit = emit
        self._on_snapshot = on_snapshot
        self._on_prefill = on_prefill
        self._password = config.target.read_password()
        self._shares = share_out(config.lanes)
        self._progress: dict[tuple[int, str], Progress] = {}
        self._known: dict[str, Topology] = {}
        self._heard_ns: dict[int, int] = {}
        self._watermark_ns: dict[int, int] = {}
        self._looked_ns: int | None = None
        self.end_ns: int | None = None
        self.read_backs: list[ReadBack] = []
        self.aggregate = Aggregate(
            [
                LaneInfo(
                    lane.name,
                    lane.tls,
                    tuple(range(lane.processes)),
                    lane.deadline_ms * NS_PER_MS,
                )
                for lane in config.lanes
            ]
        )
        self.probes = [
            Probe(
                self._planner(process),
                on_message=self._take,
                on_death=self._take_death,
                on_restart=self.aggregate.start_process,
            )
            for process in range(len(self._shares))
        ]

    def _planner(self, process: int) -> Callable[[bool], Plan]:
        def plan(is_first: bool) -> Plan:
            return Plan(
                process=process,
                target=self._config.target,
                password=self._password,
                probe=self._config.probe,
                shares=self._shares[process],
                # Microseconds grow faster than any process writes, so versions grow
                # over restarts and runs.
                version_base=wall_now_ns() // 1000,
                prefill=is_first,
                known={} if is_first else self._known,
            )

        return plan

    # --- life --------------------------------------------------------------------

    def spawn(self, group: asyncio.TaskGroup) -> "list[asyncio.Task[None]]":
        """Start the probe processes; a task ends when its process has finished.

        A task raises PreflightError or ProbeCrashed (see ``probe.fleet``).
        """
        return [group.create_task(probe.run()) for probe in self.probes]

    async def wait_until_ready(self) -> None:
        """Wait until every probe is connected and prefilled."""
        for probe in self.probes:
            await probe.ready.wait()

    def begin(self) -> int:
        """Start the load; return when the first arrival is due, monotonic ns."""
        start_ns = mono_now_ns() + _HEAD_START_NS
        for process, probe in enumerate(self.probes):
            self.aggregate.start_process(process, start_ns)
            self._heard_ns[process] = self._watermark_ns[process] = start_ns
            probe.start(Start(start_ns, start_ns))
        return start_ns

    def seal(self) -> Sealed:
        """Judge what has come in; a process that is silent does not hold it up.

        Call it several times a second: what is said while nobody looks is heard late,
        so silence counts only from the first call after a pause of a second or more.
        From the end of the load on there may be silence, and nothing due later is
        judged.
        """
        now_ns = mono_now_ns()
        if self.end_ns is not None:
            return self.aggregate.seal(until_ns=self.end_ns)
        if self._looked_ns is not None and now_ns - self._looked_ns > _AWAY_NS:
            self._heard_ns = dict.fromkeys(self._heard_ns, now_ns)
        self._looked_ns = now_ns
        for process, heard_ns in self._heard_ns.items():
            if now_ns - heard_ns > _SILENCE_NS:
                watermark_ns = self._watermark_ns[process]
                self.aggregate.mark_blind(process, watermark_ns, now_ns - _SILENCE_NS)
        return self.aggregate.seal(until_ns=now_ns)

    async def end(
        self, probing: "list[asyncio.Task[None]]", *, meanwhile: Callable[[], object]
    ) -> int:
        """Stop arrivals, wait until all are settled, end the processes.

        Args:
            probing: what ``spawn`` returned.
            meanwhile: called every 250 ms.

        Returns:
            The end of the load: nothing is due from then on, monotonic ns.
        """
        end_ns = self.end_ns = mono_now_ns()
        for probe in self.probes:
            probe.stop(end_ns)
        waiting = set(probing)
        give_up_ns = end_ns + int(_DRAIN_PATIENCE_S * NS_PER_S)
        while waiting and mono_now_ns() < give_up_ns:
            _, waiting = await asyncio.wait(waiting, timeout=0.25)
            meanwhile()
        self.kill()
        if waiting:
            await asyncio.wait(waiting)
        return end_ns

    def kill(self) -> None:
        """End the processes at once."""
        for probe in self.probes:
            probe.kill()

    # --- what the probes say -------------------------------------------------------

    def _take(self, message: FromProbe) -> None:
        match message:
            case Snapshot():
                self._take_snapshot(message)
            case Progress():
                self._progress[message.process, message.lane] = message
                parts = self._progress.values()
                self._on_prefill(
                    Prefilled(
                        sum(part.done for part in parts),
                        sum(part.written for part in parts),
                        sum(part.total for part in parts),
                    )
                )
            case TopologySeen():
                self._known[message.lane] = message.topology
            case ReadBack():
                self.read_backs.append(message)

    def _take_snapshot(self, snapshot: Snapshot) -> None:
        self._heard_ns[snapshot.process] = mono_now_ns()
        self._watermark_ns[snapshot.process] = snapshot.watermark_ns
        self.aggregate.add(
            snapshot.process,
            {
                Scope(row.lane, row.shard, OpKind(row.op)): Block(
                    _column(row.due),
                    _column(row.sent),
                    _column(row.done),
                    _column(row.failures),
                )
                for row in snapshot.blocks
            },
            watermark_ns=snapshot.watermark_ns,
            stalls=snapshot.stalls,
        )
        self._on_snapshot(snapshot)
        for start_ns, end_ns in snapshot.stalls:
            fields = {
                "process": snapshot.process,
                "duration_ms": (end_ns - start_ns) / NS_PER_MS,
            }
            self._emit(Event(start_ns, "probe", "stall", fields))

    def _take_death(self, death: Death) -> None:
        """Report the death of a probe process: an incident of its own."""
        fields = {"process": death.process, "cause": death.cause}
        self._emit(Event(death.at_ns, "probe", "died", fields))

    @property
    def lost_writes(self) -> int | None:
        """Return how many acknowledged writes are gone; None if some are unchecked."""
        if not self.read_backs or any(result.unread for result in self.read_backs):
            return None
        return sum(result.lost for result in self.read_backs)


def _column(data: bytes) -> "array[int]":
    column: array[int] = array("q")
    column.frombytes(data)
    return column
