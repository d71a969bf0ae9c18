"""How an arrival ended: six outcomes, and a closed list of classes beneath them.

Pure values. The definitions are those of docs/measuring.md. Codes are small integers
because they are recorded per arrival and cross a pipe.
"""

from enum import IntEnum


class Outcome(IntEnum):
    """What became of one arrival."""

    SERVED = 0
    """The correct reply was parsed by due + deadline."""
    LATE = 1
    """The correct reply was parsed after due + deadline."""
    REFUSED = 2
    """The server answered with an error: the operation did not happen."""
    UNKNOWN = 3
    """No reply, or the connection was lost after sending: it may have happened."""
    UNSENT = 4
    """Never handed to a socket: there was no connection, or too much in flight."""
    WRONG = 5
    """A reply that does not match what was written."""

    @property
    def label(self) -> str:
        """Return the name used in files and metrics, for example ``served``."""
        return self.name.lower()


class ErrorClass(IntEnum):
    """Why an arrival was not served; NONE belongs to served arrivals only."""

    NONE = 0
    # refused: the first word of the server's error reply
    CLUSTERDOWN = 1
    MOVED = 2
    ASK = 3
    TRYAGAIN = 4
    READONLY = 5
    LOADING = 6
    MASTERDOWN = 7
    AUTH = 8
    OOM = 9
    MISCONF = 10
    OTHER = 11
    # unknown
    TIMEOUT = 12
    RESET = 13
    # unsent
    CONNECT_REFUSED = 14
    UNREACHABLE = 15
    DNS = 16
    TLS = 17
    INFLIGHT = 18
    # late, wrong
    LATE = 19
    VALUE = 20

    @property
    def label(self) -> str:
        """Return the name used in files and metrics, for example ``clusterdown``."""
        return self.name.lower()


class OpKind(IntEnum):
    """What an arrival does."""

    READ = 0
    WRITE = 1
    REPLICA_READ = 2
    """A read that a replica may answer."""
    CONNECT = 3
    """A new connection, with handshake and login, until its first reply."""

    @property
    def label(self) -> str:
        """Return the name used in files and metrics, for example ``read``."""
        return self.name.lower()

    @property
    def is_apart(self) -> bool:
        """Tell whether it counts in no figure of the load, but beside them."""
        return self is OpKind.CONNECT

    @property
    def witnessed_as(self) -> "OpKind":
        """Return what stands for all op kinds that go where this one goes.

        What one node does to them says nothing of those that go elsewhere.
        """
        return OpKind.READ if self is OpKind.WRITE else self
