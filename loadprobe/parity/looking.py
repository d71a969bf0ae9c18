"""Looking at keys on both sides: most are the same, and cost two questions a side."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from hiredis import ReplyError

from loadprobe.clock import NS_PER_MS, mono_now_ns
from loadprobe.core.parity.contents import FIRST, is_whole, read, weight_of
from loadprobe.core.parity.glimpse import (
    NO_KEY,
    Finding,
    Glimpse,
    compare,
    ends_between,
)
from loadprobe.core.parity.suspects import BothSeen
from loadprobe.drivers.wire.bulk import BulkCommand
from loadprobe.parity.side import Side

TYPE = BulkCommand((b"TYPE",), ())
_PTTL = BulkCommand((b"PTTL",), ())
_FIRST = {name: BulkCommand(*question) for name, question in FIRST.items()}
_STRING = b"string"
_TOGETHER = 50
"""Collections whose first slices are asked for at once."""

_READINGS = 8
"""Large keys that are read at a time."""

_NO_END = -1

Pace = Callable[[int], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class _View:
    """What one side showed of some keys, a row of each list per key."""

    types: list[bytes]
    pttls: list[int]
    firsts: list[Any]
    asked_ns: int
    told_ns: int


class Looker:
    """Looks at keys.

    Args:
        source: one side.
        target: the other side.
        tolerance_ns: ends may be so far apart.
        pace: waits until so many more keys may be looked at; slices of a large key
            count by what they hold.
    """

    def __init__(
        self, source: Side, target: Side, *, tolerance_ns: int, pace: Pace
    ) -> None:
        self._source = source
        self._target = target
        self._tolerance_ns = tolerance_ns
        self._pace = pace
        self._readings = asyncio.Semaphore(_READINGS)

    async def look(self, keys: Sequence[bytes]) -> list[tuple[bytes, BothSeen]]:
        """Return those that are not the same, with what was seen of them."""
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(_view(side, keys))
                for side in (self._source, self._target)
            ]
        source, target = (task.result() for task in tasks)
        if _is_all_the_same(source, target):
            return []
        tolerance_ms = self._tolerance_ns // NS_PER_MS
        doubtful = [
            index
            for index in range(len(keys))
            if not _is_same(source, target, index, tolerance_ms)
        ]
        async with asyncio.TaskGroup() as group:
            looks = [
                group.create_task(self._see(keys[index], source, target, index))
                for index in doubtful
            ]
        seen = [look.result() for look in looks]
        return [
            (keys[index], each)
            for index, each in zip(doubtful, seen, strict=True)
            if each.finding is not Finding.SAME
        ]

    async def _see(self, key: bytes, source: _View, target: _View, at: int) -> BothSeen:
        first = await self._glimpse(self._source, key, source, at)
        second = await self._glimpse(self._target, key, target, at)
        finding = compare(first, second, tolerance_ns=self._tolerance_ns)
        return BothSeen(finding, first, second)

    async def _glimpse(self, side: Side, key: bytes, view: _View, at: int) -> Glimpse:
        type_name = view.types[at]
        if type_name == NO_KEY:
            return Glimpse(NO_KEY, b"", None, view.asked_ns)
        ends = ends_between(view.pttls[at], view.asked_ns, view.told_ns)
        content = await self._content(side, key, type_name, view.firsts[at])
        return Glimpse(type_name, content, ends, view.asked_ns)

    async def _content(
        self, side: Side, key: bytes, type_name: bytes, first: Any
    ) -> bytes | None:
        """Return the digest of what a key holds, read to its end."""
        if isinstance(first, ReplyError):  # it has another type by now
            return None
        reading = read(type_name, first)
        try:
            question = next(reading)
            async with self._readings:
                reply: Any = None
                while True:
                    await self._pace(weight_of(reply))
                    ((reply,),) = await side.ask([key], BulkCommand(*question))
                    if isinstance(reply, ReplyError):
                        reading.close()
                        return None
                    question = reading.send(reply)
        except StopIteration as end:
            content: bytes | None = end.value
            return content


async def _view(side: Side, keys: Sequence[bytes]) -> _View:
    asked_ns = mono_now_ns()
    types, pttls = await side.ask(keys, TYPE, _PTTL)
    told_ns = mono_now_ns()
    kinds = set(types)
    if kinds == {_STRING}:
        (firsts,) = await side.ask(keys, _FIRST[_STRING])
        return _View(types, pttls, firsts, asked_ns, told_ns)
    firsts = [None] * len(keys)
    for kind in kinds & _FIRST.keys():
        places = [index for index, each in enumerate(types) if each == kind]
        size = len(places) if kind == _STRING else _TOGETHER
        for begin in range(0, len(places), size):
            part = places[begin : begin + size]
            (replies,) = await side.ask([keys[index] for index in part], _FIRST[kind])
            for index, reply in zip(part, replies, strict=True):
                firsts[index] = reply
    return _View(types, pttls, firsts, asked_ns, told_ns)


def _is_all_the_same(source: _View, target: _View) -> bool:
    """Tell whether all keys are short strings without an end, the same on both sides.

    It is what most keys mostly are, and takes a tenth of looking at each.
    """
    return (
        source.types == target.types
        and source.firsts == target.firsts
        and set(source.types) == {_STRING}
        and set(source.pttls) == set(target.pttls) == {_NO_END}
        and ReplyError not in map(type, source.firsts)
        and is_whole(_STRING, max(source.firsts, key=len))
    )


def _is_same(source: _View, target: _View, at: int, tolerance_ms: int) -> bool:
    """Tell whether a key is certainly the same on both sides, from first replies."""
    type_name, first = source.types[at], source.firsts[at]
    if type_name != target.types[at]:
        return False
    if type_name == NO_KEY:
        return True
    left, other = source.pttls[at], target.pttls[at]
    is_close = left >= 0 and other >= 0 and abs(left - other) <= tolerance_ms
    return (
        (left == other == _NO_END or is_close)
        and first is not None
        and not isinstance(first, ReplyError)
        and first == target.firsts[at]
        and is_whole(type_name, first)
    )
