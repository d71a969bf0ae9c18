"""Run a client as a child process and read off what it used."""

import os
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar

import msgspec

from benchmarks.measurement import BenchmarkError
from loadprobe.clock import NS_PER_S, mono_now_ns

_TIMEOUT_S = 60.0
_ERROR = re.compile(r"^[\s|+]*(\S*(?:Error|Crashed|Gone)\b.*)$", re.MULTILINE)
_T = TypeVar("_T")
_ROOT = Path(__file__).resolve().parents[1]
COMPILED = _ROOT / "build" / "compiled"
"""Where ``make compiled`` puts a copy with the compiled loop."""
_COMPILED_FIRST = {
    "PYTHONPATH": os.pathsep.join([str(COMPILED), str(_ROOT)]),
    "PYTHONSAFEPATH": "1",  # else the working directory goes first
}


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


def run_child(
    arguments: Sequence[str],
    *,
    given: str = "",
    timeout_s: float = _TIMEOUT_S,
    environment: Mapping[str, str] | None = None,
) -> Finished:
    """Run a program to its end.

    Args:
        arguments: the program and its arguments.
        given: its standard input.
        timeout_s: it is killed after this time.
        environment: what is added to ours.

    Raises:
        BenchmarkError: it ended with another status than 0.
    """
    with tempfile.TemporaryFile("w+", errors="replace") as said:
        return _run(arguments, given, timeout_s, said, environment or {})


def _run(
    arguments: Sequence[str],
    given: str,
    timeout_s: float,
    said: IO[str],
    environment: Mapping[str, str],
) -> Finished:
    started_ns = mono_now_ns()
    child = subprocess.Popen(
        arguments,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=said,
        text=True,
        env={**os.environ, **environment},
    )
    assert child.stdin is not None
    assert child.stdout is not None
    clock = threading.Timer(timeout_s, child.kill)
    clock.start()
    try:
        child.stdin.write(given)
        child.stdin.close()
        output = child.stdout.read()
        child.stdout.close()
        # wait4 tells the usage of this child alone; RUSAGE_CHILDREN would add up all.
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    finally:
        clock.cancel()
        if child.returncode is None:
            child.kill()
            child.wait()
    seconds = (mono_now_ns() - started_ns) / NS_PER_S
    said.seek(0)
    errors = said.read()
    sys.stderr.write(errors)
    if child.returncode != 0:
        raise BenchmarkError(
            f"{Path(arguments[0]).name} {' '.join(arguments[1:3])} ended with status "
            f"{child.returncode} after {seconds:.1f} s (it may take {timeout_s:g} s): "
            f"{_reason(output + errors)}"
        )
    return Finished(output, seconds, usage.ru_utime + usage.ru_stime)


def _reason(said: str) -> str:
    """Return the last line that names an error, else the last one."""
    found = _ERROR.findall(said) or said.strip().splitlines() or ["it said nothing"]
    return str(found[-1])


def ask_child(
    module: str,
    order: msgspec.Struct,
    answer: type[_T],
    *,
    timeout_s: float,
    compiled: bool = False,
) -> _T:
    """Run a module that reads an order and writes an answer, both JSON.

    Args:
        module: what to run.
        order: what it reads.
        answer: what it writes.
        timeout_s: it is killed after this time.
        compiled: run the copy of loadprobe in ``COMPILED``.

    Raises:
        BenchmarkError: it ended with another status than 0.
    """
    finished = run_child(
        [sys.executable, "-m", module],
        given=msgspec.json.encode(order).decode(),
        timeout_s=timeout_s,
        environment=_COMPILED_FIRST if compiled else None,
    )
    return msgspec.json.decode(finished.output, type=answer)
