"""redis-benchmark in cluster mode, its start-up subtracted.

A short run has the same start-up as a long one, so their difference has none. One
thread is asked for: by default it takes one per node in cluster mode (7.0.15), and
those spend up to a second of CPU that has nothing to do with the number of operations,
and that differs so much from run to run that no subtraction removes it.
"""

import re
import shutil

from benchmarks.child import run_child
from benchmarks.measurement import (
    KEYS,
    BenchmarkError,
    Case,
    Measurement,
    Target,
    less_startup,
)

_PROGRAM = "redis-benchmark"
_EXPECTED_OPS_PER_S = 40_000  # with a pipeline half its depth times as many
_SHORT_RATIO = 0.1
_ERROR = re.compile(r"^(Error|Warning: .*error).*$", re.MULTILINE | re.IGNORECASE)


def measure(target: Target, case: Case, *, seconds: float) -> Measurement:
    """Measure a long run less a short one; see ``Tool``.

    It runs all SETs and then all GETs, because it cannot mix them.
    """
    per_s = _EXPECTED_OPS_PER_S * max(1, case.pipeline // 2)
    long_ops = int(seconds * per_s)
    short = _run(target, case, ops=int(long_ops * _SHORT_RATIO))
    return less_startup(_run(target, case, ops=long_ops), short)


def version() -> str:
    """Return the program's version line."""
    return run_child([_path(), "--version"]).output.strip()


def _path() -> str:
    found = shutil.which(_PROGRAM)
    if found is None:
        raise BenchmarkError(
            f"looking for {_PROGRAM}: not on PATH; apt-get install redis-tools"
        )
    return found


def _run(target: Target, case: Case, *, ops: int) -> Measurement:
    per_command = ops // 2
    arguments = [
        _path(),
        *("-h", target.host),
        *("-p", str(target.port_for(tls=case.tls))),
        "--cluster",
        *("--threads", "1"),
        *("-c", str(case.workers)),
        *("-P", str(case.pipeline)),
        *("-d", str(case.value_bytes)),
        *("-r", str(KEYS)),
        *("-n", str(per_command)),
        *("-t", "get,set"),
        "--csv",
    ]
    if case.tls:
        arguments += ["--tls", "--cacert", str(target.ca_file)]
    finished = run_child(arguments)
    error = _ERROR.search(finished.output)
    if error is not None:
        raise BenchmarkError(f"{_PROGRAM} says: {error[0]}")
    return Measurement(2 * per_command, finished.seconds, finished.cpu_seconds)
