"""Run the benchmarks and print one table: ``python -m benchmarks.run [--quick]``."""

import argparse
import os
import platform
import signal
import sys
import time
import traceback
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

from benchmarks import (
    cost,
    growth,
    hour,
    memtier,
    metrics,
    multiplexed,
    open_loop,
    quiet,
    redis_benchmark,
    scraping,
    sidecar,
    two_processes,
)
from benchmarks.document import Document, Found, Section, decode, encode
from benchmarks.measurement import Target
from benchmarks.page import verdict, with_tables
from benchmarks.plots import draw_all
from benchmarks.rows import render
from benchmarks.servers import serving

_ROOT = Path(__file__).resolve().parents[1]
PAGE = _ROOT / "docs" / "performance.md"
FIGURES = _ROOT / "docs" / "performance.json"
PICTURES = _ROOT / "docs" / "img"
_REPEATS, _SECONDS, _SIDECAR_S = 5, 1.2, 600.0
_QUICK_REPEATS, _QUICK_SECONDS, _QUICK_SIDECAR_S = 1, 0.8, 12.0
_PACKAGES = ("redis", "hiredis", "uvloop")


class Benchmark(Protocol):
    """A group of rows that are measured together."""

    def __call__(
        self,
        target: Target,
        *,
        repeats: int,
        seconds: float,
        say: Callable[[str], None],
    ) -> Found:
        """Measure and return what was found."""


def _benchmarks(sidecar_s: float) -> dict[str, Benchmark]:
    def beside(
        target: Target, *, repeats: int, seconds: float, say: Callable[[str], None]
    ) -> Found:
        del repeats, seconds
        busy = sidecar.run(target, length_s=sidecar_s, say=say)
        at_rest = quiet.run(target, length_s=sidecar_s, say=say)
        return Found.of([*busy.rows, *at_rest.rows], busy.curves)

    return {
        "cost": cost.run,
        "multiplexed": multiplexed.run,
        "two_processes": two_processes.run,
        "open_loop": open_loop.run,
        "scraping": scraping.run,
        "growth": growth.run,
        "hour": hour.run,
        "metrics": metrics.run,
        "sidecar": beside,
    }


NAMES = tuple(_benchmarks(0.0))


def main() -> int:
    """Run what the command line asks for and return the exit status."""
    options = make_parser().parse_args()
    # By default nothing would be cleared up, and tools run on beside all that follows.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    document = decode(FIGURES.read_bytes()) if options.render else _measure(options)
    print(render(document.rows))
    print(verdict(document.rows))
    is_whole = not (options.quick or options.only)
    if options.render or options.keep or (is_whole and not options.dry):
        keep(document)
    return 0 if document.is_complete else 1


def keep(document: Document) -> None:
    """Write figures, page and pictures."""
    FIGURES.write_bytes(encode(document))
    PAGE.write_text(with_tables(PAGE.read_text(), document))
    draw_all(document.curves, PICTURES)


def make_parser() -> argparse.ArgumentParser:
    """Return what reads the options of the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run")
    add = parser.add_argument
    add(
        "--quick", action="store_true", help="one short block of everything: for trying"
    )
    add("--only", action="append", choices=NAMES, help="only this one; repeatable")
    add("--sidecar-s", type=float, help=f"length of the sidecar ({_SIDECAR_S:g})")
    add("--json", type=Path, help="also write the figures to this file, as they come")
    add("--dry", action="store_true", help="leave docs as they are")
    add(
        "--keep",
        action="store_true",
        help="write docs, even from a part or a quick run",
    )
    add("--render", action="store_true", help="measure nothing: docs from the figures")
    return parser


def _measure(options: argparse.Namespace) -> Document:
    """Run the benchmarks; the figures are written after each, so none is lost."""
    is_quick = bool(options.quick)
    default_s = _QUICK_SIDECAR_S if is_quick else _SIDECAR_S
    benchmarks = _benchmarks(options.sidecar_s or default_s)
    repeats = _QUICK_REPEATS if is_quick else _REPEATS
    run = partial(
        _run, repeats=repeats, seconds=_QUICK_SECONDS if is_quick else _SECONDS
    )
    sections: list[Section] = []
    with serving() as target:
        host = _host_facts(target)
        print("\n".join(f"{name}: {fact}" for name, fact in host.items()), flush=True)
        for name in options.only or NAMES:
            sections.append(run(name, benchmarks[name], target))
            document = Document(is_quick, repeats, host, tuple(sections))
            if options.json is not None:
                options.json.write_bytes(encode(document))
    return document


def _run(
    name: str, benchmark: Benchmark, target: Target, *, repeats: int, seconds: float
) -> Section:
    """Run one benchmark; whatever goes wrong in it, the others go on."""
    started = time.monotonic()
    _say(f"--- {name}")
    found, failure = Found(()), None
    try:
        found = benchmark(target, repeats=repeats, seconds=seconds, say=_say)
    except Exception as exc:  # noqa: BLE001 - told in the table, and by the exit status
        traceback.print_exc()
        failure = f"{type(exc).__name__}: {exc}"
    took_s = time.monotonic() - started
    _say(f"--- {name} took {took_s:.0f} s")
    return Section(name, found, round(took_s, 1), failure)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _host_facts(target: Target) -> dict[str, str]:
    return {
        "cores": str(len(os.sched_getaffinity(0))),
        "load before": " ".join(f"{load:.2f}" for load in os.getloadavg()),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "server": target.server,
        "redis-benchmark": redis_benchmark.version(),
        "memtier": memtier.version(),
        **{package: version(package) for package in _PACKAGES},
    }


if __name__ == "__main__":
    sys.exit(main())
