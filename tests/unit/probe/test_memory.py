"""Garbage of a probe process: what it does to itself while it measures."""

import gc
import subprocess
import sys

import pytest

from loadprobe.clock import NS_PER_S
from loadprobe.probe import memory
from loadprobe.probe.memory import Collections


class Let:
    """Something that refers to itself, as a client library lets go of it."""

    def __init__(self) -> None:
        self.own = self


def test_what_takes_long_is_put_off_but_not_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Much garbage takes long, and the next time there must not be more of it."""
    now_ns = 0

    def slow_clock() -> int:
        nonlocal now_ns
        now_ns += NS_PER_S  # so long takes each collection
        return now_ns

    collected: list[int] = []
    second = 0
    monkeypatch.setattr(memory, "mono_now_ns", slow_clock)
    monkeypatch.setattr(gc, "get_count", lambda: (10_000, 0, 0))
    monkeypatch.setattr(gc, "collect", lambda: collected.append(second))
    collections = Collections()
    for second in range(100):
        collections.tidy(second * NS_PER_S)
    assert collected == [0, 30, 60, 90]


def test_what_refers_to_itself_is_collected() -> None:
    """Nothing but a collection frees it; a few objects are not worth one."""
    collections = Collections()
    gc.collect()
    made = [Let() for _ in range(2_000)]
    del made
    collections.tidy(0)
    assert not any(isinstance(each, Let) for each in gc.get_objects())


LARGE_BLOCKS = """
import ctypes, sys
from loadprobe.probe.memory import give_back_large_blocks

class Info(ctypes.Structure):
    _fields_ = [(f"f{at}", ctypes.c_size_t) for at in range(10)]

libc = ctypes.CDLL(None)
libc.mallinfo2.restype = Info
mapped = lambda: libc.mallinfo2().f4
if sys.argv[1] == "bounded":
    give_back_large_blocks()
bytearray(20_000_000)  # is freed at once
before = mapped()
kept = bytearray(300_000)
print(mapped() - before)
"""


@pytest.mark.skipif(memory._MALLOPT is None, reason="the C library has no mallopt")
def test_large_blocks_have_pages_of_their_own() -> None:
    """One is not taken from the heap after a larger one was freed, as it is else."""

    def mapped(how: str) -> int:
        command = [sys.executable, "-c", LARGE_BLOCKS, how]
        return int(subprocess.check_output(command, timeout=30))

    assert mapped("as ever") == 0
    assert mapped("bounded") >= 300_000
