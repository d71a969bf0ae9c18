"""The picture of docs/accuracy.md: what is seen, and how exactly it is measured."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.calibration.figures import BIN_EDGES, CaseFigures
from benchmarks.calibration.settings import VIEWS

_SIZE_INCHES = (9.0, 3.8)
_DPI = 90
_COLORS = {False: "#2a6f97", True: "#c8553d"}


def draw(cases: Sequence[CaseFigures], path: Path) -> None:
    """Write the picture; the same figures give the same bytes."""
    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "loadprobe"
    figure = Figure(figsize=_SIZE_INCHES, dpi=_DPI, layout="constrained")
    left, right = figure.subplots(1, 2)
    measured = [case for case in cases if case.failure is None]
    _draw_seen(left, measured)
    _draw_errors(right, measured)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})


def _draw_seen(axes: Axes, cases: Sequence[CaseFigures]) -> None:
    middles = [(low + high) / 2 for low, high in pairwise(BIN_EDGES)]
    for view in VIEWS:
        rows = [row for case in cases for row in case.detection if row.view == view]
        shares = [
            (middle, sum(row.seen[at] for row in rows) / total)
            for at, middle in enumerate(middles)
            if (total := sum(row.total[at] for row in rows))
        ]
        axes.plot(*zip(*shares, strict=True), marker="o", label=view) if shares else ()
    axes.plot((0, 1, 2), (0, 1, 1), "k:", label="even distances: length / gap")
    axes.set_xlabel("length of the outage in probing gaps")
    axes.set_ylabel("share of outages seen")
    axes.set_title("What is seen")
    axes.legend()


def _draw_errors(axes: Axes, cases: Sequence[CaseFigures]) -> None:
    for is_busy, label in ((False, "idle"), (True, "busy")):
        own = [
            (case.gap_ms["shard"], case.error_median_ms)
            for case in cases
            if case.setting.busy is is_busy and case.error_median_ms
        ]
        if own:
            gaps, errors = zip(*own, strict=True)
            axes.scatter(gaps, errors, color=_COLORS[is_busy], label=label)
    gaps_ms = sorted({case.gap_ms["shard"] for case in cases})
    axes.plot(gaps_ms, gaps_ms, "k:", label="the probing gap")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("probing gap of a shard (ms)")
    axes.set_ylabel("median error of the estimate (ms)")
    axes.set_title("How exactly it is measured")
    axes.legend()
