"""A week of a run in an interpreter of its own: what other tests left is not in it.

``python -m tests.support.long_week FOLDER`` prints what one more day adds.
"""

import gc
import json
import sys
import tracemalloc
from itertools import pairwise
from pathlib import Path

import pytest

from loadprobe.outputs.folder.retention import Retention
from tests.support.long_run import DAY, LongRun, check_what_is_left

DAYS = 3


def live_through(directory: Path) -> dict[str, object]:
    """Return what a day adds, of each of the last days, and where most of it was.

    What grows with time does so every day. A table of the interpreter that happens to
    be made anew (of interned strings, for example) is of one day alone, and counts as
    much as the whole table. So the least of the days tells.

    The shape is ``{"bytes": int, "where": [str], "folder": [before, after]}``.
    """
    with pytest.MonkeyPatch.context() as monkeypatch:
        run = LongRun(directory, Retention(retain_days=2), monkeypatch)
        run.run_until(round(3.5 * DAY))
        folder_bytes = run.last.segments_bytes
        tracemalloc.start()  # makes everything five times as slow
        run.run_until(4 * DAY)  # until then what is forgotten was not traced
        looks = [_look()]
        for day in range(1, DAYS + 1):
            run.run_until((4 + day) * DAY)
            looks.append(_look())
        tracemalloc.stop()
        check_what_is_left(run, kept_h=48)
    days = list(pairwise(looks))
    (before, _), (after, _) = min(days, key=lambda day: day[1][1] - day[0][1])
    return {
        "bytes": min(after[1] - before[1] for before, after in days),
        "where": [str(line) for line in after.compare_to(before, "lineno")[:10]],
        "folder": [folder_bytes, run.last.segments_bytes],
    }


def _look() -> tuple[tracemalloc.Snapshot, int]:
    gc.collect()
    count, _ = tracemalloc.get_traced_memory()
    return tracemalloc.take_snapshot(), count


if __name__ == "__main__":
    sys.stdout.write(json.dumps(live_through(Path(sys.argv[1]))))
