"""What a client library is to a lane, and what is counted of its work.

What is known of the operation of a task is kept in a context variable: it is the only
thing that reaches from an operation to the connections that a library uses for it.
"""

from collections.abc import Awaitable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Protocol

from loadprobe.clock import mono_now_ns
from loadprobe.config.keys import Target
from loadprobe.core.judging.outcome import ErrorClass, Outcome
from loadprobe.drivers.base import DriverStats
from loadprobe.drivers.renewal import Renewal

End = tuple[Outcome, ErrorClass]


@dataclass(slots=True)
class Operation:
    """What became of the tries of one operation."""

    tries: int = 0
    answers: int = 0


CURRENT: ContextVar[Operation | None] = ContextVar("operation", default=None)


@dataclass(slots=True)
class Tally:
    """What a library did for a lane.

    Args:
        stats: counted since they were taken last.
        moved: redirects by MOVED since the start.
    """

    stats: DriverStats = field(default_factory=DriverStats)
    moved: int = 0

    def count_try(self, operation: Operation) -> None:
        """Count a command that is sent for an arrival, again or for the first time."""
        operation.tries += 1
        self.stats.attempts += 1

    def count_connect(self, label: str) -> None:
        """Count an attempt to connect, by how it ended."""
        self.stats.connects[label] = self.stats.connects.get(label, 0) + 1

    def count_connected(self, since_ns: int) -> None:
        """Count an attempt that was begun at a time and has succeeded now."""
        self.count_connect("ok")
        self.stats.connect_ns.append(mono_now_ns() - since_ns)

    def count_refresh(self) -> None:
        """Count a look at the cluster's slots."""
        self.stats.refreshes += 1

    def count_redirect(self, error: ErrorClass) -> None:
        """Count a redirect that the client was sent."""
        label = error.label
        self.stats.redirects[label] = self.stats.redirects.get(label, 0) + 1
        self.moved += error is ErrorClass.MOVED

    def take(self) -> DriverStats:
        """Return what was counted since the last call."""
        stats, self.stats = self.stats, DriverStats()
        return stats


@dataclass(slots=True)
class Login:
    """How to log in now: libraries that can ask do so for every connection.

    Args:
        username: ACL user, None for the user ``default``.
        password: the password, None to not log in.
    """

    username: str | None
    password: str | None = field(repr=False)

    def get_credentials(self) -> tuple[str] | tuple[str, str] | tuple[()]:
        """Return the arguments of AUTH; none at all leaves AUTH out."""
        if self.password is None:
            return ()
        if self.username is None:
            return (self.password,)
        return self.username, self.password

    def use(self, username: str | None, password: str | None) -> None:
        """Log in as somebody else from now on."""
        self.username, self.password = username, password

    async def get_credentials_async(self) -> tuple[str] | tuple[str, str] | tuple[()]:
        """Return the same."""
        return self.get_credentials()


class Handle(Protocol):
    """One client object of a library."""

    async def connect(self) -> None:
        """Meet the target, as an application's client does when it starts."""

    def get(self, key: bytes) -> Awaitable[object]:
        """Return the value of a key, or None."""

    def set(self, key: bytes, value: bytes, ttl_s: int) -> Awaitable[object]:
        """Write a key, with a TTL if it is not 0, and return ``resp.OK``."""

    def use_login(self) -> None:
        """Take note that the login has changed, if the library has to be told."""

    async def close(self) -> None:
        """Close it with all its connections, whatever state it is in."""


class Library(Protocol):
    """Makes client objects and says what their exceptions mean.

    Attributes:
        name: of the library.
        tally: is told by the library what it does.
        login: how to log in, as the library asks for it.
    """

    name: str
    tally: Tally
    login: Login

    def make(self, target: Target, *, users: int) -> Handle:
        """Return a client object that is not connected yet.

        Args:
            target: where to.
            users: how many operations are under way by it at most.
        """

    def classify(self, exc: Exception) -> End:
        """Return (outcome, class) of an exception that an operation ended with.

        Raises:
            Exception: the exception itself when no row of the table fits.
        """

    def connected_to(self) -> Iterable[tuple[str, int]]:
        """Yield the address of every open connection, as far as it is known."""

    async def renew_login(self, spread_s: float) -> Renewal:
        """Log in anew on open connections, spread over a time; none is closed."""

    def read_certificates(self) -> bool:
        """Read certificates anew for connections to come; tell whether that is done.

        If not, it takes new client objects.
        """

    def drop(self) -> None:
        """Drop all connections, without waiting for anything, as far as they are known.

        What waits for one of them ends or fails.
        """


def seconds(milliseconds: int | None) -> float | None:
    """Return the seconds of a setting; None if it is not set."""
    return None if milliseconds is None else milliseconds / 1000


def end_of(end: End, *, tries: int, answers: int) -> End:
    """Return how an operation ended, given what is known of its tries.

    Args:
        end: what its last exception means.
        tries: how often it was handed to a socket.
        answers: how many of these were answered.
    """
    outcome, error = end
    if tries > answers:
        return Outcome.UNKNOWN, error
    if outcome is Outcome.UNKNOWN:
        # Nothing of it is under way: it was the login, or the question who serves it.
        is_silent = error is ErrorClass.TIMEOUT
        return Outcome.UNSENT, ErrorClass.UNREACHABLE if is_silent else error
    return end
