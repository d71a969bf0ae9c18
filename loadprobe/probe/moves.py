"""What is said when lanes go over to another cluster, and when writes are held."""

import msgspec

from loadprobe.config.keys import Target


class GoOver(msgspec.Struct, frozen=True, tag="go_over"):
    """Go over to another cluster, which may have another shape and another login.

    Everything for it is made beside what there is, and connected first; arrivals go on
    to the old cluster until then.

    Args:
        tls: for lanes of this transport.
        target: the other cluster, and how to log in there.
        password: None does not log in.
        cut_over: number of this cut-over, higher than any before.
    """

    tls: bool
    target: Target
    password: str | None
    cut_over: int

    def __repr__(self) -> str:
        """Show nothing of the password."""
        return f"<GoOver number {self.cut_over}>"


class HoldWrites(msgspec.Struct, frozen=True, tag="hold_writes"):
    """Read where the schedule says write, or do as it says again.

    Args:
        is_held: nothing is written from now on; ``WritesHeld`` is the answer.
    """

    is_held: bool


class WritesHeld(msgspec.Struct, frozen=True, tag="writes_held"):
    """All writes that were on their way have ended, and no other one is made.

    Args:
        at_ns: since when, monotonic.
    """

    process: int
    at_ns: int


class GoneOver(msgspec.Struct, frozen=True, tag="gone_over"):
    """A lane sends its arrivals to another cluster.

    Args:
        cut_over: number of the cut-over.
        at_ns: since when, monotonic.
    """

    process: int
    lane: str
    cut_over: int
    at_ns: int


class FoundThere(msgspec.Struct, frozen=True, tag="found_there"):
    """What another cluster held, right after a lane went over to it.

    Of the keys with an acknowledged write of this run:

    Args:
        cut_over: number of the cut-over.
        checked: those that were read.
        lost: those whose acknowledged value, or a newer one, was not there.
        overwritten: those that were written there before they were looked at.
        unread: those that could not be read, or were not there and may have expired.
    """

    process: int
    lane: str
    cut_over: int
    checked: int
    lost: int
    overwritten: int
    unread: int
