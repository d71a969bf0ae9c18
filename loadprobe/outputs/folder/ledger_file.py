"""The file of acknowledged writes, by which a process that comes later finds lost ones.

A magic, whose last two digits are the version of the format. Then frames of a header
(length and CRC-32 of what follows, unsigned, big-endian, 4 bytes each) and a
MessagePack array of a lane's name, its keys and their versions (columns of unsigned
numbers of 8 bytes), when their TTL began (signed ones, ``clock.boot_now_ns``), and what
that clock is: the id of this start of the machine, and what leads to UNIX time. Later
frames count. The file is written anew when it has grown to twice what it has to hold,
so its size does not grow with the length of a run.

After another start of the machine only the wall clock is left to tell how old a key is.
If it was set back meanwhile, a key that has expired may be taken for lost; a time that
lies ahead of now is not believed.

What is missing from it is not looked for; so it is written without waiting for the
disk, and whatever is wrong with it ends the reading of it. It never makes a write lost
that is not.
"""

import logging
import os
import struct
from array import array
from collections.abc import Mapping
from contextlib import suppress
from itertools import starmap
from pathlib import Path
from typing import Literal
from zlib import crc32

import msgspec

from loadprobe.clock import BootClock, read_boot_clock
from loadprobe.core.load.lifetimes import LONG_AGO
from loadprobe.core.load.remembered import Remembered
from loadprobe.outputs.folder.private import FILE_MODE, new_name
from loadprobe.outputs.folder.regular import read_regular

LEDGER = "ledger.bin"
MAGIC = b"lp-ledger-02"
GROWN_BYTES = 256 * 1024
_WAIT_WRITES = 100

_HEADER = struct.Struct(">II")
_FRAME = msgspec.msgpack.Decoder(tuple[str, bytes, bytes, bytes, str, int])

Ledger = dict[str, dict[int, Remembered]]
"""Lane -> key -> what was written."""

logger = logging.getLogger(__name__)


class LedgerFile:
    """Keeps acknowledged writes in a run folder.

    Args:
        folder: the run folder.
        known: what is known already.
    """

    def __init__(
        self, folder: Path, known: Mapping[str, Mapping[int, Remembered]]
    ) -> None:
        self._path = folder / LEDGER
        self.known: Ledger = {lane: dict(rows) for lane, rows in known.items()}
        self._fd: int | None = None
        self._bytes = self._begun_bytes = 0
        self._is_wanting = False
        self._wait = 0
        self._begin()

    def add(self, lane: str, keys: bytes, versions: bytes, set_ns: bytes) -> None:
        """Take writes of a lane, as columns."""
        rows = _rows(keys, versions, set_ns)
        self.known.setdefault(lane, {}).update(rows)
        self._append(_frame(lane, keys, versions, set_ns, read_boot_clock()))
        is_grown = self._bytes - self._begun_bytes >= GROWN_BYTES
        if is_grown and self._bytes >= 2 * self._begun_bytes:
            self._begin()

    def forget(self, lane: str, keys: bytes) -> None:
        """Take note that writes are known to be lost: they are not looked for again."""
        rows = self.known.get(lane, {})
        if not keys or not rows:
            return
        for key in _column(keys):
            rows.pop(key, None)
        self._begin()

    def close(self) -> None:
        """Write no more."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _append(self, frame: bytes) -> None:
        if self._fd is None:
            self._wait -= 1
            if self._wait <= 0:
                self._begin()
            return
        try:
            is_whole = os.write(self._fd, frame) == len(frame)
        except OSError as exc:
            self._fail(exc)
            return
        self._bytes += len(frame)
        if not is_whole:  # nothing behind it could be read
            self._begin()

    def _begin(self) -> None:
        """Write the file anew."""
        self.close()
        temporary, clock = new_name(self._path), read_boot_clock()
        frames = (
            _frame(
                lane,
                array("Q", rows).tobytes(),
                array("Q", [each.version for each in rows.values()]).tobytes(),
                array("q", [each.set_ns for each in rows.values()]).tobytes(),
                clock,
            )
            for lane, rows in self.known.items()
        )
        content = MAGIC + b"".join(frames)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            fd = os.open(temporary, flags, FILE_MODE)
            try:
                if os.write(fd, content) != len(content):
                    raise OSError("it was not written as a whole")
                temporary.replace(self._path)
            except BaseException:
                os.close(fd)
                raise
        except OSError as exc:
            self._fail(exc)
            return
        self._fd = fd
        self._bytes = self._begun_bytes = len(content)
        self._is_wanting = False

    def _fail(self, exc: OSError) -> None:
        """Have the file begun anew after some time; what is there is right, but old."""
        self._wait = _WAIT_WRITES
        if not self._is_wanting:
            fields = {"lp_path": str(self._path), "lp_reason": str(exc)}
            logger.warning("ledger_not_written", extra=fields)
        self._is_wanting = True
        self.close()


def read_ledger(folder: Path) -> Ledger:
    """Return what a run folder knows of acknowledged writes, as far as it is right."""
    found: Ledger = {}
    now = read_boot_clock()
    try:
        content = read_regular(folder / LEDGER)
    except OSError:
        return found
    if not content.startswith(MAGIC):
        return found
    at = len(MAGIC)
    with suppress(struct.error, msgspec.MsgspecError, ValueError):
        while at < len(content):
            length, checksum = _HEADER.unpack_from(content, at)
            at += _HEADER.size
            payload = content[at : at + length]
            at += length
            if len(payload) != length or crc32(payload) != checksum:
                break
            frame = _FRAME.decode(payload)
            lane, keys, versions, set_ns, boot_id, to_wall_ns = frame
            rows = _rows(keys, versions, set_ns)
            if boot_id != now.boot_id or not boot_id:
                ahead_ns = to_wall_ns - now.to_wall_ns
                rows = [(key, _shifted(row, ahead_ns, now.now_ns)) for key, row in rows]
            found.setdefault(lane, {}).update(rows)
    return found


def _shifted(row: Remembered, by_ns: int, now_ns: int) -> Remembered:
    """Return what was written in the clock of now, by way of the wall clock."""
    if row.set_ns == LONG_AGO:
        return row
    set_ns = row.set_ns + by_ns
    return row._replace(set_ns=set_ns if set_ns <= now_ns else LONG_AGO)


def _rows(keys: bytes, versions: bytes, set_ns: bytes) -> list[tuple[int, Remembered]]:
    columns = _column(versions), _column(set_ns, "q")
    return list(
        zip(_column(keys), starmap(Remembered, zip(*columns, strict=True)), strict=True)
    )


def _frame(
    lane: str, keys: bytes, versions: bytes, set_ns: bytes, clock: BootClock
) -> bytes:
    payload = msgspec.msgpack.encode(
        (lane, keys, versions, set_ns, clock.boot_id, clock.to_wall_ns)
    )
    return _HEADER.pack(len(payload), crc32(payload)) + payload


def _column(data: bytes, kind: Literal["Q", "q"] = "Q") -> "array[int]":
    column = array(kind)
    column.frombytes(data)  # raises ValueError if it is cut within a number
    return column
