"""Kill runs at random moments: ``python -m benchmarks.killing [COUNT] [--add]``.

Each is a run of a few seconds of its own, on one server that is shared. Writes
docs/kills.json, and from it a table of docs/reliability.md; ``--add`` keeps the
kills that are there. Exit status: 0 if all were as they should be, else 1.
"""

import argparse
import asyncio
import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import uvloop

from benchmarks.host import host_facts
from benchmarks.killing.figures import Kill, Kills, table, with_kills
from loadprobe.clock import NS_PER_MS
from loadprobe.errors import LoadprobeError
from tests.support.bad_input import Servers, serving
from tests.support.going_on import go_on
from tests.support.killing import KINDS, NotBegun, What, kill_one, look_at
from tests.support.paths import ROOT

PAGE = ROOT / "docs" / "reliability.md"
FIGURES = ROOT / "docs" / "kills.json"
_COUNT = 200
_BETWEEN_S = (1.8, 3.2)
Keep = Callable[[Kill], None]


def main() -> int:
    """Kill so many runs, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.killing")
    add = parser.add_argument
    add("count", nargs="?", type=int, default=_COUNT)
    add("--add", action="store_true", help="to those that are in the figures")
    add("--abreast", type=int, default=1, help="so many runs at a time")
    add("--dry", action="store_true", help="leave docs as they are")
    options = parser.parse_args()
    kept = read() if options.add and FIGURES.exists() else Kills(host_facts())
    found: list[Kill] = []

    def keep(kill: Kill) -> None:
        """Write after each: what was found is not lost with the rest."""
        found.append(kill)
        text = ", ".join(kill.problems) or "right"
        _say(f"{len(found)}: {kill.what}, {kill.lost_ms:.0f} ms lost, {text}")
        if not options.dry:
            _write(msgspec.structs.replace(kept, kills=(*kept.kills, *found)))

    numbers = iter(range(len(kept.kills), len(kept.kills) + options.count))
    uvloop.run(_kill_all(numbers, keep, abreast=options.abreast))
    print(table(found))
    for kill in found:
        for problem in kill.problems:
            print(f"PROBLEM {kill.what}, seed {kill.seed}: {problem}")
    return 1 if any(kill.problems for kill in found) else 0


def _write(every: Kills) -> None:
    FIGURES.write_bytes(msgspec.json.format(msgspec.json.encode(every)) + b"\n")
    PAGE.write_text(with_kills(PAGE.read_text(), every))


def read() -> Kills:
    """Read figures that were kept."""
    return msgspec.json.decode(FIGURES.read_bytes(), type=Kills)


async def _kill_all(numbers: Iterator[int], keep: Keep, *, abreast: int) -> None:
    """Kill a run for each number, some at a time, each of these on its own server."""
    with tempfile.TemporaryDirectory(prefix="loadprobe-kills-") as name:
        async with asyncio.TaskGroup() as group:
            for worker in range(abreast):
                folder = Path(name) / f"{worker}"
                group.create_task(_kill_in_turn(numbers, keep, folder))


async def _kill_in_turn(numbers: Iterator[int], keep: Keep, folder: Path) -> None:
    await asyncio.to_thread(folder.mkdir)
    async with serving(folder) as servers:
        for number in numbers:
            own = folder / f"{number}"
            await asyncio.to_thread(own.mkdir)
            try:
                kill = await _kill(servers, own, KINDS[number % len(KINDS)])
            except NotBegun as exc:
                _say(f"not begun: {exc}")
            else:
                keep(kill)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


async def _kill(servers: Servers, folder: Path, what: What) -> Kill:
    seed = random.SystemRandom().randrange(2**32)
    killed = await kill_one(servers, folder, what, seed, between_s=_BETWEEN_S)
    try:
        found = await asyncio.to_thread(look_at, killed)
    except LoadprobeError as exc:
        return Kill(
            what,
            seed,
            killed.after_s,
            0.0,
            0,
            is_readable=False,
            problems=(str(exc),),
        )
    after = await go_on(killed, found)
    return Kill(
        what,
        seed,
        killed.after_s,
        found.lost_ns / NS_PER_MS,
        found.outages,
        untold=found.untold,
        false=found.false,
        went_on=not after,
        problems=(*found.problems, *after),
    )


if __name__ == "__main__":
    sys.exit(main())
