"""The file in which error budgets outlive runs, and the folders of runs.

It is beside the run folders: ``<[output] dir>/.budget/<name of the run>/``, one for
each target. Its first line is all that was known when it was begun, each further one an
entry. Lines have a checksum, as those of ``sealed.ndjson``, and reach the kernel and
the disk as those do. When it has grown it is begun anew, as a new generation; the one
before is kept until the next time, and for longer if the disk does not take the new
one. So a reader finds a whole one at any time, and takes the newest of those.
"""

import fcntl
import hashlib
import os
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

from loadprobe.clock import NS_PER_S
from loadprobe.core.budget.accounts import Accounts, BudgetSnapshot, Entry
from loadprobe.outputs.folder.appending import AppendFile, WaitingMemory
from loadprobe.outputs.folder.private import FILE_MODE, FOLDER_MODE
from loadprobe.outputs.folder.regular import open_regular
from loadprobe.outputs.folder.syncing import Syncing

SCHEMA_VERSION = 1
BUDGETS = ".budget"
GROWN_BYTES = 256 * 1024
"""A file is begun anew when it has grown by this, and is twice as long as it was."""

DURABLE_NS = 5 * NS_PER_S
"""What became known longer ago than this is on the disk, whatever happens."""

_LARGEST_BYTES = 256 * 1024 * 1024
_PENDING_LIMIT_BYTES = 4 * 1024 * 1024


class Header(msgspec.Struct, frozen=True):
    """The first line.

    Args:
        schema_version: of the file.
        run: name of the run.
        target: what is measured.
        known: what was known when the file was begun.
    """

    schema_version: int
    run: str
    target: str
    known: BudgetSnapshot


_FRAME = msgspec.json.Decoder(tuple[int, msgspec.Raw])
_HEADER = msgspec.json.Decoder(Header)
_ENTRY = msgspec.json.Decoder(Entry)


class BudgetFile:
    """The file of one run's name and target; only one process has it at a time.

    Args:
        directory: where run folders are written.
        run: name of the run.
        target: what is measured.

    Attributes:
        problems: what is wrong, as sentences.
    """

    def __init__(self, directory: Path, run: str, target: str) -> None:
        self._folder = directory / BUDGETS / run
        self._mark = _mark(target)
        self._run = run
        self._target = target
        self._lock: int | None = None
        self._generation = 0
        self._whole = 0
        self._file: AppendFile | None = None
        self._begun_bytes = 0
        self._syncing: Syncing | None = None
        self._notes: list[str] = []

    @property
    def problems(self) -> list[str]:
        """Return what is wrong, as sentences."""
        error = self._file.error if self._file is not None else None
        texts = list(self._notes)
        if self._file is not None and self._file.pending_count and error is not None:
            texts.append(f"the error budget cannot be written ({_reason(error)})")
        return texts

    def load(self) -> Accounts:
        """Take the file, and return what is known; nothing if it cannot be had."""
        try:
            self._folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            self._take()
            return self._read()
        except OSError as exc:
            self._release()  # what was not read must not be begun anew without it
            self._notes.append(
                f"the error budget in {str(self._folder)!r} cannot be used "
                f"({_reason(exc)}): it is that of this process alone"
            )
            return Accounts()

    def begin(self, known: BudgetSnapshot) -> None:
        """Begin the file anew; after ``load``, and when it has grown."""
        if self._lock is None:
            return
        before = self._file
        if before is not None and not before.pending_count:
            self._whole = self._generation
        self._generation += 1
        header = Header(SCHEMA_VERSION, self._run, self._target, known)
        line = encode(header)
        self._file = AppendFile(
            self._path(self._generation),
            header=line,
            room=WaitingMemory(len(line) + _PENDING_LIMIT_BYTES),
        )
        self._begun_bytes = len(line)
        self._file.flush()
        if self._syncing is None or before is None:
            self._syncing = Syncing(self._folder, [self._file])
            self._syncing.start()
        else:
            self._syncing.turn_to(self._folder, [self._file], leave=[before])
        self._remove_old()

    def add(self, entry: Entry) -> None:
        """Append what became known."""
        if self._file is not None:
            self._file.append(encode(entry))

    @property
    def is_grown(self) -> bool:
        """Tell whether it is time to begin it anew."""
        if self._file is None:
            return False
        least = max(self._begun_bytes, GROWN_BYTES)
        return self._file.size_bytes - self._begun_bytes > least

    def close(self) -> None:
        """Bring all of it to the disk, and let others have it."""
        if self._file is not None:
            self._file.flush()
            if self._syncing is None or self._syncing.stop():
                self._file.close()
            self._file = None
        self._release()

    def _release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _path(self, generation: int) -> Path:
        return _path(self._folder, self._mark, generation)

    def _take(self) -> None:
        path = self._folder / f"{self._mark}.lock"
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            raise
        self._lock = lock

    def _generations(self) -> list[int]:
        """Return the generations that are there, the newest first."""
        return _generations(self._folder, self._mark)

    def _read(self) -> Accounts:
        accounts: Accounts | None = None
        found = self._generations()
        self._generation = max(found, default=0)
        for generation in found:
            if accounts is not None:
                break
            path = self._path(generation)
            try:
                accounts = read_budget(path)
                self._whole = generation
            except ValueError as exc:
                path.replace(path.with_suffix(".damaged"))
                self._notes.append(f"{str(path)!r} is set aside as .damaged: {exc}")
        return accounts or Accounts()

    def _remove_old(self) -> None:
        """Remove what nobody needs: all before the last whole one but the newest."""
        if self._file is None or self._file.pending_count:
            return
        with suppress(OSError):
            for generation in self._generations():
                if generation < self._whole:
                    self._path(generation).unlink()


def find_budget(
    directory: Path, run: str, target: str, until_ns: int
) -> Accounts | None:
    """Return the accounts as they stood at a time; nothing is locked or changed.

    Args:
        directory: where run folders are written.
        run: name of the run.
        target: what is measured.
        until_ns: what became known later is left out, UNIX.

    Returns:
        None if there is no file that reaches from before that time to it.
    """
    folder, mark = directory / BUDGETS / run, _mark(target)
    for generation in _generations(folder, mark):
        try:
            accounts = read_budget(_path(folder, mark, generation), until_ns=until_ns)
        except (ValueError, OSError):
            continue  # damaged, or removed just now
        if accounts.until_ns <= until_ns:
            is_near = until_ns - accounts.until_ns <= DURABLE_NS
            return accounts if is_near else None
    return None


def read_budget(path: Path, *, until_ns: int | None = None) -> Accounts:
    """Return the accounts that a file holds; what is torn at its end is left out.

    Args:
        path: of the file.
        until_ns: what became known later is left out; None leaves out nothing.

    Raises:
        ValueError: it cannot be read.
    """
    lines = _lines(path)
    try:
        header = _HEADER.decode(next(lines))
        if header.schema_version != SCHEMA_VERSION:
            raise ValueError(f"its format is {header.schema_version}, not known here")
        accounts = Accounts(header.known)
        for content in lines:
            entry = _ENTRY.decode(content)
            if until_ns is not None and entry.until_ns > until_ns:
                break
            accounts.take(entry)
    except StopIteration:
        raise ValueError("its first line is not whole") from None
    except (msgspec.DecodeError, OverflowError, RecursionError) as exc:
        raise ValueError(str(exc)) from exc
    return accounts


def _lines(path: Path) -> Iterator[msgspec.Raw]:
    """Yield what whole lines hold, up to the first that is not."""
    with open_regular(path) as file:
        content = file.read(_LARGEST_BYTES)
    for line in content.splitlines(keepends=True):
        try:
            checksum, raw = _FRAME.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return
        if not line.endswith(b"\n") or zlib.crc32(raw) != checksum:
            return
        yield raw


def encode(row: Header | Entry) -> bytes:
    """Return a line with its line feed."""
    content = msgspec.json.encode(row)
    return b"[%d,%b]\n" % (zlib.crc32(content), content)


def _mark(target: str) -> str:
    return hashlib.sha256(target.encode()).hexdigest()[:12]


def _path(folder: Path, mark: str, generation: int) -> Path:
    return folder / f"{mark}.{generation:08d}.ndjson"


def _generations(folder: Path, mark: str) -> list[int]:
    """Return the generations that are there, the newest first."""
    names = (path.name.split(".") for path in folder.glob("*.ndjson"))
    found = (int(parts[1]) for parts in names if _is_generation(parts, mark))
    return sorted(found, reverse=True)


def _is_generation(parts: list[str], mark: str) -> bool:
    first, *rest = parts
    return first == mark and len(rest[:-1]) == 1 and rest[0].isdecimal()


def _reason(error: OSError) -> str:
    if isinstance(error, BlockingIOError):
        return "another run of the same name has it"
    return error.strerror or str(error)
