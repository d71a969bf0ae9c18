"""Checking passwords against bcrypt hashes without holding up the event loop.

One check takes tens of milliseconds of a CPU that the probes may need: they run one
after the other in a thread, a few may wait, and what was right once is remembered.
"""

import asyncio
import hashlib
import hmac
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import bcrypt

LARGEST_QUEUE = 16
"""Checks that may wait; who sends more of them at a time knows no password."""

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
        self._under_way = 0

    async def is_right(
        self, users: Mapping[str, str], name: str, password: bytes
    ) -> bool:
        """Tell whether a user has a password.

        A name that nobody has takes as long as a wrong password.

        Args:
            users: name -> bcrypt hash.
            name: who wants to come in.
            password: what was given.

        Raises:
            TooManyLoginsError: too many checks wait already.
        """
        hashed = users.get(name) or _nobody(users)
        mark = self._mark(name, hashed, password)
        if mark in self._good:
            return True
        if self._under_way > LARGEST_QUEUE:
            raise TooManyLoginsError
        self._under_way += 1
        future = self._executor.submit(
            bcrypt.checkpw, password[:_USED_BYTES], hashed.encode()
        )
        loop = asyncio.get_running_loop()
        # Also when the client leaves: the thread goes on, and is what is counted.
        future.add_done_callback(lambda _: _call(loop, self._end))
        is_right = await asyncio.wrap_future(future) and name in users
        if is_right:
            if len(self._good) >= _REMEMBERED:
                self._good.clear()
            self._good[mark] = None
        return is_right

    def close(self) -> None:
        """Give up what waits; a check that is being made ends by itself."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _end(self) -> None:
        self._under_way -= 1

    def _mark(self, name: str, hashed: str, password: bytes) -> bytes:
        """Return what a login is remembered by; nothing can be read from it."""
        mark = hmac.new(self._secret, digestmod=hashlib.sha256)
        for part in (name.encode("utf-8", "surrogatepass"), hashed.encode(), password):
            mark.update(len(part).to_bytes(8, "big") + part)
        return mark.digest()


def _nobody(users: Mapping[str, str]) -> str:
    """Return a hash of no password, at the greatest cost of those that are in use."""
    cost = max((int(hashed[4:6]) for hashed in users.values()), default=_UNKNOWN_COST)
    return f"$2b${cost:02d}${'.' * 53}"


def _call(loop: asyncio.AbstractEventLoop, callback: object) -> None:
    assert callable(callback)
    if not loop.is_closed():
        loop.call_soon_threadsafe(callback)
