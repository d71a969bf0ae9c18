"""Files of a run folder that are compressed, and reading them as if they were not.

What a hostile file can make a reader hold is bounded: a window of the decompressor,
what comes of the next few bytes, and one line.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from pathlib import Path

import zstandard

from loadprobe.outputs.folder.private import open_private
from loadprobe.outputs.folder.regular import open_regular

SUFFIX = ".zst"
LONGEST_LINE_BYTES = 64 * 1024 * 1024

_LEVEL = 9
_LARGEST_WINDOW_BYTES = 8 * 1024 * 1024
_CHUNK_BYTES = 256 * 1024
_PACKED_BYTES = 1024
"""Read at a time: a hostile file makes 32 MB of it, and no more."""


def is_packed(path: Path) -> bool:
    """Tell whether a file is compressed, also under the name it is made with."""
    return SUFFIX in path.suffixes[-2:]


def pack(
    chunks: Iterable[bytes], path: Path, *, tick: Callable[[], None] = lambda: None
) -> int:
    """Write chunks to a compressed file, and have it reach the disk.

    Args:
        chunks: what is to be in it.
        path: a file that is made anew.
        tick: called between chunks.

    Returns:
        How many bytes the chunks have.

    Raises:
        OSError: it cannot be written.
    """
    size = 0
    with open_private(path) as file:
        packer = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True)
        with packer.stream_writer(file, closefd=False) as writer:
            for chunk in chunks:
                writer.write(chunk)
                size += len(chunk)
                tick()
        file.flush()
        os.fsync(file.fileno())
    return size


def kept_chunks(path: Path) -> Iterator[bytes]:
    """Yield what was written, piece by piece, whether the file is compressed or not.

    Raises:
        OSError: it cannot be read.
        ValueError: it is compressed, and damaged.
    """
    with open_regular(path) as file:
        if not is_packed(path):
            while chunk := file.read(_CHUNK_BYTES):
                yield chunk
            return
        unpacker = zstandard.ZstdDecompressor(max_window_size=_LARGEST_WINDOW_BYTES)
        unpacking = unpacker.decompressobj()
        try:
            while not unpacking.eof and (packed := file.read(_PACKED_BYTES)):
                yield unpacking.decompress(packed)
        except zstandard.ZstdError as exc:
            raise ValueError(f"it cannot be decompressed: {exc}") from exc
        if not unpacking.eof:
            raise ValueError("it ends too early")


def kept_lines(path: Path) -> Iterator[bytes]:
    """Yield lines with their ends; the last one may have none.

    Raises:
        OSError: it cannot be read.
        ValueError: it is damaged, or a line is longer than any that is written.
    """
    rest: list[bytes] = []
    size = 0
    for chunk in kept_chunks(path):
        first, *more = chunk.split(b"\n")
        rest.append(first)
        size += len(first)
        if size > LONGEST_LINE_BYTES:
            raise ValueError(f"a line is longer than {LONGEST_LINE_BYTES} bytes")
        if not more:
            continue
        yield b"".join(rest) + b"\n"
        *whole, last = more
        for line in whole:
            yield line + b"\n"
        rest, size = [last], len(last)
    if size:
        yield b"".join(rest)


def digest_of(path: Path, *, tick: Callable[[], None] = lambda: None) -> str:
    """Return the SHA-256 of a file as it stands on the disk.

    Raises:
        OSError: it cannot be read.
    """
    found = sha256()
    with open_regular(path) as file:
        while chunk := file.read(_CHUNK_BYTES):
            found.update(chunk)
            tick()
    return found.hexdigest()
