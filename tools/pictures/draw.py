"""Draws dashboards in a headless Chromium, with uPlot for the graphs.

A picture shows what Grafana would show, from the same queries with the same steps,
units and colours in the same places. It does not have its looks.
"""

import io
import json
import shutil
import subprocess
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

from PIL import Image

from tools.pictures.answers import answered_panels
from tools.pictures.queries import Plain, Shown

WIDTH_PX = 1280
_ROW_PX = 34  # as in page.js
_COLOURS = 128
_HERE = Path(__file__).parent


def draw(
    url: str,
    dashboard: Plain,
    shown: Shown,
    picture: Path,
    *,
    uplot: Path,
    titles: Collection[str] = (),
) -> None:
    """Draw a dashboard, or some rows of it, into a PNG file.

    Args:
        url: of Prometheus.
        dashboard: its file, decoded.
        shown: the time that is shown.
        picture: the file.
        uplot: folder of uPlot with uPlot.iife.min.js.
        titles: of panels to draw, in their rows; all of them if there are none.

    Raises:
        QueryError: Prometheus refused a query.
    """
    panels = answered_panels(url, dashboard, shown)
    if titles:
        panels = _chosen(panels, titles)
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "page.html"
        page.write_text(_page(panels, uplot))
        shot = Path(folder) / "shot.png"
        top = min(panel["grid"]["y"] for panel in panels)
        rows = max(p["grid"]["y"] + p["grid"]["h"] for p in panels) - top
        _shoot(page, shot, height_px=rows * _ROW_PX + 16)
        small = io.BytesIO()
        Image.open(shot).convert("RGB").quantize(_COLOURS).save(
            small, "PNG", optimize=True
        )
    picture.parent.mkdir(parents=True, exist_ok=True)
    picture.write_bytes(small.getvalue())


def _chosen(
    panels: list[dict[str, Any]], titles: Collection[str]
) -> list[dict[str, Any]]:
    """Return some panels, moved up to where those that are left out were."""
    chosen = sorted(
        (p for p in panels if p["title"] in titles),
        key=lambda p: (p["grid"]["y"], p["grid"]["x"]),
    )
    line, top, bottom = None, 0, 0
    for panel in chosen:
        grid = panel["grid"]
        if grid["y"] != line:
            line, top = grid["y"], bottom
        bottom = max(bottom, top + grid["h"])
        panel["grid"] = grid | {"y": top}
    return chosen


def _page(panels: list[dict[str, Any]], uplot: Path) -> str:
    styles = (uplot / "uPlot.min.css").read_text() + (_HERE / "page.css").read_text()
    code = (uplot / "uPlot.iife.min.js").read_text() + (_HERE / "page.js").read_text()
    plain = json.dumps(panels).replace("<", "\\u003c")
    return (
        f"<!doctype html><meta charset='utf-8'><style>{styles}</style>"
        f"<div id='board'></div><script>{code}\ndraw({plain});</script>"
    )


def _shoot(page: Path, shot: Path, *, height_px: int) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        raise SystemExit("no chromium on PATH; install it, for example with apt-get")
    subprocess.run(
        [
            browser,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            f"--user-data-dir={page.parent / 'profile'}",
            f"--window-size={WIDTH_PX},{height_px}",
            "--virtual-time-budget=20000",
            f"--screenshot={shot}",
            page.as_uri(),
        ],
        check=True,
        capture_output=True,
        timeout=120,
    )
