"""When keys that were written with a TTL may be gone.

Pure. A server takes a key away when its TTL has passed since it last *applied* a
command that sets it (``SET ... EX``, ``EXPIRE``). That was not before the command was
made. So a key is certainly there for a TTL from when the last acknowledged command was
made, and its absence after that proves nothing: neither a lost write nor a wrong reply.

Nothing is kept for each write: versions grow in the order of making, so a few samples
of (time, next version) tell before which time a version was certainly not made.

What makes the proof uncertain is taken off: a twentieth of the TTL, and a second at
least, for clocks that do not agree (a replica that is promoted ends the TTL by its own)
and the time between two samples. A renewal counts only once another has followed it: a
failover may lose the last one, as it may lose any command, and then the key ends with
the one before. Who renews every third of a TTL keeps the key all the same.

Times are those of a clock that goes on while the machine sleeps.
"""

from bisect import bisect_right

from loadprobe.clock import NS_PER_S

LONG_AGO = -(1 << 62)
"""Earlier than any time: of what nobody here has written or renewed."""

_SAMPLES = 64
"""In a TTL."""

_DOUBT = 20
_LEAST_DOUBT_NS = NS_PER_S
_DUE = 3
_ROUND = 8


class Lifetimes:
    """Until when the keys of a share of a lane are certainly there.

    Args:
        ttl_s: TTL of all of them; with 0 they have none.
        now_ns: of now.
        version: the first one that is written here, from now on.

    Attributes:
        round_ns: all keys have to be looked through in this time, for those that are
            due are renewed in time then, also if the first try fails.
        moved_ns: renewals from before are not relied on: they were made elsewhere.
    """

    def __init__(self, ttl_s: int, *, now_ns: int, version: int) -> None:
        self._ttl_ns = ttl_s * NS_PER_S
        doubt_ns = max(self._ttl_ns // _DOUBT, _LEAST_DOUBT_NS)
        self._sure_ns = self._ttl_ns - doubt_ns
        self._every_ns = self._ttl_ns // _SAMPLES
        self._times = [now_ns]
        self._versions = [version]
        self.round_ns = self._ttl_ns // _ROUND
        self.moved_ns = LONG_AGO

    @property
    def are_limited(self) -> bool:
        """Tell whether keys have a TTL."""
        return self._ttl_ns > 0

    def note(self, now_ns: int, version: int) -> None:
        """Take note of which version is the next one; call it often."""
        times, versions = self._times, self._versions
        if not self._ttl_ns:
            return
        if versions[-1] == version:
            times[-1] = now_ns  # nothing was made since
        elif now_ns - times[-1] >= self._every_ns:
            times.append(now_ns)
            versions.append(version)
            while len(times) > 1 and times[1] < now_ns - self._ttl_ns:
                del times[0], versions[0]

    def made_ns(self, version: int) -> int:
        """Return a time before which a version was not made; LONG_AGO if it is old."""
        at = bisect_right(self._versions, version)
        return self._times[at - 1] if at else LONG_AGO

    def is_sure(self, since_ns: int, now_ns: int) -> bool:
        """Tell whether a key has to be there that was set at a time, or later."""
        if since_ns == LONG_AGO:
            return False
        return not self._ttl_ns or now_ns - since_ns < self._sure_ns

    def is_due(self, since_ns: int, now_ns: int) -> bool:
        """Tell whether a key has to be renewed that was set at a time."""
        return self._ttl_ns > 0 and now_ns - since_ns >= self._ttl_ns // _DUE

    def has_grown(self, since_ns: int, told_ns: int) -> bool:
        """Tell whether a key is there for so much longer that it is worth telling."""
        return self._ttl_ns > 0 and since_ns - told_ns >= self.round_ns

    def move(self, now_ns: int) -> None:
        """Rely on no renewal from before: the keys are those of another cluster."""
        self.moved_ns = now_ns
