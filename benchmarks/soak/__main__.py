"""Soak: ``python -m benchmarks.soak [--seconds S] [--every-s S] [--render]``.

Writes docs/soak.json, and from it a table of docs/reliability.md and its picture. Exit
status: 0 if nothing was missed, false, lost or growing, else 1.
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

import msgspec
import uvloop

from benchmarks.chaos.stage import commanded
from benchmarks.host import host_facts
from benchmarks.plots import draw
from benchmarks.soak.comparing import compare
from benchmarks.soak.doing import (
    DEADLINE_MS,
    Course,
    change_for_ever,
    look_for_ever,
)
from benchmarks.soak.figures import Soaked, curves, growth_table, told, with_soak
from benchmarks.soak.reloading import Reloads, reload_for_ever
from benchmarks.soak.sampling import Sample, sample_for_ever
from loadprobe.clock import NS_PER_S, mono_now_ns
from loadprobe.config.keys import Config, Http, Lane, Output, Probe
from loadprobe.local.cluster.cluster import LocalCluster
from loadprobe.local.cluster.ports import free_ports
from tests.scripted.stalls import StallLog
from tests.support.paths import ROOT
from tests.support.running import target_of

PAGE = ROOT / "docs" / "reliability.md"
FIGURES = ROOT / "docs" / "soak.json"
PICTURE = ROOT / "docs" / "img" / "soak.svg"
_SECONDS, _EVERY_S, _RELOAD_S = 1_800.0, 30.0, 300.0
_NODE_TIMEOUT_MS = 5_000
_END_S = 300.0


def main() -> int:
    """Soak, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak")
    add = parser.add_argument
    add("--seconds", type=float, default=_SECONDS, help="how long load flows")
    add("--every-s", type=float, default=_EVERY_S, help="between two changes")
    add("--reload-s", type=float, default=_RELOAD_S, help="between two reloads")
    add("--dry", action="store_true", help="leave docs as they are")
    add("--render", action="store_true", help="measure nothing: docs from the figures")
    options = parser.parse_args()
    if options.render:
        found = msgspec.json.decode(FIGURES.read_bytes(), type=Soaked)
    else:
        host = host_facts()
        found = uvloop.run(
            _soak(host, options.seconds, options.every_s, options.reload_s)
        )
    print(told(found))
    print(growth_table(found))
    for text in (*found.missed, *found.false, *found.reload_problems):
        print(f"PROBLEM {text}")
    if not options.dry:
        FIGURES.write_bytes(msgspec.json.encode(found) + b"\n")
        PAGE.write_text(with_soak(PAGE.read_text(), found))
        draw("soak", curves(found), PICTURE)
    return 0 if found.is_good else 1


def _lanes() -> tuple[Lane, ...]:
    return tuple(
        Lane(
            name=f"{prefix}{transport}",
            driver="redis-py" if prefix else "wire",
            tls=transport == "tls",
            workers=8,
            rate_per_s=50.0 if prefix else 150.0,
            keys=600,
            read_ratio=0.5,
            deadline_ms=DEADLINE_MS,
            connect_rate_per_s=None if prefix else 1.0,
        )
        for prefix in ("", "app-")
        for transport in ("tcp", "tls")
    )


async def _soak(
    host: dict[str, str], seconds: float, every_s: float, reload_s: float
) -> Soaked:
    course, stalls, samples = Course(), StallLog(), list[Sample]()
    reloads = Reloads()
    with tempfile.TemporaryDirectory(prefix="loadprobe-soak-") as name:
        folder = Path(name)
        async with LocalCluster(
            shards=3, replicas_per_shard=1, node_timeout_ms=_NODE_TIMEOUT_MS
        ) as cluster:
            config = Config(
                target=target_of(cluster),
                lanes=_lanes(),
                http=Http(listen=f"127.0.0.1:{free_ports(1)[0]}"),
                output=Output(dir=str(folder / "runs")),
                probe=Probe(settle_ms=1_000, stall_ms=50),
            )
            async with commanded(config, folder, {}) as running:
                run_folder, begun_ns = running.run_folder, mono_now_ns()
                tasks = [
                    asyncio.create_task(each)
                    for each in (
                        stalls.watch(),
                        change_for_ever(cluster, course, every_s=every_s, say=_say),
                        look_for_ever(cluster, course),
                        reload_for_ever(
                            running,
                            folder / "run.toml",
                            config,
                            reloads,
                            every_s=reload_s,
                            say=_say,
                        ),
                        sample_for_ever(
                            running.supervisor, run_folder, running.url, samples
                        ),
                    )
                ]
                done, _ = await asyncio.wait(
                    [asyncio.create_task(running.process.wait()), *tasks],
                    timeout=seconds,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                length_s = (mono_now_ns() - begun_ns) / NS_PER_S
                for task in tasks:
                    task.cancel()
                if done:
                    raise RuntimeError(
                        f"it ended after {length_s:.0f} s: {running.said}; "
                        f"{[task.result() for task in done]}"
                    )
                ending_ns = mono_now_ns()
                status = await running.end(_END_S)
                took_s = (mono_now_ns() - ending_ns) / NS_PER_S
                _say(f"ended with {status} in {took_s:.1f} s: {running.said}")
        spans = [(span.start_ns, span.end_ns) for span in stalls.spans]
        return compare(
            run_folder,
            course,
            spans,
            samples,
            reloads=reloads,
            host=host,
            seconds=length_s,
        )


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
