"""The highest load that is still carried, by bisection. Pure.

A trial at a rate is kept or failed (RFC 2544, section 26.1 finds throughput that way).
Rates are multiples of a first one: doubled or halved until one is kept and another one
fails, then halfway in between (by ratio) until both are close together. In the end each
of the two is tried once more: one lucky or unlucky trial does not decide.
"""

from math import inf, sqrt

RESOLUTION = 1.02
_LOWEST, _HIGHEST = 1 / 1024, 1024.0
_MOST_TURNS = 4


class CapacitySearch:
    """Asks for trials until the capacity is known.

    Args:
        highest: no multiple above it is tried.
        resolution: as close together as the two rates shall be, as a ratio.

    Attributes:
        kept: the highest multiple that was kept last, or None.
        failed: the lowest multiple above it that failed, or None.
    """

    def __init__(
        self, *, highest: float = _HIGHEST, resolution: float = RESOLUTION
    ) -> None:
        self._highest = min(highest, _HIGHEST)
        self._resolution = resolution
        self._told: dict[float, bool] = {}
        self._sure: set[float] = set()
        self._turns = 0
        self.kept: float | None = None
        self.failed: float | None = None

    def next(self) -> float | None:
        """Return the multiple to try next; None if there is nothing more to learn."""
        kept, failed = self.kept, self.failed
        if failed is None:
            if kept is None:
                return min(1.0, self._highest)
            if kept < self._highest:
                return min(2 * kept, self._highest)
            return None if kept in self._sure else kept
        if kept is None:
            return failed / 2 if failed > _LOWEST else None
        if failed / kept > self._resolution:
            return sqrt(kept * failed)
        if self._turns >= _MOST_TURNS:
            return None
        return next((at for at in (failed, kept) if at not in self._sure), None)

    def take(self, multiple: float, *, is_kept: bool) -> None:
        """Take how a trial went; what it says last of a multiple counts."""
        before = self._told.get(multiple)
        if before is not None:
            self._sure.add(multiple)
            self._turns += before != is_kept
        self._told[multiple] = is_kept
        fails = [at for at, went_well in self._told.items() if not went_well]
        if is_kept:
            # What failed below it was bad luck.
            self.kept = max(multiple, self.kept or 0.0)
        else:
            below = [at for at, went_well in self._told.items() if went_well]
            self.kept = max((at for at in below if at < multiple), default=None)
        floor = self.kept or 0.0
        failed = min((at for at in fails if at > floor), default=inf)
        self.failed = None if failed == inf else failed
