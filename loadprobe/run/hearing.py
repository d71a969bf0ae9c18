"""What the probes of a run say: judged, counted, and told to whom it concerns.

Only what was said is judged. A process that is silent does not hold the others up, and
whether it was silent is decided by who listens: see ``Hearing.seal``.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from loadprobe.clock import NS_PER_MS, NS_PER_S, mono_now_ns
from loadprobe.core.events import Emit, ProbeStalled, RunStalled
from loadprobe.core.judging.aggregate import Aggregate
from loadprobe.core.judging.results import Sealed
from loadprobe.core.topology.shard_names import ShardNames
from loadprobe.core.topology.topology import Topology
from loadprobe.probe.messages import (
    Acknowledged,
    CertificatesRefused,
    FromProbe,
    LoginRenewed,
    LookedUp,
    PrefillProgress,
    ProbeSnapshot,
    ReadBack,
    TopologySeen,
)
from loadprobe.probe.moves import FoundThere, GoneOver, WritesHeld
from loadprobe.probe.translation import read_blocks, translate_health

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


def _ignore_topology(_: Topology) -> None:
    return None


def _ignore_gone(_lane: str, _keys: bytes) -> None:
    return None


def _ignore_lost(_lane: str, _shard: str, _lost: int) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Listeners:
    """Who is told what the probes say.

    Args:
        emit: receives stalls and deaths of probes.
        on_snapshot: receives every snapshot, for its health part.
        on_prefill: receives the progress of the prefill.
        on_lost: receives (lane, shard, number) of lost writes.
        on_acknowledged: receives what a process that comes later may look for.
        on_gone: receives (lane, column of keys) of lost writes.
        on_credentials: receives what became of credentials that were changed.
        on_topology: receives what a lane has found of the cluster.
    """

    emit: Emit = _ignore
    on_snapshot: Callable[[ProbeSnapshot], None] = _ignore
    on_prefill: Callable[[Prefilled], None] = _ignore
    on_lost: Callable[[str, str, int], None] = _ignore_lost
    on_acknowledged: Callable[[Acknowledged], None] = _ignore
    on_gone: Callable[[str, bytes], None] = _ignore_gone
    on_credentials: Callable[[LoginRenewed | CertificatesRefused], None] = _ignore
    on_topology: Callable[[Topology], None] = _ignore_topology


class Hearing:
    """Takes what probes say, and has it judged.

    Args:
        aggregate: judges.
        listeners: who is told.
        on_topology: receives what a lane has connected to, in canonical names.
        on_move: receives what is said of cut-overs and of writes that are held.

    Attributes:
        names: the authority on names of shards; everything that is told here has
            canonical names.
        end_ns: the end of the load (monotonic ns), None before it.
        heard_ns: process -> when it last said something, for those that have begun.
        watermark_ns: the same -> until when it has delivered everything.
        read_backs: what was found of the written keys, lane by lane.
        looked_up: what was found of those of an earlier process, before the load.
        lost_before: writes that were known to be lost when this process began.
        is_forgotten: there are writes that nobody here knows of, to read them back.
        news: set when every process has told something since what there was was judged.
    """

    def __init__(
        self,
        aggregate: Aggregate,
        listeners: Listeners,
        *,
        on_topology: Callable[[TopologySeen, Topology], None],
        on_move: Callable[[WritesHeld | GoneOver | FoundThere], None] = _ignore,
    ) -> None:
        self.names = ShardNames()
        self.end_ns: int | None = None
        self.heard_ns: dict[int, int] = {}
        self.watermark_ns: dict[int, int] = {}
        self.read_backs: list[ReadBack] = []
        self.looked_up: list[LookedUp] = []
        self.lost_before = 0
        self.is_forgotten = False
        self.news = asyncio.Event()
        self._unheard: set[int] = set()
        self._aggregate = aggregate
        self._listeners = listeners
        self._on_topology = on_topology
        self._on_move = on_move
        self._progress: dict[tuple[int, str], PrefillProgress] = {}
        self._looked_ns: int | None = None

    def tell(self, listeners: Listeners) -> None:
        """Tell others from now on."""
        self._listeners = listeners

    def begin(self, process: int, start_ns: int) -> None:
        """Listen to a process from a time on."""
        self._aggregate.start_process(process, start_ns)
        self.heard_ns[process] = self.watermark_ns[process] = start_ns

    def seal(self) -> Sealed:
        """Judge what has come in; a process that is silent does not hold it up.

        Call it several times a second: what is said while nobody looks is heard late,
        so silence counts only from the first call after a pause of a second or more.
        From the end of the load on there may be silence, and nothing due later is
        judged.
        """
        now_ns = mono_now_ns()
        self.news.clear()
        self._unheard = set(self.heard_ns)
        if self.end_ns is not None:
            return self._aggregate.seal(until_ns=self.end_ns)
        if self._looked_ns is not None and now_ns - self._looked_ns > _AWAY_NS:
            self.heard_ns = dict.fromkeys(self.heard_ns, now_ns)
            away_ms = (now_ns - self._looked_ns) / NS_PER_MS
            self._listeners.emit(RunStalled(self._looked_ns, away_ms))
        self._looked_ns = now_ns
        for process, heard_ns in self.heard_ns.items():
            if now_ns - heard_ns > _SILENCE_NS:
                watermark_ns = self.watermark_ns[process]
                self._aggregate.mark_blind(process, watermark_ns, now_ns - _SILENCE_NS)
        return self._aggregate.seal(until_ns=now_ns)

    def take(self, message: FromProbe) -> None:
        """Take a message of a process."""
        match message:
            case ProbeSnapshot():
                self._take_snapshot(message)
            case PrefillProgress():
                self._progress[message.process, message.lane] = message
                parts = self._progress.values()
                self._listeners.on_prefill(
                    Prefilled(
                        sum(part.done for part in parts),
                        sum(part.written for part in parts),
                        sum(part.total for part in parts),
                    )
                )
            case LoginRenewed() | CertificatesRefused():
                self._listeners.on_credentials(message)
            case TopologySeen():
                observer = message.process, message.lane
                topology = self.names.see(observer, message.topology)
                self._on_topology(message, topology)
                self._listeners.on_topology(topology)
            case ReadBack():
                self.read_backs.append(message)
                self._take_lost(message)
            case LookedUp():
                self.looked_up.append(message)
                self._take_lost(message)
            case WritesHeld() | GoneOver() | FoundThere():
                self._on_move(message)
            case Acknowledged():
                self._listeners.on_acknowledged(message)

    def _take_lost(self, found: ReadBack | LookedUp) -> None:
        observer = found.process, found.lane
        for local, lost in found.lost_by_shard.items():
            shard = self.names.canonical(observer, local)
            self._listeners.on_lost(found.lane, shard, lost)
        self._listeners.on_gone(found.lane, found.lost_keys)

    def _take_snapshot(self, snapshot: ProbeSnapshot) -> None:
        process = snapshot.process
        self.heard_ns[process] = mono_now_ns()
        self.watermark_ns[process] = snapshot.watermark_ns
        self._unheard.discard(process)
        if not self._unheard:
            self.news.set()
        self._aggregate.add(
            process,
            read_blocks(snapshot, self.names),
            watermark_ns=snapshot.watermark_ns,
            stalls=snapshot.stalls,
        )
        self._listeners.on_snapshot(translate_health(snapshot, self.names))
        for start_ns, end_ns in snapshot.stalls:
            duration_ms = (end_ns - start_ns) / NS_PER_MS
            self._listeners.emit(ProbeStalled(start_ns, process, duration_ms))

    def lost_writes(self, lanes: Callable[[int], Iterable[str]]) -> int | None:
        """Return how many acknowledged writes are gone; None if some are unchecked.

        Args:
            lanes: returns the names of the lanes of a process.
        """
        heard = {(result.process, result.lane) for result in self.read_backs}
        written = {
            (process, lane) for process in self.heard_ns for lane in lanes(process)
        }
        if not written or heard < written:
            return None
        if any(result.unread or result.expired for result in self.read_backs):
            return None
        if self.is_forgotten or any(found.unread for found in self.looked_up):
            return None
        return self.lost

    @property
    def lost(self) -> int:
        """Return how many acknowledged writes are known to be gone."""
        at_end = sum(result.lost for result in self.read_backs)
        found = sum(sum(each.lost_by_shard.values()) for each in self.looked_up)
        return self.lost_before + found + at_end
