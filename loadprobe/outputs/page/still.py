"""The verdict and the film of a run as a picture, drawn by the Chromium of the system.

It draws the same front end as the page, so that nothing is drawn in two ways. Chromium
gets one file of ours and a folder of its own, which goes with it; like the page, it may
ask for nothing.
"""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from loadprobe.errors import UsageError
from loadprobe.outputs.folder.private import open_private
from loadprobe.outputs.folder.reader import RunData
from loadprobe.outputs.page.page import OF_STILL, keep_page, make_page

WIDTH_PX = 1280
_MOST_PX = 8_000
_FIRST_PX = 900
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_LONGEST_S = 120
_DRAWN = re.compile(r'<html[^>]* data-height="(\d{1,6})"')
_PNG = b"\x89PNG\r\n\x1a\n"


def find_chromium() -> str:
    """Return where Chromium is.

    Raises:
        UsageError: it is nowhere on PATH.
    """
    for name in _NAMES:
        if found := shutil.which(name):
            return found
    raise UsageError(
        "a picture is drawn by Chromium, and there is none on PATH: install it, for "
        "example with 'apt-get install chromium', or open the page (--html) in a "
        "browser of yours"
    )


def write_still(run: RunData, path: Path) -> Path:
    """Draw the verdict and the film of a run into a PNG file; return its path.

    Raises:
        UsageError: there is no Chromium, it fails, or the run cannot be shown.
        OSError: the file cannot be written.
    """
    chromium = find_chromium()
    page = make_page(run, OF_STILL)
    with tempfile.TemporaryDirectory(prefix="loadprobe-png-") as name:
        folder = Path(name)
        source, picture = folder / "film.html", folder / "film.png"
        with open_private(source) as file:
            file.write(page)
        found = _DRAWN.search(_shown(chromium, folder, ("--dump-dom",), _FIRST_PX))
        if found is None:
            raise UsageError(
                f"{chromium} did not draw the film; open the page (--html)"
            )
        height = min(int(found[1]), _MOST_PX)
        _shown(chromium, folder, (f"--screenshot={picture}",), height)
        content = picture.read_bytes() if picture.is_file() else b""
    if not content.startswith(_PNG):
        raise UsageError(f"{chromium} made no picture; open the page (--html)")
    keep_page(path, content)
    return path


def _shown(chromium: str, folder: Path, what: Sequence[str], height_px: int) -> str:
    """Have the page shown, and return what Chromium writes."""
    command = [
        chromium,
        "--headless=new",
        "--disable-gpu",
        "--hide-scrollbars",
        "--force-color-profile=srgb",
        "--no-first-run",
        f"--user-data-dir={folder / 'profile'}",
        f"--window-size={WIDTH_PX},{height_px}",
        "--virtual-time-budget=60000",
        *what,
        (folder / "film.html").as_uri(),
    ]
    if os.geteuid() == 0:  # its sandbox refuses to work for root
        command.insert(1, "--no-sandbox")
    try:
        done = subprocess.run(
            command,
            check=False,
            capture_output=True,
            timeout=_LONGEST_S,
            env={**os.environ, "HOME": str(folder)},
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise UsageError(f"{chromium} cannot draw the film: {exc}") from exc
    return done.stdout.decode(errors="replace")
