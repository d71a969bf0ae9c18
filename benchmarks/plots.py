"""The pictures of docs/performance.md, one for each figure of the curves."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks.document import Curve

_PANEL_INCHES = (3.6, 3.2)
_DPI = 90
_HEADROOM = 1.15
_COLORS = {
    "wire": "#2a6f97",
    "redis-benchmark": "#c8553d",
    "memtier": "#6a994e",
}
_AXES = {
    "cost": ("workers", "CPU, us per operation", "linear"),
    "throughput": ("workers", "thousand operations per second", "linear"),
    "lateness": ("share of arrivals that are later, %", "ms", "log"),
    "sidecar": ("minutes", "", "linear"),
    "growth": ("workers or shards", "", "symlog"),
    "hour": ("minutes of arrivals", "", "linear"),
    "soak": ("minutes", "", "linear"),
}


def file_name(figure: str) -> str:
    """Return the name of a picture's file."""
    return f"performance-{figure}.svg"


def draw_all(curves: Sequence[Curve], folder: Path) -> list[str]:
    """Write all pictures; the same curves give the same bytes.

    Returns:
        The figures, in the order in which they first occur.
    """
    folder.mkdir(parents=True, exist_ok=True)
    figures = list(dict.fromkeys(curve.figure for curve in curves))
    for figure in figures:
        own = [curve for curve in curves if curve.figure == figure]
        draw(figure, own, folder / file_name(figure))
    return figures


def draw(figure: str, curves: Sequence[Curve], path: Path) -> None:
    """Write one picture; the same curves give the same bytes."""
    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "loadprobe"
    titles = dict.fromkeys(curve.panel for curve in curves)
    panels = [[curve for curve in curves if curve.panel == title] for title in titles]
    width, height = _PANEL_INCHES
    picture = Figure(
        figsize=(width * max(2, len(panels)), height), dpi=_DPI, layout="constrained"
    )
    x_label, y_label, scale = _AXES[figure]
    for axes, own in zip(
        picture.subplots(1, len(panels), squeeze=False)[0], panels, strict=True
    ):
        for curve in own:
            axes.plot(
                *zip(*curve.points, strict=True),
                marker="o" if len(curve.points) < 10 else "",
                label=curve.label,
                color=_COLORS.get(curve.label),
            )
        axes.set_xscale(scale)
        highest = max(y for curve in own for _, y in curve.points)
        axes.set_ylim(0, _HEADROOM * highest or 1)
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        axes.set_title(own[0].panel)
        axes.legend()
    picture.savefig(path, metadata={"Date": None})
