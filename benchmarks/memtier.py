"""memtier_benchmark in cluster mode, its start-up subtracted; only if it is installed.

Its clients open a connection to every shard, each with an operation of its own: as many
operations are outstanding as with three times the workers of other tools.
"""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.child import run_child
from benchmarks.measurement import (
    KEYS,
    BenchmarkError,
    Case,
    Measurement,
    Target,
    less_startup,
)

_PROGRAM = "memtier_benchmark"
_SHARDS = 3
_EXPECTED_OPS_PER_S = 40_000
_SHORT_RATIO = 0.1


def is_installed() -> bool:
    """Tell whether it is on PATH."""
    return shutil.which(_PROGRAM) is not None


def version() -> str:
    """Return the program's version line."""
    if not is_installed():
        return "not installed"
    return run_child([_PROGRAM, "--version"]).output.splitlines()[0]


def measure(target: Target, case: Case, *, seconds: float) -> Measurement:
    """Measure a long run less a short one; see ``Tool``."""
    long_ops = int(seconds * _EXPECTED_OPS_PER_S)
    short = _run(target, case, ops=int(long_ops * _SHORT_RATIO))
    return less_startup(_run(target, case, ops=long_ops), short)


def _run(target: Target, case: Case, *, ops: int) -> Measurement:
    clients = max(1, case.workers // _SHARDS)
    per_client = max(1, ops // clients)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "figures.json"
        arguments = [
            _PROGRAM,
            *("--server", target.host),
            *("--port", str(target.port_for(tls=case.tls))),
            "--cluster-mode",
            *("--threads", "1"),
            *("--clients", str(clients)),
            *("--requests", str(per_client)),
            *("--pipeline", str(case.pipeline)),
            *("--ratio", "1:1"),
            *("--data-size", str(case.value_bytes)),
            *("--key-maximum", str(KEYS)),
            "--hide-histogram",
            *("--json-out-file", str(path)),
        ]
        if case.tls:
            arguments += ["--tls", "--cacert", str(target.ca_file)]
        finished = run_child(arguments)
        done = read_ops(path.read_bytes())
    if done < clients * per_client:
        raise BenchmarkError(
            f"{_PROGRAM} counts {done:,} of {clients * per_client:,} operations: "
            "the rest failed"
        )
    return Measurement(done, finished.seconds, finished.cpu_seconds)


def read_ops(figures: bytes) -> int:
    """Return how many operations its JSON file tells of.

    Raises:
        BenchmarkError: the file has another shape.
    """
    try:
        stats: dict[str, Any] = msgspec.json.decode(figures)["ALL STATS"]
        return sum(int(stats[kind]["Count"]) for kind in ("Sets", "Gets"))
    except (msgspec.DecodeError, KeyError, TypeError) as exc:
        raise BenchmarkError(
            f"reading the figures of {_PROGRAM}: no count of Sets and Gets ({exc!r}); "
            "its JSON file has another shape than those of 1.3 to 2.1"
        ) from exc
