"""A file system so small that a test can fill it."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def mounted(path: Path, *, size: str) -> Iterator[Path]:
    """Mount an empty file system of a size such as "64k", or skip the test."""
    path.mkdir()
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    command = ["/bin/mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode:
        pytest.skip(f"cannot mount a small file system: {ran.stderr.strip()}")
    try:
        yield path
    finally:
        subprocess.run(["/bin/umount", str(path)], check=True)
