"""What suffers now: measured against the ceilings of the configuration."""

from collections.abc import Callable
from typing import NamedTuple

from loadprobe.clock import NS_PER_MS, NS_PER_S
from loadprobe.config.load import Load
from loadprobe.core.judging.results import Sealed
from loadprobe.core.load.occupancy import Occupancy
from loadprobe.core.load.restraint import Strain
from loadprobe.run.machine import read_steal, usable_cores

_SPAN_NS = 2 * NS_PER_S
"""A share is that of so long a time: ticks of the system are 10 ms."""
_STALE_NS = 10 * NS_PER_S


class _Marks(NamedTuple):
    at_ns: int
    cpu_ns: int
    stolen: int
    ticks: int


class Straining:
    """Compares shares of the machine, and latencies, with their ceilings.

    Args:
        load: the ceilings; what has none is not looked at.
        cpu_ns: returns the CPU time of all our processes.
        occupancy: our share of the servers.
        steal: returns (stolen, all) time of the machine, see ``read_steal``.
        cores: how many there are for us.
    """

    def __init__(
        self,
        load: Load,
        *,
        cpu_ns: Callable[[], int],
        occupancy: Occupancy,
        steal: Callable[[], tuple[int, int]] = read_steal,
        cores: int | None = None,
    ) -> None:
        self.load = load
        self._cpu_ns = cpu_ns
        self._occupancy = occupancy
        self._steal = steal
        self._cores = cores or usable_cores()
        self._before: _Marks | None = None
        self._found: frozenset[Strain] = frozenset()
        self._slow_ns = 0

    def take_sealed(self, sealed: Sealed) -> None:
        """Take the counts and percentiles of the last seconds."""
        self._occupancy.take_seconds(sealed.seconds)
        ceiling_ms = self.load.max_p99_ms
        if ceiling_ms is None or not sealed.p99:
            return
        last = max(row.second for row in sealed.p99)
        worst_ns = max(row.p99_ns for row in sealed.p99 if row.second == last)
        is_slow = worst_ns > ceiling_ms * NS_PER_MS
        self._slow_ns = (last + 1) * NS_PER_S if is_slow else 0

    def now(self, now_ns: int) -> frozenset[Strain]:
        """Return what suffers; call it several times a second."""
        before = self._before
        if before is None or now_ns - before.at_ns >= _SPAN_NS:
            marks = _Marks(now_ns, self._cpu_ns(), *self._steal())
            self._before = marks
            if before is not None:
                self._found = self._compare(before, marks)
        is_slow = self._slow_ns and now_ns - self._slow_ns < _STALE_NS
        load = self.load
        occupied = self._occupancy.strains(
            load.max_connections_ratio, load.max_operations_ratio, now_ns
        )
        return self._found | occupied | ({Strain.LATENCY} if is_slow else set())

    def _compare(self, before: _Marks, after: _Marks) -> frozenset[Strain]:
        found: set[Strain] = set()
        max_cpu, max_steal = self.load.max_cpu_ratio, self.load.max_steal_ratio
        whole_ns = (after.at_ns - before.at_ns) * self._cores
        if max_cpu is not None and after.cpu_ns - before.cpu_ns > max_cpu * whole_ns:
            found.add(Strain.CPU)
        stolen, ticks = after.stolen - before.stolen, after.ticks - before.ticks
        if max_steal is not None and stolen > max_steal * ticks:
            found.add(Strain.STEAL)
        return frozenset(found)
