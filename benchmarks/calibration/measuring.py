"""One case for real: the scripted cluster fails, the meter measures."""

import asyncio
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path

from benchmarks.calibration.burners import burning
from benchmarks.calibration.disturber import Disturber, Order
from benchmarks.calibration.priority import put_first
from benchmarks.calibration.script import Plan
from benchmarks.calibration.settings import DEADLINE_MS, READ_RATIO, SHARDS, Setting
from loadprobe.clock import NS_PER_S, mono_now_ns
from loadprobe.config.keys import Config, Http, Lane, Target
from loadprobe.core.events import Event, ProbeDied
from loadprobe.core.intervals import Interval
from loadprobe.core.judging.columns import Block, Failure, Scope
from loadprobe.core.judging.outages import Row
from loadprobe.core.judging.results import Results
from loadprobe.core.topology.slots import SLOTS
from loadprobe.local.cluster.certificates import write_certificates
from loadprobe.run.hearing import Listeners
from loadprobe.run.load import Measurement
from tests.scripted.faults import Span, TruthInterval
from tests.scripted.server import ScriptedCluster

LANE = "probe"
_WORKERS = 40
_KEYS = 2_000
_SEAL_S = 0.25
_AFTER_S = 0.5
_MOVE_EVERY_S = 0.1
_MOVED_SLOTS = 32
_PATIENCE_S = 60.0


@dataclass(slots=True)
class Observed:
    """Everything there is to know about a case.

    Args:
        results: what the meter judged.
        truth: of every fault, in the order of the plan.
        server_stalls: when the server process itself was held up.
        probe_stalls: when one of the probe processes was.
        served: all served arrivals by scope, by due.
        failed: all others, likewise.
        moving: when slots moved, monotonic ns.
    """

    results: Results
    truth: Sequence[TruthInterval]
    server_stalls: Sequence[Span]
    probe_stalls: Sequence[Interval]
    served: Mapping[Scope, Sequence[Row]]
    failed: Mapping[Scope, Sequence[Failure]]
    moving: Interval


@dataclass(slots=True)
class _Log:
    """What the probes sent, kept beside the aggregate."""

    blocks: dict[Scope, list[Block]] = field(default_factory=dict)
    stalls: list[Interval] = field(default_factory=list)
    deaths: list[str] = field(default_factory=list)

    def take(self, blocks: Mapping[Scope, Block], stalls: Iterable[Interval]) -> None:
        """Take what a process decided, and when it did not get to run."""
        self.stalls += stalls
        for scope, block in blocks.items():
            self.blocks.setdefault(scope, []).append(block)

    def note(self, event: Event) -> None:
        """Keep the death of a process."""
        if isinstance(event, ProbeDied):
            self.deaths.append(event.cause)

    def served(self) -> dict[Scope, list[Row]]:
        """Return the served arrivals by due."""
        return {
            scope: sorted(
                row
                for block in blocks
                for row in zip(block.due, block.sent, block.done, strict=True)
            )
            for scope, blocks in self.blocks.items()
        }

    def failed(self) -> dict[Scope, list[Failure]]:
        """Return the arrivals that failed by due."""
        return {
            scope: sorted(
                failure for block in blocks for failure in block.iter_failures()
            )
            for scope, blocks in self.blocks.items()
        }


async def observe(setting: Setting, plan: Plan) -> Observed:
    """Run a case.

    Raises:
        RuntimeError: a probe process died.
        TimeoutError: the probes were not ready in time.
    """
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        certificates = write_certificates(Path(folder)) if setting.tls else None
        async with ScriptedCluster(shards=SHARDS, tls=certificates) as cluster:
            put_first(cluster.pid)  # a starved server tells nothing
            stack.enter_context(burning(busy=setting.busy))
            target = Target(
                host=cluster.host,
                port=cluster.port,
                tls_port=cluster.tls_port if certificates else None,
                ca_file=str(certificates.ca) if certificates else None,
            )
            return await _measure(cluster, setting, _config(setting, target), plan)


def _config(setting: Setting, target: Target) -> Config:
    lane = Lane(
        name=LANE,
        tls=setting.tls,
        workers=_WORKERS,
        rate_per_s=float(setting.rate_per_s),
        read_ratio=READ_RATIO,
        deadline_ms=DEADLINE_MS,
        keys=_KEYS,
        processes=setting.processes,
        connect_rate_per_s=0.0,
    )
    return Config(target=target, lanes=(lane,), http=Http(listen=""))


async def _measure(
    cluster: ScriptedCluster, setting: Setting, config: Config, plan: Plan
) -> Observed:
    log = _Log()
    probing = Measurement(config, listeners=Listeners(emit=log.note))
    judge = probing.aggregate.add

    def add(
        process: int,
        blocks: Mapping[Scope, Block],
        *,
        watermark_ns: int,
        stalls: Iterable[Interval] = (),
    ) -> None:
        stalls = list(stalls)
        log.take(blocks, stalls)
        judge(process, blocks, watermark_ns=watermark_ns, stalls=stalls)

    probing.aggregate.add = add  # type: ignore[method-assign]
    try:
        async with asyncio.TaskGroup() as group:
            tasks = probing.spawn(group)
            async with asyncio.timeout(_PATIENCE_S):
                await probing.wait_until_ready()
            await asyncio.sleep(max(0, probing.begin() - mono_now_ns()) / NS_PER_S)
            begun_ns = mono_now_ns()
            script = group.create_task(cluster.run_script(plan.faults))
            moves = group.create_task(_move_slots(cluster, plan))
            with _disturbing(setting, probing, plan, begun_ns):
                while not (script.done() and moves.done()):
                    await asyncio.sleep(_SEAL_S)
                    probing.seal()
            await asyncio.sleep(_AFTER_S)
            end_ns = await probing.end(tasks, meanwhile=probing.seal)
    finally:
        probing.kill()
    if log.deaths:
        raise RuntimeError(f"a probe process died: {log.deaths}")
    first_ns, last_ns = plan.moving_ns
    return Observed(
        probing.aggregate.finish(end_ns),
        script.result(),
        await cluster.stalls(),
        log.stalls,
        log.served(),
        log.failed(),
        (begun_ns + first_ns, begun_ns + last_ns + NS_PER_S),
    )


@contextmanager
def _disturbing(
    setting: Setting, probing: Measurement, plan: Plan, begun_ns: int
) -> Iterator[None]:
    """Disturb the meter as planned while the block runs, if at all.

    Raises:
        RuntimeError: that was not possible.
    """
    if not plan.disturbed_ns:
        yield
        return
    probes = tuple(probe.pid for probe in probing.probes if probe.pid is not None)
    pids = {
        "one stopped": probes[:1],
        "supervisor stopped": (os.getpid(),),
    }.get(setting.disturbance, probes)
    spans = tuple((begun_ns + a, begun_ns + b) for a, b in plan.disturbed_ns)
    order = Order(os.getpid(), pids, spans, starve=setting.disturbance == "starved")
    with Disturber(order) as disturber:
        yield
        disturber.done()


async def _move_slots(cluster: ScriptedCluster, plan: Plan) -> None:
    """Move slots from shard to shard, a few at a time, as a resharding does."""
    first_ns, last_ns = plan.moving_ns
    if first_ns == last_ns:
        return
    until_ns = mono_now_ns() + last_ns
    await asyncio.sleep(first_ns / NS_PER_S)
    places = cycle(range(SHARDS))
    first = {shard: shard * SLOTS // SHARDS for shard in range(SHARDS)}
    while mono_now_ns() < until_ns:
        shard = next(places)
        begin = first[shard]
        await cluster.move_slots(
            begin, begin + _MOVED_SLOTS - 1, to_shard=(shard + 1) % SHARDS
        )
        first[shard] = begin + _MOVED_SLOTS
        await asyncio.sleep(_MOVE_EVERY_S)
