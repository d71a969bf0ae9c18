"""By how much the load goes down because what is measured, or the machine, suffers.

Pure, the clock is passed in. The share of the rate is halved while it suffers, down to
an eighth, and doubled again after a time without. Two changes are never closer together
than ``_PATIENCE_NS``; whoever suffers again soon after the load went up is given twice
as long the next time, up to ``_LONGEST_CALM_NS``. So it neither flaps nor stays down.
"""

from collections.abc import Collection
from enum import StrEnum

from loadprobe.clock import NS_PER_S

LOWEST_SHARE = 1 / 8
_PATIENCE_NS = 5 * NS_PER_S
_CALM_NS = 30 * NS_PER_S
_LONGEST_CALM_NS = 8 * _CALM_NS


class Strain(StrEnum):
    """What suffers, or is used up."""

    CPU = "cpu"
    """Our processes use more of the machine than they may."""
    STEAL = "steal"
    """The machine is kept waiting by what else runs on its host."""
    LATENCY = "latency"
    """The cluster answers more slowly than it may."""
    CONNECTIONS = "connections"
    """We have more of a server's connections than we may, or it has hardly any left."""
    OPERATIONS = "operations"
    """We ask for more of a server's operations than we may."""


class Restraint:
    """The share of its rate that the load has.

    Attributes:
        share: 1, 1/2, 1/4 or 1/8.
        strains: why it is not 1, or is about to be lower; what was last seen.
    """

    def __init__(self) -> None:
        self.share = 1.0
        self.strains: frozenset[Strain] = frozenset()
        self._since_ns: int | None = None
        self._changed_ns: int | None = None
        self._raised_ns: int | None = None
        self._calm_since_ns: int | None = None
        self._calm_ns = _CALM_NS

    def take(self, strains: Collection[Strain], now_ns: int) -> bool:
        """Take what suffers now; tell whether the share has changed.

        Call it about once a second, with times that do not go back.
        """
        if strains:
            self._calm_since_ns = None
            if self._since_ns is None:
                self._since_ns = now_ns
            self.strains = frozenset(strains)
            return self._suffer(now_ns)
        self._since_ns = None
        if self._calm_since_ns is None:
            self._calm_since_ns = now_ns
        return self._recover(now_ns, now_ns - self._calm_since_ns)

    def _suffer(self, now_ns: int) -> bool:
        assert self._since_ns is not None
        is_long = now_ns - self._since_ns >= _PATIENCE_NS
        if not is_long or not self._may_change(now_ns) or self.share <= LOWEST_SHARE:
            return False
        if self._raised_ns is not None:
            is_relapse = now_ns - self._raised_ns < self._calm_ns
            longer_ns = min(2 * self._calm_ns, _LONGEST_CALM_NS)
            self._calm_ns = longer_ns if is_relapse else _CALM_NS
            self._raised_ns = None
        self._change(self.share / 2, now_ns)
        return True

    def _recover(self, now_ns: int, calm_ns: int) -> bool:
        if self.share >= 1:
            self.strains = frozenset()
            return False
        if calm_ns < self._calm_ns or not self._may_change(now_ns):
            return False
        self._change(self.share * 2, now_ns)
        self._raised_ns = self._calm_since_ns = now_ns
        return True

    def _may_change(self, now_ns: int) -> bool:
        changed_ns = self._changed_ns
        return changed_ns is None or now_ns - changed_ns >= _PATIENCE_NS

    def _change(self, share: float, now_ns: int) -> None:
        self.share = share
        self._changed_ns = now_ns
