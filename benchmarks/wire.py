"""loadprobe's wire driver in a closed loop: the real thing, recorded, verified, judged.

A child process does what the supervisor does with the arrivals (merge, judge, count),
and spawns the probe process. The CPU time of both is counted: leaving out the judging
would compare half a tool with whole ones.
"""

import asyncio
import sys

import msgspec
import uvloop

from benchmarks.child import run_child
from benchmarks.measurement import (
    KEYS,
    VALUE_BYTES,
    BenchmarkError,
    Measurement,
    Target,
)
from loadprobe import config
from loadprobe.clock import NS_PER_S, mono_now_ns, process_cpu_ns
from loadprobe.measurement import Measurement as Probing
from loadprobe.probe.messages import Snapshot

_WARM_UP_S = 1.5
_SEAL_EVERY_S = 0.25


class _Order(msgspec.Struct, frozen=True):
    target: config.Target
    tls: bool
    workers: int
    seconds: float


def measure(target: Target, *, tls: bool, workers: int, seconds: float) -> Measurement:
    """Measure the load between the end of its warm-up and its own end; see ``Tool``."""
    order = _Order(
        config.Target(
            host=target.host,
            port=target.port,
            tls_port=target.tls_port,
            ca_file=target.ca_file,
        ),
        tls,
        workers,
        seconds,
    )
    finished = run_child(
        [sys.executable, "-m", "benchmarks.wire"],
        given=msgspec.json.encode(order).decode(),
    )
    return msgspec.json.decode(finished.output, type=Measurement)


class _Watch:
    """Reads off CPU time of both processes and the number of operations."""

    def __init__(self) -> None:
        self._snapshot: Snapshot | None = None
        self._ops = 0

    def take(self, snapshot: Snapshot) -> None:
        """Count the served arrivals of a snapshot."""
        self._snapshot = snapshot
        self._ops += sum(len(block.due) // 8 for block in snapshot.blocks)

    def read(self) -> Measurement:
        """Return what there was up to the last snapshot."""
        if self._snapshot is None:
            raise BenchmarkError("the probe sent no snapshot")
        cpu_ns = self._snapshot.cpu_ns + process_cpu_ns()
        return Measurement(
            self._ops, self._snapshot.taken_ns / NS_PER_S, cpu_ns / NS_PER_S
        )


async def _run(order: _Order) -> Measurement:
    lane = config.Lane(
        name="closed",
        tls=order.tls,
        loop="closed",
        workers=order.workers,
        read_ratio=0.5,
        value_bytes=VALUE_BYTES,
        keys=KEYS,
    )
    watch = _Watch()
    probing = Probing(
        config.Config(target=order.target, lanes=(lane,)), on_snapshot=watch.take
    )
    async with asyncio.TaskGroup() as group:
        tasks = probing.spawn(group)
        await probing.wait_until_ready()
        begin_ns = probing.begin() + int(_WARM_UP_S * NS_PER_S)
        await _seal_until(probing, begin_ns)
        before = watch.read()
        await _seal_until(probing, begin_ns + int(order.seconds * NS_PER_S))
        after = watch.read()
        end_ns = await probing.end(tasks, meanwhile=probing.seal)
    results = probing.aggregate.finish(end_ns)
    failed = sum(totals.failed for totals in results.scope_totals.values())
    if failed:
        raise BenchmarkError(f"{failed} operations of the wire driver were not served")
    return after - before


async def _seal_until(probing: Probing, until_ns: int) -> None:
    while mono_now_ns() < until_ns:
        await asyncio.sleep(_SEAL_EVERY_S)
        probing.seal()


def main() -> None:
    """Measure what standard input asks for; print the measurement as JSON."""
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=_Order)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        measured = runner.run(_run(order))
    sys.stdout.buffer.write(msgspec.json.encode(measured))


if __name__ == "__main__":
    main()
