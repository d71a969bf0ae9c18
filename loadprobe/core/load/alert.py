"""Whether the load is to be high: while something goes on, and a while after it.

Pure, the clock is passed in. What begins and ends (an outage, a maintenance, a step)
is *going on* until it ends, but for ``longest_ns`` at most: what lasts for days is
measured no better by more load. What has no length (a mark, another primary) is going
on for an instant. After the last of it the load stays high for ``quiet_ns``.
"""

from enum import StrEnum


class AlertReason(StrEnum):
    """Why the load is high."""

    OUTAGE = "outage"
    MAINTENANCE = "maintenance"
    ROLE_CHANGE = "role_change"
    STEP = "step"
    MARK = "mark"


class Alert:
    """What is going on.

    Args:
        quiet_ns: for so long after the last of it the load stays high.
        longest_ns: for so long at most one of it holds the load high.
    """

    def __init__(self, *, quiet_ns: int, longest_ns: int) -> None:
        self._quiet_ns = quiet_ns
        self._longest_ns = longest_ns
        self._begun: dict[tuple[AlertReason, str], int] = {}
        self._until_ns = 0
        self._reason: AlertReason | None = None

    def use(self, *, quiet_ns: int, longest_ns: int) -> None:
        """Go by other lengths from now on."""
        self._quiet_ns = quiet_ns
        self._longest_ns = longest_ns

    def touch(self, reason: AlertReason, now_ns: int) -> None:
        """Take note that something happened."""
        if self._reason is None or now_ns >= self._until_ns:
            self._reason = reason
        self._until_ns = max(self._until_ns, now_ns + self._quiet_ns)

    def begin(self, reason: AlertReason, name: str, now_ns: int) -> None:
        """Take note that something goes on, if that is not known yet.

        Args:
            reason: its kind.
            name: of it, among those of its kind.
            now_ns: monotonic.
        """
        if (reason, name) not in self._begun:
            self._begun[reason, name] = now_ns
            self.touch(reason, now_ns)

    def end(self, reason: AlertReason, name: str, now_ns: int) -> None:
        """Take note that it is over; of what is not known nothing happens."""
        begun_ns = self._begun.pop((reason, name), None)
        if begun_ns is not None:
            self.touch(reason, min(now_ns, begun_ns + self._longest_ns))

    def reason(self, now_ns: int) -> AlertReason | None:
        """Return what the load is high for, as it began; None: it is to be low.

        Call it with times that do not go back.
        """
        for (reason, _), begun_ns in self._begun.items():
            self.touch(reason, min(now_ns, begun_ns + self._longest_ns))
        if now_ns >= self._until_ns:
            self._reason = None
        return self._reason
