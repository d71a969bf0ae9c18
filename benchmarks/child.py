"""Run a client as a child process and read off what it used."""

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.measurement import BenchmarkError
from loadprobe.clock import NS_PER_S, mono_now_ns


@dataclass(frozen=True, slots=True)
class Finished:
    """A child that has ended well.

    Args:
        output: its standard output.
        seconds: from start to end.
        cpu_seconds: user and system time of the child and of its own children.
    """

    output: str
    seconds: float
    cpu_seconds: float


def run_child(arguments: Sequence[str], *, given: str = "") -> Finished:
    """Run a program to its end.

    Args:
        arguments: the program and its arguments.
        given: its standard input.

    Raises:
        BenchmarkError: it ended with another status than 0.
    """
    started_ns = mono_now_ns()
    child = subprocess.Popen(
        arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(given)
    child.stdin.close()
    output = child.stdout.read()
    child.stdout.close()
    # wait4 tells the usage of this child alone; RUSAGE_CHILDREN would add up all.
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        raise BenchmarkError(
            f"{' '.join(arguments)} ended with status {child.returncode}: "
            f"{output[-2000:]}"
        )
    return Finished(
        output,
        (mono_now_ns() - started_ns) / NS_PER_S,
        usage.ru_utime + usage.ru_stime,
    )
