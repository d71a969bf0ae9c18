"""How many keys a second may be looked at, and how long it still takes.

Pure: times are passed in.
"""

_NS_PER_S = 1_000_000_000
_BURST_NS = _NS_PER_S // 10


class Allowance:
    """Spreads keys over time, so that no second has more than its share.

    Args:
        keys_per_s: as many at most; 0: as many as can be.
    """

    def __init__(self, keys_per_s: int) -> None:
        self._per_key_ns = _NS_PER_S / keys_per_s if keys_per_s else 0.0
        self._free_ns = 0.0

    def take(self, keys: int, now_ns: int) -> int:
        """Return how long to wait before looking at so many keys, in ns.

        Time that was not used is lost, but for a tenth of a second.
        """
        self._free_ns = max(self._free_ns, now_ns - _BURST_NS)
        due_ns = self._free_ns
        self._free_ns += keys * self._per_key_ns
        return max(0, round(due_ns) - now_ns)


def seconds_left(
    *, done: int, total: int, later: int, keys_per_s: float
) -> float | None:
    """Return how long the rest takes; None if that cannot be said.

    Args:
        done: keys of this direction that were looked at.
        total: keys that there are, about.
        later: keys of the other direction, if it comes after this one.
        keys_per_s: how fast it goes.
    """
    if keys_per_s <= 0:
        return None
    return (max(0, total - done) + later) / keys_per_s


def most_that_differ(looked: int, confidence: float = 0.95) -> float:
    """Return the largest share that can differ when no key of a sample does.

    Binomial, exact: the share at which a sample without a difference has the
    probability ``1 - confidence``.

    Args:
        looked: keys of the sample.
        confidence: how sure that is.
    """
    if not looked:
        return 1.0
    share: float = 1 - (1 - confidence) ** (1 / looked)
    return share
