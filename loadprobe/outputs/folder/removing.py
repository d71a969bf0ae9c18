"""Removing segments and the folders of incidents, and remembering that they were there.

Only files that loadprobe wrote are removed: whatever else is in a folder stays, and the
folder with it.
"""

import re
from contextlib import suppress
from pathlib import Path

import msgspec

from loadprobe.outputs.folder.documents import encode_document
from loadprobe.outputs.folder.forms import GROWING, MANIFEST
from loadprobe.outputs.folder.private import replace_whole, sync_folder
from loadprobe.outputs.folder.regular import read_regular
from loadprobe.outputs.folder.segments import SEGMENT

REMOVED = "removed.json"
INCIDENT = "incident.json"
_MOST_REMOVALS = 1000

_STEMS = "|".join(sorted({name.partition(".")[0] for name in GROWING}))
_ENDS = "|".join(sorted({name.partition(".")[2] for name in GROWING}))
_OURS = re.compile(
    rf"(\.?({_STEMS})\.(\d+s\.)?({_ENDS})(\.zst)?(\.new|\.damaged(-\d+)?)?"
    rf"|\.?({re.escape(MANIFEST)}|{re.escape(SEGMENT)}|{re.escape(INCIDENT)})(\.new)?)"
)


class Removal(msgspec.Struct, frozen=True):
    """What was removed, one after the other for one reason.

    Args:
        what: "segments" or "incidents".
        count: how many.
        from_unix_ns: when the first of them began.
        until_unix_ns: when the last of them ended.
        why: the key of ``[output]`` that says so.
    """

    what: str
    count: int
    from_unix_ns: int
    until_unix_ns: int
    why: str


class Removals(msgspec.Struct, frozen=True):
    """The content of ``removed.json``, in the order of removal."""

    schema_version: int = 1
    removed: tuple[Removal, ...] = ()


def read_removals(folder: Path) -> tuple[Removal, ...]:
    """Return what was removed from a run folder; nothing if that cannot be read."""
    try:
        content = read_regular(folder / REMOVED)
        return msgspec.json.decode(content, type=Removals).removed
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ()


def note_removal(folder: Path, new: Removal) -> None:
    """Remember that something was removed.

    Raises:
        OSError: it cannot be written.
    """
    *before, last = (*read_removals(folder), new)
    if before and (before[-1].what, before[-1].why) == (new.what, new.why):
        known = before.pop()
        last = msgspec.structs.replace(
            new,
            count=known.count + new.count,
            from_unix_ns=min(known.from_unix_ns, new.from_unix_ns),
            until_unix_ns=max(known.until_unix_ns, new.until_unix_ns),
        )
    kept = (*before, last)[-_MOST_REMOVALS:]
    replace_whole(folder / REMOVED, encode_document(Removals(removed=kept)))


def own_files(folder: Path) -> list[Path]:
    """Return the files of a segment or an incident, the documents of the run left out.

    Raises:
        OSError: the folder cannot be read.
    """
    return [
        path
        for path in folder.iterdir()
        if _OURS.fullmatch(path.name) and path.is_file() and not path.is_symlink()
    ]


def remove_files(folder: Path, *, is_whole_run: bool = False) -> None:
    """Remove the files of a segment or an incident, and its folder if that is empty.

    Args:
        folder: where they are.
        is_whole_run: it is that of the run, and stays.

    Raises:
        OSError: something cannot be removed.
    """
    for path in own_files(folder):
        path.unlink(missing_ok=True)
    if is_whole_run:
        sync_folder(folder)
        return
    with suppress(OSError):  # something of somebody else's is in it
        folder.rmdir()
    sync_folder(folder.parent)
