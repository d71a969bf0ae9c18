"""All files that are made from the catalogue: dashboards and rules."""

from collections.abc import Callable, Mapping
from pathlib import Path

from loadprobe.dashboards.board import Board
from loadprobe.dashboards.comparison import comparison
from loadprobe.dashboards.fleet import fleet
from loadprobe.dashboards.maintenance import maintenance
from loadprobe.dashboards.rules import rules_text

RULES_FILE = "loadprobe.rules.yml"
DASHBOARDS: Mapping[str, Callable[[], Board]] = {
    "maintenance.json": maintenance,
    "shards.json": comparison,
    "fleet.json": fleet,
}


def make_files() -> dict[str, str]:
    """Return the text of every file by its name; the same at every call."""
    dashboards = {name: make().text() for name, make in DASHBOARDS.items()}
    return {**dashboards, RULES_FILE: rules_text()}


def write_files(folder: Path) -> list[Path]:
    """Write all files into a folder, and return their paths.

    Raises:
        OSError: the folder cannot be made, or a file not be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, text in make_files().items():
        path = folder / name
        path.write_text(text)
        paths.append(path)
    return paths
