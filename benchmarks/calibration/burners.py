"""Processes that do nothing but use up the cores: ``python -m ...burners PARENT``."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from loadprobe.local.cluster.processes import bind_life_to_parent

_END_TIMEOUT_S = 5.0


@contextmanager
def burning(*, busy: bool) -> Iterator[int]:
    """Keep every core busy while the block runs, if ``busy``; yield how many."""
    count = len(os.sched_getaffinity(0)) if busy else 0
    module = "benchmarks.calibration.burners"
    burners: list[subprocess.Popen[bytes]] = []
    try:
        burners.extend(
            subprocess.Popen([sys.executable, "-m", module, str(os.getpid())])
            for _ in range(count)
        )
        yield count
    finally:
        for burner in burners:
            burner.kill()
        for burner in burners:
            burner.wait(_END_TIMEOUT_S)


def _burn() -> None:
    while True:
        pass


if __name__ == "__main__":
    # Nothing may outlive a calibration that was killed.
    bind_life_to_parent(int(sys.argv[1]), signal.SIGKILL)
    _burn()
