"""Logging in anew on connections that are open, with a password that is new.

A server takes AUTH at any time, among other commands and in their order, so nothing is
closed and nothing waits. Whoever is refused stays logged in as before (redis-server
7.0.15, observed). A connection of an ElastiCache IAM user has to log in anew within
twelve hours, or it is cut.
"""

import asyncio
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

_LEAST_PAUSE_S = 0.001
_AT_ONCE = 20
"""Commands in one turn of the loop that measures."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Renewal:
    """What became of the open connections of a lane when they logged in anew.

    Args:
        renewed: were let in.
        refused: were not, and stay as they were.
        reason: what the server said against the last of those, or "".
    """

    renewed: int = 0
    refused: int = 0
    reason: str = ""

    def __add__(self, other: "Renewal") -> "Renewal":
        """Return both together."""
        return Renewal(
            self.renewed + other.renewed,
            self.refused + other.refused,
            other.reason or self.reason,
        )


async def spread_over(
    items: Sequence[_T], spread_s: float, begin: Callable[[_T], None]
) -> None:
    """Begin something for each of many, in random order, evenly over a time.

    Args:
        items: of them.
        spread_s: the time; if it is short it takes as long as not to hold the loop up.
        begin: is called with each; it does not wait.
    """
    if not items:
        return
    shuffled = sorted(items, key=lambda _: os.urandom(4))
    pause_s = spread_s / len(items)
    size = 1 if pause_s >= _LEAST_PAUSE_S else _AT_ONCE
    for first in range(0, len(shuffled), size):
        some = shuffled[first : first + size]
        for item in some:
            begin(item)
        await asyncio.sleep(max(pause_s * len(some), _LEAST_PAUSE_S))
