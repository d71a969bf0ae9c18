"""Checking passwords against bcrypt hashes without holding up the event loop.

One check takes tens of milliseconds of a CPU that the probes may need: they run one
after the other in a thread, a few may wait, and what was right once is remembered.
"""

import asyncio
import hashlib
import hmac
import os
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import bcrypt

LARGEST_QUEUE = 16
"""Checks that may wait; who sends more of them at a time knows no password."""

LARGEST_SHARE = 8
"""Of these, from one address: who guesses passwords keeps nobody else out."""

_REMEMBERED = 128
_USED_BYTES = 72
"""bcrypt looks at no more of a password; its makers cut it, so checking does too."""

_UNKNOWN_COST = 10


class TooManyLoginsError(Exception):
    """So many logins are being checked that one more is not looked at."""


class Passwords:
    """Checks logins; wrong ones are looked at anew every time."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="bcrypt")
        self._secret = os.urandom(32)
        self._good: dict[bytes, None] = {}
        self._under_way: Counter[str] = Counter()

    async def is_right(
        self, users: Mapping[str, str], name: str, password: bytes, *, address: str
    ) -> bool:
        """Tell whether a user has a password.

        All names take as long as the one whose hash takes longest, also those that
        nobody has.

        Args:
            users: name -> bcrypt hash.
            name: who wants to come in.
            password: what was given.
            address: from where it was given.

        Raises:
            TooManyLoginsError: too many checks wait already.
        """
        hashed = users.get(name) or _nobody(users)
        mark = self._mark(name, hashed, password)
        if mark in self._good:
            return True
        share = self._under_way[address]
        if self._under_way.total() > LARGEST_QUEUE or share >= LARGEST_SHARE:
            raise TooManyLoginsError
        self._under_way[address] += 1
        future = self._executor.submit(
            _check, password[:_USED_BYTES], hashed, _greatest_cost(users)
        )
        loop = asyncio.get_running_loop()
        # Also when the client leaves: the thread goes on, and is what is counted.
        future.add_done_callback(lambda _: _call(loop, partial(self._end, address)))
        is_right = await asyncio.wrap_future(future) and name in users
        if is_right:
            if len(self._good) >= _REMEMBERED:
                self._good.clear()
            self._good[mark] = None
        return is_right

    def close(self) -> None:
        """Give up what waits; a check that is being made ends by itself."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _end(self, address: str) -> None:
        self._under_way[address] -= 1
        if not self._under_way[address]:
            del self._under_way[address]

    def _mark(self, name: str, hashed: str, password: bytes) -> bytes:
        """Return what a login is remembered by; nothing can be read from it."""
        mark = hmac.new(self._secret, digestmod=hashlib.sha256)
        for part in (name.encode("utf-8", "surrogatepass"), hashed.encode(), password):
            mark.update(len(part).to_bytes(8, "big") + part)
        return mark.digest()


def _nobody(users: Mapping[str, str]) -> str:
    """Return a hash of no password, at the greatest cost of those that are in use."""
    return _hash_of_nothing(_greatest_cost(users))


def _greatest_cost(users: Mapping[str, str]) -> int:
    return max(map(_cost, users.values()), default=_UNKNOWN_COST)


def _cost(hashed: str) -> int:
    """Return the cost of a hash: it takes 2**cost rounds."""
    return int(hashed[4:6])


def _hash_of_nothing(cost: int) -> str:
    return f"$2b${cost:02d}${'.' * 53}"


def _check(password: bytes, hashed: str, greatest_cost: int) -> bool:
    """Tell whether a password is right, in the time that the greatest cost takes.

    2**c + 2**c + 2**(c + 1) + ... + 2**(greatest - 1) = 2**greatest rounds.
    """
    is_right = bcrypt.checkpw(password, hashed.encode())
    for cost in range(_cost(hashed), greatest_cost):
        bcrypt.checkpw(password, _hash_of_nothing(cost).encode())
    return is_right


def _call(loop: asyncio.AbstractEventLoop, callback: object) -> None:
    assert callable(callback)
    if not loop.is_closed():
        loop.call_soon_threadsafe(callback)
