"""Run the benchmarks and print one table: ``python -m benchmarks.run [--quick]``."""

import argparse
import os
import platform
import sys
from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

import msgspec

from benchmarks import cost, redis_benchmark
from benchmarks.measurement import BenchmarkError, Target
from benchmarks.rows import Row, render
from benchmarks.servers import serving

_REPEATS, _SECONDS = 5, 6.0
_QUICK_REPEATS, _QUICK_SECONDS = 3, 2.0
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
    ) -> list[Row]:
        """Measure and return the rows."""


BENCHMARKS: dict[str, Benchmark] = {"cost": cost.run}


def main() -> int:
    """Run what the command line asks for and return the exit status."""
    options = _parse()
    repeats = _QUICK_REPEATS if options.quick else _REPEATS
    seconds = _QUICK_SECONDS if options.quick else _SECONDS
    names = [options.only] if options.only else list(BENCHMARKS)
    rows: list[Row] = []
    try:
        with serving() as target:
            facts = _host_facts(target)
            print("\n".join(f"{name}: {fact}" for name, fact in facts.items()))
            for name in names:
                rows += BENCHMARKS[name](
                    target, repeats=repeats, seconds=seconds, say=_say
                )
    except BenchmarkError as exc:
        print(exc, file=sys.stderr)
        return 1
    print(render(rows))
    if options.json is not None:
        document = {
            "schema_version": 1,
            "host": facts,
            "repeats": repeats,
            "rows": [
                asdict(row) | {"limit": row.limit, "verdict": row.verdict}
                for row in rows
            ],
        }
        options.json.write_bytes(
            msgspec.json.format(msgspec.json.encode(document)) + b"\n"
        )
    return 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run")
    parser.add_argument(
        "--quick", action="store_true", help="fewer and shorter blocks: a first look"
    )
    parser.add_argument("--only", choices=BENCHMARKS, help="run one benchmark")
    parser.add_argument("--json", type=Path, help="also write the table to this file")
    return parser.parse_args()


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
        **{package: version(package) for package in _PACKAGES},
    }


if __name__ == "__main__":
    sys.exit(main())
