"""A week of a run in an interpreter of its own: what other tests left is not in it.

``python -m tests.support.long_week FOLDER`` prints what one more day adds.
"""

import gc
import json
import sys
import tracemalloc
from pathlib import Path

import pytest

from loadprobe.outputs.folder.retention import Retention
from tests.support.long_run import DAY, LongRun, check_what_is_left


def live_through(directory: Path) -> dict[str, object]:
    """Return the growth of the last day of a week, and where most of it was allocated.

    The shape is ``{"bytes": int, "where": [str], "folder": [before, after]}``.
    """
    with pytest.MonkeyPatch.context() as monkeypatch:
        run = LongRun(directory, Retention(retain_days=2), monkeypatch)
        run.run_until(round(5.5 * DAY))
        folder_bytes = run.last.segments_bytes
        tracemalloc.start()  # makes everything five times as slow
        run.run_until(6 * DAY)  # until then what is forgotten was not traced
        before, bytes_before = _look()
        run.run_until(7 * DAY)
        after, bytes_after = _look()
        tracemalloc.stop()
        check_what_is_left(run, kept_h=48)
    return {
        "bytes": bytes_after - bytes_before,
        "where": [str(line) for line in after.compare_to(before, "lineno")[:10]],
        "folder": [folder_bytes, run.last.segments_bytes],
    }


def _look() -> tuple[tracemalloc.Snapshot, int]:
    gc.collect()
    count, _ = tracemalloc.get_traced_memory()
    return tracemalloc.take_snapshot(), count


if __name__ == "__main__":
    sys.stdout.write(json.dumps(live_through(Path(sys.argv[1]))))
