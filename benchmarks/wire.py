"""loadprobe's wire driver: the real thing, recorded, verified, judged.

A child process does what the supervisor does with the arrivals (merge, judge, count),
and spawns the probe processes. The CPU time of all of them is counted: leaving out the
judging would compare half a tool with whole ones.
"""

import asyncio
import sys
from dataclasses import dataclass

import msgspec
import uvloop

from benchmarks.child import COMPILED, ask_child
from benchmarks.measurement import (
    KEYS,
    BenchmarkError,
    Case,
    Measurement,
    Target,
)
from benchmarks.processes import cpu_seconds_of_children
from loadprobe.clock import NS_PER_MS, NS_PER_S, mono_now_ns, process_cpu_ns
from loadprobe.compiled import HOW
from loadprobe.config import keys as config
from loadprobe.core.judging.outcome import OpKind
from loadprobe.core.judging.results import Results
from loadprobe.probe.messages import ProbeSnapshot
from loadprobe.run.hearing import Listeners
from loadprobe.run.load import Measurement as Probing

LANE = "load"
QUANTILES = (0.5, 0.9, 0.99, 0.999, 0.9999, 1.0)
_WARM_UP_S = 0.6
_SEAL_EVERY_S = 0.25
_SPARE_S = 60.0


class Order(msgspec.Struct, frozen=True):
    """What the child shall do.

    Args:
        target: the servers.
        lane: the load.
        seconds: how long to measure.
        server_pid: the process that has the servers as its children; 0 is nobody.
        warm_up_s: load before that.
    """

    target: config.Target
    lane: config.Lane
    seconds: float
    server_pid: int = 0
    warm_up_s: float = _WARM_UP_S


class Probed(msgspec.Struct, frozen=True):
    """What a run did; all but ``measured`` and the CPU times is of the whole load.

    Args:
        measured: from the end of the warm-up to the end of the load.
        probe_cpu_s: the part of the probe processes in its CPU time.
        server_cpu_s: what the servers used meanwhile.
        planned: arrivals that the schedule asked for (open loop).
        served: in time.
        failed: not served, or late.
        skipped: left out, because the probe was blind.
        blind_ms: how long it was.
        lateness_ms: sent - due of the served, by ``QUANTILES``.
        probe_rss_bytes: resident memory of the probe processes at the end.
        loop: "compiled" or "python".
    """

    measured: Measurement
    probe_cpu_s: float
    server_cpu_s: float
    planned: int
    served: int
    failed: int
    skipped: int
    blind_ms: float
    lateness_ms: tuple[float, ...]
    probe_rss_bytes: int
    loop: str

    @property
    def busy_cores(self) -> float:
        """Cores that clients and servers kept busy together."""
        return (self.measured.cpu_seconds + self.server_cpu_s) / self.measured.seconds


def measure(
    target: Target, case: Case, *, seconds: float, compiled: bool = False
) -> Measurement:
    """Measure the load between the end of its warm-up and its own end; see ``Tool``."""
    lane = closed_lane(case)
    return probe(target, lane, seconds=seconds, compiled=compiled).measured


def is_compiled_there() -> bool:
    """Tell whether there is a copy with the compiled loop to measure."""
    return COMPILED.is_dir()


def closed_lane(
    case: Case, *, connections: int | None = None, processes: int = 1
) -> config.Lane:
    """Return the lane of a case.

    Args:
        case: the load; its workers are those of all processes.
        connections: per shard, that all workers share; None is one for each worker.
        processes: probe processes.
    """
    return config.Lane(
        name=LANE,
        tls=case.tls,
        loop="closed",
        workers=case.workers,
        connections=connections,
        pipeline=case.pipeline,
        processes=processes,
        read_ratio=0.5,
        value_bytes=case.value_bytes,
        keys=KEYS,
        ttl_s=0,  # what is beside it sends a plain SET; ``benchmarks.ttl`` has the rest
        connect_rate_per_s=0.0,
    )


def probe(
    target: Target, lane: config.Lane, *, seconds: float, compiled: bool = False
) -> Probed:
    """Run a load in a child process.

    Raises:
        BenchmarkError: it failed, or an operation of a closed loop did, or it did not
            run with the loop that was asked for.
    """
    order = Order(target.as_config(), lane, seconds, target.pid)
    timeout_s = _WARM_UP_S + seconds + _SPARE_S
    probed = ask_child(
        "benchmarks.wire", order, Probed, timeout_s=timeout_s, compiled=compiled
    )
    if (probed.loop == "compiled") is not compiled:
        raise BenchmarkError(
            f"the {probed.loop} loop ran; remove build/compiled, then 'make compiled'"
        )
    if lane.loop == "closed" and probed.failed:
        raise BenchmarkError(
            f"{probed.failed} of {probed.served + probed.failed} operations of the "
            "wire driver were not served in time"
        )
    return probed


@dataclass(frozen=True, slots=True)
class _Reading:
    """State of one probe process at its last snapshot."""

    ops: int
    taken_ns: int
    cpu_ns: int
    rss_bytes: int


class _Watch:
    """Reads off what the processes did so far.

    Args:
        server_pid: see ``Order``.
    """

    def __init__(self, server_pid: int) -> None:
        self._server_pid = server_pid
        self.last: dict[int, _Reading] = {}
        self.skipped = 0

    def take(self, snapshot: ProbeSnapshot) -> None:
        """Count the served arrivals of a snapshot."""
        before = self.last.get(snapshot.process)
        ops = sum(len(block.due) // 8 for block in snapshot.blocks)
        self.last[snapshot.process] = _Reading(
            ops + (before.ops if before else 0),
            snapshot.taken_ns,
            snapshot.cpu_ns,
            snapshot.rss_bytes,
        )
        self.skipped += sum(lane.skipped for lane in snapshot.lanes)

    def read(self) -> tuple[dict[int, _Reading], int, float]:
        """Return the readings, our own CPU time in ns, and that of the servers in s."""
        if not self.last:
            raise BenchmarkError("the probe sent no snapshot")
        server_s = cpu_seconds_of_children(self._server_pid) if self._server_pid else 0
        return dict(self.last), process_cpu_ns(), server_s


async def _run(order: Order) -> Probed:
    watch = _Watch(order.server_pid)
    probing = Probing(
        config.Config(target=order.target, lanes=(order.lane,)),
        listeners=Listeners(on_snapshot=watch.take),
    )
    async with asyncio.TaskGroup() as group:
        tasks = probing.spawn(group)
        await probing.wait_until_ready()
        start_ns = probing.begin()
        begin_ns = start_ns + int(order.warm_up_s * NS_PER_S)
        await _seal_until(probing, begin_ns)
        before, own_before_ns, server_before_s = watch.read()
        await _seal_until(probing, begin_ns + int(order.seconds * NS_PER_S))
        after, own_after_ns, server_after_s = watch.read()
        end_ns = await probing.end(tasks, meanwhile=probing.seal)
    steps = [(before[process], after[process]) for process in before]
    seconds = sum(b.taken_ns - a.taken_ns for a, b in steps) / len(steps) / NS_PER_S
    probe_cpu_s = sum(b.cpu_ns - a.cpu_ns for a, b in steps) / NS_PER_S
    own_cpu_s = (own_after_ns - own_before_ns) / NS_PER_S
    totals = _Totals.of(probing.aggregate.finish(end_ns))
    is_open = order.lane.loop == "open"
    planned_s = (end_ns - start_ns) / NS_PER_S if is_open else 0.0
    return Probed(
        Measurement(
            sum(b.ops - a.ops for a, b in steps), seconds, probe_cpu_s + own_cpu_s
        ),
        probe_cpu_s=probe_cpu_s,
        server_cpu_s=server_after_s - server_before_s,
        planned=round(order.lane.rate_per_s * planned_s),
        served=totals.served,
        failed=totals.failed,
        skipped=watch.skipped,
        blind_ms=totals.blind_ms,
        lateness_ms=totals.lateness_ms,
        probe_rss_bytes=sum(b.rss_bytes for _, b in steps),
        loop=HOW,
    )


@dataclass(frozen=True, slots=True)
class _Totals:
    served: int
    failed: int
    blind_ms: float
    lateness_ms: tuple[float, ...]

    @classmethod
    def of(cls, results: Results) -> "_Totals":
        scopes = [
            totals
            for scope, totals in results.scope_totals.items()
            if scope.op is not OpKind.CONNECT  # not of the schedule
        ]
        lane = results.lane_totals[LANE]
        quantiles = [lane.lateness.quantile(q) for q in QUANTILES]
        return cls(
            sum(totals.served for totals in scopes),
            sum(totals.failed for totals in scopes),
            lane.blind_ns / NS_PER_MS,
            tuple((value or 0.0) / NS_PER_MS for value in quantiles),
        )


async def _seal_until(probing: Probing, until_ns: int) -> None:
    while mono_now_ns() < until_ns:
        await asyncio.sleep(_SEAL_EVERY_S)
        probing.seal()


def main() -> None:
    """Measure what standard input asks for; print what was found as JSON."""
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        probed = runner.run(_run(order))
    sys.stdout.buffer.write(msgspec.json.encode(probed))


if __name__ == "__main__":
    main()
