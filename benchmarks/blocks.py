"""Interleaved blocks: every job once, then all again, so that drift hits all alike.

A job that fails costs its own figures of that block, and no others.
"""

import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from benchmarks.rows import Limit, Row

T = TypeVar("T")
Say = Callable[[str], None]
Block = Mapping[str, T]
"""Name of a job -> what it measured in this block."""


@dataclass(slots=True)
class Blocks(Generic[T]):
    """What all jobs measured.

    Args:
        blocks: in the order in which they ran; failed jobs are missing.
        failures: name of a job -> why it failed last.
    """

    blocks: list[dict[str, T]] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)

    def values(self, read: Callable[[Block[T]], float]) -> list[float]:
        """Return a figure of every block that has all it needs."""
        return self._read(read)[0]

    def _read(
        self, read: Callable[[Block[T]], float]
    ) -> tuple[list[float], dict[str, str]]:
        """Return the figures, and why those that are missing are."""
        values: list[float] = []
        missing: dict[str, str] = {}
        for block in self.blocks:
            try:
                values.append(read(block))
            except KeyError as exc:
                job = str(exc.args[0])
                missing[job] = self.failures[job]
        return values, missing

    def values_of(self, job: str, read: Callable[[T], float]) -> list[float]:
        """Return a figure of one job alone, from every block that has it."""
        return self.values(lambda block: read(block[job]))

    def row(
        self,
        name: str,
        unit: str,
        read: Callable[[Block[T]], float],
        limit: Limit | None = None,
    ) -> Row:
        """Return a row; ``read`` takes its figure from one block."""
        values, missing = self._read(read)
        if values:
            return Row.of(name, unit, values, limit)
        reason = "; ".join(f"{job}: {why}" for job, why in missing.items())
        return Row(name, unit, (), limit, reason)

    def row_of(
        self,
        job: str,
        name: str,
        unit: str,
        read: Callable[[T], float],
        limit: Limit | None = None,
    ) -> Row:
        """Return a row that is about one job alone."""
        return self.row(name, unit, lambda block: read(block[job]), limit)


def run_blocks(
    jobs: Mapping[str, Callable[[], T]],
    *,
    repeats: int,
    say: Say,
    tell: Callable[[T], str] = str,
) -> Blocks[T]:
    """Run all jobs, then all again.

    Args:
        jobs: by name.
        repeats: number of blocks.
        say: takes lines of progress.
        tell: puts into words what was measured.
    """
    result: Blocks[T] = Blocks()
    for number in range(1, repeats + 1):
        block: dict[str, T] = {}
        for name, job in jobs.items():
            try:
                block[name] = job()
            except Exception as exc:  # noqa: BLE001 - told in the table; others go on
                traceback.print_exc()
                result.failures[name] = f"{type(exc).__name__}: {exc}"
                continue
            say(f"block {number}/{repeats}  {name}: {tell(block[name])}")
        result.blocks.append(block)
    return result
