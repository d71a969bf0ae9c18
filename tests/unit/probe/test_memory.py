"""Garbage of a probe process: what it does to itself while it measures."""

import gc

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
    before = len(gc.get_objects())
    del made
    collections.tidy(0)
    assert len(gc.get_objects()) <= before - 2_000
