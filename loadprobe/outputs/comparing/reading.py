"""Reading runs that are compared: each once, for its figures and for the page.

One after the other, and of each only what is shown is kept: together they may be large.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from loadprobe.core.comparing.comparison import Run
from loadprobe.errors import UsageError
from loadprobe.outputs.comparing.circumstances import compared_run
from loadprobe.outputs.comparing.steady import steady_lanes
from loadprobe.outputs.folder.documents import PAGE
from loadprobe.outputs.folder.reader import RunData
from loadprobe.outputs.page.overlay import overlaid_run


class RunReader:
    """Reads runs (see the module).

    Args:
        load: reads the folder of a run.
        has_page: a page of the comparison is to be made.
    """

    def __init__(self, load: Callable[[Path], RunData], *, has_page: bool) -> None:
        self._load = load
        self._has_page = has_page
        self._shown: dict[str, dict[str, Any]] = {}
        self._problem: UsageError | None = None

    def read(self, path: Path) -> Run:
        """Return a run as it is compared.

        Raises:
            UsageError: it cannot be read.
        """
        data = self._load(path)
        if self._has_page and self._problem is None:
            try:
                self._shown[str(data.path)] = overlaid_run(data)
            except UsageError as exc:
                self._problem = exc  # which is nothing to a comparison without a page
        return replace(compared_run(data), steady=steady_lanes(data))

    def shown_on(self, page: Path) -> Mapping[str, Mapping[str, Any]]:
        """Return of each run that was read what a page shows of it.

        Args:
            page: its path: from there it leads to the pages of single runs.

        Raises:
            UsageError: one of the runs cannot be shown.
        """
        if self._problem is not None:
            raise self._problem
        return {
            run: {**shown, "page": _link(Path(run) / PAGE, page)}
            for run, shown in self._shown.items()
        }


def _link(run_page: Path, page: Path) -> str | None:
    """Return how a page leads to another one; None if that is not there."""
    if not run_page.is_file():
        return None
    way = os.path.relpath(run_page.absolute(), page.absolute().parent)
    return f"./{quote(way)}"  # a name with a colon would be a scheme
