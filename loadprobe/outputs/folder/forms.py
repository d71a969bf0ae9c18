"""The forms in which a file of a segment is kept: as written, compressed, coarser.

``series.ndjson`` becomes ``series.ndjson.zst``, then ``series.60s.ndjson.zst`` and
``series.3600s.ndjson.zst``. While one is made from another both are there: a reader
takes the finest, which is whole.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from loadprobe.outputs.folder.documents import (
    CELLS,
    CLOUDWATCH,
    EVENTS,
    HISTOGRAMS,
    SEALED,
    SERIES,
    SERVERS,
    encode_document,
)
from loadprobe.outputs.folder.packed import SUFFIX, digest_of
from loadprobe.outputs.folder.private import replace_whole, sync_folder
from loadprobe.outputs.folder.regular import open_regular

MANIFEST = "manifest.json"
GROWING = (EVENTS, HISTOGRAMS, SERIES, SERVERS, CLOUDWATCH, CELLS, SEALED)
"""The files of a segment, in the order in which they are brought to the disk."""

MINUTE_S = 60
HOUR_S = 3600
STEPS_S = (1, MINUTE_S, HOUR_S)

_LARGEST_MANIFEST_BYTES = 1024 * 1024


def form_name(name: str, *, step_s: int = 1) -> str:
    """Return the name of a file that is compressed, of steps of so many seconds."""
    stem, _, suffix = name.partition(".")
    step = "" if step_s == 1 else f"{step_s}s."
    return f"{stem}.{step}{suffix}{SUFFIX}"


def find_form(folder: Path, name: str) -> Path | None:
    """Return the finest form of a file that is there, None if there is none."""
    packed = (folder / form_name(name, step_s=step_s) for step_s in STEPS_S)
    return next((path for path in (folder / name, *packed) if path.is_file()), None)


def step_of(path: Path) -> int:
    """Return of how many seconds the steps of a file are that was found."""
    found = re.search(r"\.(\d+)s\.ndjson\.zst$", path.name)
    return int(found[1]) if found else 1


class KeptFile(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a manifest says of a file.

    Args:
        kept_as: its name now; None if it is not kept any more.
        bytes: its size on the disk.
        sha256: of the same.
        content_bytes: size of what was written, if that is not the same.
        damaged: why it was set aside, "" if it was not.
    """

    kept_as: str | None
    bytes: int = 0
    sha256: str = ""
    content_bytes: int | None = None
    damaged: str = ""


class Manifest(msgspec.Struct, frozen=True):
    """The content of ``manifest.json``: files by the name they were written under."""

    schema_version: int = 1
    files: dict[str, KeptFile] = {}


@dataclass(frozen=True, slots=True)
class SegmentFiles:
    """The files of a segment that does not grow any more.

    Args:
        folder: where they are.
    """

    folder: Path

    def manifest(self) -> Manifest:
        """Return what is known of the files; nothing if that cannot be read."""
        try:
            with open_regular(self.folder / MANIFEST) as file:
                content = file.read(_LARGEST_MANIFEST_BYTES)
            return msgspec.json.decode(content, type=Manifest)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return Manifest()

    def note(self, name: str, kept: KeptFile) -> None:
        """Write down what has become of a file.

        Raises:
            OSError: it cannot be written.
        """
        files = {**self.manifest().files, name: kept}
        replace_whole(self.folder / MANIFEST, encode_document(Manifest(files=files)))

    def check(self, name: str, *, tick: Callable[[], None] = lambda: None) -> str:
        """Return what is wrong with a file, "" if it is as the manifest says."""
        known = self.manifest().files.get(name)
        path = find_form(self.folder, name)
        if known is not None and known.damaged:
            return known.damaged
        if known is None or known.kept_as is None:
            return ""
        if path is None:
            return "it is gone"
        if path.name != known.kept_as or not known.sha256:
            return ""  # a finer one, from which that is being made
        try:
            is_same = digest_of(path, tick=tick) == known.sha256
        except OSError as exc:
            return f"it cannot be read: {exc.strerror or exc}"
        return "" if is_same else "it is not what was written"

    def set_aside(self, name: str, why: str) -> Path | None:
        """Keep a damaged file under another name, and return that.

        Raises:
            OSError: it cannot be renamed.
        """
        path = find_form(self.folder, name)
        aside: Path | None = None
        if path is not None:
            number = 1
            aside = path.with_name(f"{path.name}.damaged")
            while aside.exists():
                number += 1
                aside = path.with_name(f"{path.name}.damaged-{number}")
            path.rename(aside)
            sync_folder(self.folder)
        self.note(name, KeptFile(kept_as=None, damaged=why))
        return aside
