"""Groups of runs that can be compared, and folders of them."""

import json
from collections.abc import Sequence
from pathlib import Path

import msgspec

from loadprobe.core.comparing.comparison import ComparedRun, RunGroup
from loadprobe.core.comparing.figures import Figure
from loadprobe.core.comparing.obstacles import Circumstances
from loadprobe.core.verdict.quantities import Bounds, DowntimeMs
from loadprobe.outputs.folder.documents import encode_document
from tests.support.reports import ZERO, make_run


def bounds(value: float, bar: float = 0.0) -> Bounds:
    """Return a value with error bars of one width."""
    return Bounds(value, value - bar, value + bar)


def group(label: str, figures: dict[Figure, Sequence[float]]) -> RunGroup:
    """Return a group with one run for each value of its figures."""
    count = max(len(values) for values in figures.values())
    runs = [
        ComparedRun(
            Circumstances(f"{label}/{at}", "clean", 0.0),
            {f: bounds(values[at]) for f, values in figures.items()},
        )
        for at in range(count)
    ]
    return RunGroup(label, runs)


def dark_group(label: str, *values: float) -> RunGroup:
    """Return a group of runs with these dark times."""
    return group(label, {Figure("dark_ms"): values})


def write_run(folder: Path, dark_ms: float, *, rate_per_s: float = 1000.0) -> Path:
    """Write a run folder with such a dark time; it has no events and no film."""
    run = make_run()
    dark = bounds(dark_ms, 1.0)
    summary = msgspec.structs.replace(
        run.summary, downtime_ms=DowntimeMs(dark, ZERO, {"0002": dark})
    )
    info = msgspec.structs.replace(
        run.info, config={"lanes": [{"name": "tcp", "rate_per_s": rate_per_s}]}
    )
    folder.mkdir(parents=True)
    (folder / "run.json").write_bytes(encode_document(info))
    (folder / "summary.json").write_bytes(encode_document(summary))
    outages = {"schema_version": 1, "outages": [], "connects": []}
    (folder / "outages.json").write_text(json.dumps(outages))
    (folder / "events.ndjson").write_text('{"schema_version":1,"file":"events"}\n')
    (folder / "cells.film").write_bytes(b"LPFILM01")
    return folder
